"""Files that may be stores: what they are, and copies of them, without letting go of locks.

SQLite knows all that it has open in a process and sees to the locks; whatever else opens a file
that may be a store goes through `edgeinc.unclosed`.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import BinaryIO

from edgeinc.devices import brief
from edgeinc.errors import InputError, StoreError
from edgeinc.store.disk.translation import is_no_database
from edgeinc.unclosed import keep_open

__all__ = [
    "as_path",
    "copy_store",
    "file_to_write",
    "is_archive",
    "is_database",
    "open_ordinary",
]

_CHUNK = 1 << 20
_ARCHIVE = b'{"format":"edgeinc archive",'


def copy_store(file: Path, copy: Path, beside: Iterable[str]) -> None:
    """Copy a store byte by byte, whatever is in it.

    Args:
        file: The store.
        copy: A new file.
        beside: What is appended to both names for the other files that belong to it.

    Raises:
        OSError: One cannot be read or written.
    """
    if hasattr(os, "pread"):
        _copy(file, copy)
    else:
        # On Windows a lock goes with the handle that took it, and no other.
        shutil.copyfile(file, copy)
    for suffix in beside:
        # Nobody locks these.
        shutil.copyfile(f"{file}{suffix}", f"{copy}{suffix}")


def _copy(file: Path, copy: Path) -> None:
    opened = keep_open(file)
    place = 0
    with copy.open("wb") as stream:
        while chunk := os.pread(opened, _CHUNK, place):
            stream.write(chunk)
            place += len(chunk)


def is_database(path: Path) -> bool:
    """True for a file that SQLite takes for a database, or that cannot be asked: it may be one."""
    try:
        file = path.resolve()
        status = file.stat()
    except (OSError, RuntimeError, ValueError):
        return False
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        return False
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=0)) as conn:
            conn.execute("PRAGMA schema_version").fetchone()
    except sqlite3.Error as exc:
        # A locked database is one, and so is a damaged one.
        return not is_no_database(exc)
    return True


def is_archive(path: str | Path) -> bool:
    """True for a file that begins as an archive does; only for what is no database.

    Raises:
        StoreError: It cannot be read.
    """
    with open_ordinary(path) as stream:
        return stream.read(len(_ARCHIVE)) == _ARCHIVE


def as_path(given: object, what: str) -> Path:
    """The path of `what`, as a caller gave it.

    Raises:
        InputError: It is no path, or empty, which `Path` takes for the working folder.
    """
    text = os.fspath(given) if isinstance(given, (str, os.PathLike)) else given
    if not isinstance(text, str):
        raise InputError(f"{brief(given)} is no path of {what}. Give a text or a pathlib.Path.")
    if not text:
        raise InputError(f"The path of {what} is empty. Give the name of a file.")
    return Path(text)


def file_to_write(given: str | Path) -> Path:
    """The path of a file that is to be written, or to take the place of another.

    Raises:
        InputError: It is no path or empty; its folder is not there, or it is a folder itself; or
            it is a store, or any other database.
    """
    path = as_path(given, "the file to write")
    try:
        folder, homeless = path.is_dir(), not path.parent.exists()
    except OSError:
        # Writing it tells what is wrong with it.
        folder = homeless = False
    if folder:
        raise InputError(f"{path} is a folder; give the name of a file to write.")
    if homeless:
        raise InputError(
            f"{path} cannot be written: its folder does not exist; make it, or name another."
        )
    if is_database(path):
        raise InputError(
            f"{path} is a database, maybe a store, and is not written over. Give another name."
        )
    return path


@contextmanager
def open_ordinary(path: str | Path) -> Iterator[BinaryIO]:
    """An ordinary file, open; only for what SQLite has said is no database.

    Raises:
        StoreError: It is none, or cannot be read.
    """
    with ExitStack() as stack:
        try:
            ordinary = stat.S_ISREG(Path(path).stat().st_mode)
            # Waiting for a pipe to open could be without end.
            file = Path(path if ordinary else os.devnull)
            stream = stack.enter_context(file.open("rb"))
        except (OSError, ValueError) as exc:
            why = (exc.strerror if isinstance(exc, OSError) else None) or exc
            raise StoreError(f"{str(path)!r} cannot be read ({why}). Choose another.") from exc
        if not ordinary:
            raise StoreError(f"{path} is no ordinary file. Give the name of one.")
        yield stream
