"""How a process ended that left no answer, in words."""

from __future__ import annotations

import os
import signal
from typing import IO, NamedTuple

from edgeinc.children.bounds import Bounds

__all__ = ["Death", "death_of", "last_line"]

_MIB = 1 << 20


class Death(NamedTuple):
    """How a process ended that left no answer.

    Attributes:
        status: Its exit status, below zero by a signal; None when its time ran out.
        stopped: What stopped it, in words that follow its name; "" where it ended by itself.
        starved: Memory ran out for all, or a person ended it: that tells nothing of its work.
        said: The end of what it printed, as one short line; "" where it printed nothing.
    """

    status: int | None
    stopped: str
    starved: bool
    said: str

    @property
    def signal(self) -> str:
        """The signal that ended it, in words; "" where none did."""
        if self.status is None or self.status >= 0:
            return ""
        return signal.strsignal(-self.status) or f"signal {-self.status}"

    @property
    def quoted(self) -> str:
        """What it said, in brackets after a space; "" where it printed nothing."""
        return f" ({self.said})" if self.said else ""


def death_of(status: int | None, bounds: Bounds, said: str, *, short: bool) -> Death:
    """What a process died of.

    Args:
        status: Its exit status; None when its time ran out.
        bounds: What it might use.
        said: The last line that it printed.
        short: It said itself that it had no memory left.
    """
    stopped, starved = "", False
    if short and bounds.memory is not None:
        stopped = f"needed more than {bounds.memory // _MIB} MiB of memory"
    elif short:
        stopped, starved = "needed more memory than there is", True
    elif status is None or status == -getattr(signal, "SIGALRM", 0):
        stopped = f"took more than {bounds.seconds:g} seconds"
    elif bounds.cpu_seconds is not None and status == -getattr(signal, "SIGXCPU", 0):
        stopped = f"took more than {bounds.cpu_seconds} seconds of processor time"
    elif status == -getattr(signal, "SIGKILL", 0):
        stopped, starved = "was ended from outside", True
    return Death(status, stopped, starved, said)


def last_line(said: IO[bytes]) -> str:
    """The end of what a process printed, as one short line."""
    said.seek(max(0, said.seek(0, os.SEEK_END) - 2048))
    lines = said.read().decode("utf-8", "replace").split("\n")
    plain = ["".join(c for c in line if c.isprintable()).strip() for line in lines]
    return next((line[:160] for line in reversed(plain) if line), "")
