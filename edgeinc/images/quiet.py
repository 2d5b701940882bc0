"""Keeps OpenCV from writing to stderr what edgeinc says in an error."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet"]

_lock = threading.Lock()
_users = 0
_level = 0


@contextmanager
def quiet() -> Iterator[None]:
    """Silences OpenCV's log while the block runs; threads may be in it together.

    The level belongs to the process, so the first one in saves it and the last one out
    restores it.
    """
    import cv2

    global _users, _level
    # OpenCV 5 moved the two functions.
    log = getattr(cv2.utils, "logging", cv2)
    with _lock:
        if _users == 0:
            _level = log.getLogLevel()
            log.setLogLevel(0)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                log.setLogLevel(_level)
