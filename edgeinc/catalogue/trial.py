"""Trying a network that nobody has vouched for: in a process of its own, under limits.

Runtimes read weights without much suspicion, and a damaged file may crash them, make them
allocate without end or never come back. See `children`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeinc.children import Bounds, Death, ask
from edgeinc.errors import ModelFormatError

__all__ = ["LIMITS", "Limits", "attempt"]

CHILD = "edgeinc.catalogue.child"
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What a trial may use; many times what a sound network needs.

    Attributes:
        seconds: Of the clock.
        cpu_seconds: Of all cores together.
        memory: Bytes that it may allocate besides.
        memory_per_byte: Further bytes for each of the weights.
        written: Bytes of a file that it may write, at least; four for each of the weights.
        room: Times the size of the weights that must be free on the disk before it begins.
    """

    seconds: float = 120.0
    cpu_seconds: int = 300
    memory: int = 2048 * _MIB
    memory_per_byte: int = 16
    written: int = 64 * _MIB
    room: int = 2

    def memory_for(self, size: int) -> int:
        """Bytes that weights of this size may take; no more than the machine has."""
        wanted = self.memory + self.memory_per_byte * size
        if not hasattr(os, "sysconf"):
            return wanted
        return min(wanted, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))

    def bounds(self, size: int) -> Bounds:
        """All of them, for weights of this size."""
        return Bounds(
            self.seconds,
            self.cpu_seconds,
            self.memory_for(size),
            max(self.written, 4 * size),
            self.room * size,
        )


LIMITS = Limits()


def attempt(
    job: str, name: str, content: bytes, request: Mapping[str, Any], limits: Limits | None = None
) -> dict[str, Any]:
    """Does one of the jobs of `edgeinc.catalogue.child` in a process of its own.

    Args:
        job: Its name.
        name: What the weights are called.
        content: The weights.
        request: What else the job wants to know; plain values.
        limits: `LIMITS` unless given.

    Returns:
        What the job answers; plain values.

    Raises:
        EdgeincError: What the job raised.
        ModelFormatError: It crashed, or ran into a limit.
        NoRoomError: There is no room for its files.
        RuntimeUnavailableError: No process can be started here.
    """
    bounds = (limits or LIMITS).bounds(len(content))
    words = {"job": job, "name": name, **request}
    answer = ask(CHILD, f"trying {name}", words, bounds, files={name: content})
    if isinstance(answer, Death):
        raise _judged(name, answer)
    return answer


def _judged(name: str, death: Death) -> ModelFormatError:
    """What is to be said of a network that a trial died of."""
    what = death.stopped or "failed in its runtime"
    if not death.stopped and death.signal:
        what = f"crashed its runtime by {death.signal}"
    advice = "free memory, and try again" if death.starved else "do not use it"
    return ModelFormatError(f"{name} {what} when it was tried{death.quoted}; {advice}.")
