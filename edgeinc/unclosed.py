"""Files that may be databases, read without letting go of the locks on them.

When a process closes a file, POSIX drops every lock that the process has on it, those of its
open stores too: another process could then write in the middle of their transactions. (See "How
To Corrupt An SQLite Database File", 2.2, in SQLite's documentation.) So a database that was
opened by anything but SQLite stays open until the process ends, once for each file.
"""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from typing import BinaryIO

__all__ = ["keep_open", "open_no_database"]

_BEGINNING = b"SQLite format 3\0"
"""What every database begins with (SQLite's documentation, "Database File Format", 1.3.1)."""

_KEPT: dict[tuple[int, int], int] = {}
"""Descriptors by device and inode, which no other file can have while they are open."""


def keep_open(path: Path) -> int:
    """A descriptor to read a file with, by `os.pread`, which is never closed.

    Raises:
        OSError: It cannot be opened.
    """
    descriptor = _KEPT.get(_key(path.stat()))
    if descriptor is None:
        descriptor = os.open(path, os.O_RDONLY)
        _keep(descriptor)
    return descriptor


def open_no_database(path: Path) -> BinaryIO | None:
    """A file, open for reading at its beginning; None for a database.

    An empty file is not opened at all: it may be a store that is being made.

    Raises:
        OSError: It is not there, or cannot be read.
        ValueError: It is no path.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        return path.open("rb")
    if not status.st_size:
        return io.BytesIO()
    if _key(status) in _KEPT:
        return None
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        begins = os.read(descriptor, len(_BEGINNING))
        os.lseek(descriptor, 0, os.SEEK_SET)
    except OSError:
        os.close(descriptor)
        raise
    if begins == _BEGINNING:
        _keep(descriptor)
        return None
    return os.fdopen(descriptor, "rb")


def _keep(descriptor: int) -> None:
    # Where another thread was quicker, both stay open.
    _KEPT[_key(os.fstat(descriptor))] = descriptor


def _key(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
