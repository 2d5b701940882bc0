"""Keeps a runtime's small talk off stderr, which is for people."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

__all__ = ["without_chatter"]

STDERR = 2
CHATTER = b"INFO: "

# Two threads must not swap the descriptor under each other.
_swapping = threading.Lock()


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


def _scratch() -> IO[bytes]:
    """A file without a name. On Linux in memory, which spares every start an import."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("edgeinc-stderr"), "w+b")
    import tempfile

    return tempfile.TemporaryFile()
