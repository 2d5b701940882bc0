"""Keeps a runtime's small talk off stderr, which is for people."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

__all__ = ["overheard", "without_chatter"]

STDOUT, STDERR = 1, 2
CHATTER = b"INFO: "
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

# Two threads must not swap the descriptor under each other.
_swapping = threading.RLock()


@contextmanager
def without_chatter() -> Iterator[None]:
    """Leaves out lines that begin with `INFO: ` while the block runs.

    LiteRT says at every start, from C++ and with no option against it, that it uses
    XNNPACK. The process's stderr is diverted for the few milliseconds of the block; every
    other line is passed on when it ends.
    """
    with _swapping, _scratch() as kept:
        try:
            own = os.dup(STDERR)
        except OSError:
            # A service may run with stderr closed: there is nothing to keep quiet.
            yield
            return
        os.dup2(kept.fileno(), STDERR)
        try:
            yield
        finally:
            os.dup2(own, STDERR)
            os.close(own)
            kept.seek(0)
            for line in kept:
                if not line.startswith(CHATTER):
                    os.write(STDERR, line)


@contextmanager
def overheard() -> Iterator[list[str]]:
    """Keeps what is printed while the block runs off stdout and stderr, and hands it over.

    Libraries of accelerators print to either; why they do not start often stands nowhere
    else, and stdout is for results. What other threads print meanwhile goes the same way.

    Yields:
        A list; the lines are in it when the block has ended, without colours.
    """
    lines: list[str] = []
    with _swapping, _scratch() as kept:
        own = {}
        _flush()
        for number in (STDOUT, STDERR):
            # A service may run with one of them closed.
            with suppress(OSError):
                own[number] = os.dup(number)
                os.dup2(kept.fileno(), number)
        try:
            yield lines
        finally:
            _flush()
            for number, copy in own.items():
                os.dup2(copy, number)
                os.close(copy)
            kept.seek(0)
            text = _COLOUR.sub("", kept.read().decode("utf-8", "replace"))
            told = (line.strip() for line in text.splitlines())
            lines += [line for line in told if line and not line.startswith(CHATTER.decode())]


def _flush() -> None:
    """Empties Python's own buffers: what is in them was printed before, or while, diverted."""
    for stream in (sys.stdout, sys.stderr):
        # A service may run without them.
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()


def _scratch() -> IO[bytes]:
    """A file without a name. On Linux in memory, which spares every start an import."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("edgeinc-stderr"), "w+b")
    import tempfile

    return tempfile.TemporaryFile()
