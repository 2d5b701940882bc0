"""From a path to an open store: finding, making, recovering, wiping."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from edgeinc.errors import (
    StoreBusyError,
    StoreError,
    StoreFormatError,
    StoreReadOnlyError,
    StoreWriteError,
)
from edgeinc.store import schema
from edgeinc.store.binding import bind, create
from edgeinc.store.checks import (
    check,
    format_version,
    identity,
    is_blank,
    match,
    shape_fault,
)
from edgeinc.store.disk.connection import Database
from edgeinc.store.disk.files import as_path
from edgeinc.store.disk.recovery import readable
from edgeinc.store.disk.translation import is_no_database
from edgeinc.store.disk.trust import one_row
from edgeinc.store.records import Identity

__all__ = [
    "archive_words",
    "attach",
    "is_writable",
    "named",
    "open_store",
    "peek",
    "resolve",
    "scrub",
]

# Only these leave something that is to be wiped.
_LAST_WIPE = "SELECT max(number) FROM operations WHERE kind IN ('purge', 'merge')"


def open_store(path: str | Path, wanted: Identity, *, timeout: float, now: float) -> Database:
    """Open the store at `path`, or make a new one there.

    A store in which nothing was ever done is no one's yet: it is bound to whoever opens it.

    Args:
        path: The file.
        wanted: The backbone that the store is, or is to be, bound to.
        timeout: Longest wait for another process's lock, seconds.
        now: Unix time, seconds, kept as the time of making.

    Raises:
        StoreError: Of every kind; see `Store.open`.
    """
    fresh = _status(resolve(path)) is None
    db = attach(path, timeout)
    try:
        with db.reading() as conn:
            blank = is_blank(conn)
        if blank:
            create(db, wanted, now)
        check(db)
        bind(db, wanted)
        with db.reading() as conn:
            match(conn, db.path, wanted)
        if not db.read_only:
            db.use_rollback_journal()
            # Another process's lock or a full disk may put the wiping off, not the opening.
            with suppress(StoreBusyError, StoreWriteError):
                scrub(db)
    except BaseException:
        if fresh:
            _drop_empty(db)
        db.close()
        raise
    return db


def _drop_empty(db: Database) -> None:
    """Remove the file that was made for a store, where nothing could be written to it."""
    with suppress(StoreError, OSError):
        # The writer's lock is to be had on a full disk too, if the journal stays in memory.
        # Whoever waits for it finds that the file is gone, and says so.
        db.use_rollback_journal("MEMORY")
        with db.writing():
            if not db.path.stat().st_size:
                db.path.unlink()


def peek(path: str | Path, *, timeout: float = 5.0) -> Identity | None:
    """The backbone that the store at `path` is bound to.

    Args:
        path: The file.
        timeout: Longest wait for another process's lock, seconds.

    Returns:
        None where there is no store yet. That the store is sound is not checked: opening it does.

    Raises:
        StoreError: There is something, but no store that can be read.
    """
    if _status(resolve(path)) is None:
        return None
    db = attach(path, timeout)
    try:
        with db.reading() as conn:
            if is_blank(conn):
                return None
            # The rest is checked by whoever opens it; twice would take twice as long.
            latest = format_version(conn, db.path) == len(schema.MIGRATIONS)
            if latest and shape_fault(conn) is None:
                return identity(conn)
        check(db)
        with db.reading() as conn:
            return identity(conn)
    finally:
        db.close()


def scrub(db: Database) -> None:
    """Finish a purge: wipe what it left in the file's free space, where that is still due.

    Zeroing on deletion (`secure_delete`) is not enough: when SQLite moves rows between pages
    it may leave a copy in a gap that no later deletion reaches. Writing the file anew is.

    Raises:
        StoreBusyError: Another process used the file for too long.
        StoreWriteError: The disk refused, which must hold the store twice over; or that of SQLite's
            temporary files, which must hold it too.
    """
    while True:
        with db.reading() as conn:
            due, last = one_row(conn.execute(f"SELECT scrub, ({_LAST_WIPE}) FROM store"))
        if not due:
            return
        db.rebuild()
        with db.writing() as conn:
            # Another process's purge that was committed since then is still to be wiped.
            conn.execute(f"UPDATE store SET scrub = 0 WHERE ({_LAST_WIPE}) IS ?", (last,))


def named(path: str | Path) -> Path:
    """The path of a store.

    Raises:
        InputError: It is no path, or empty, which `Path` takes for the working folder.
    """
    return as_path(path, "a store")


def resolve(path: str | Path) -> Path:
    """The file behind any link: SQLite keeps its journal beside that one.

    Raises:
        InputError: The path is empty.
        StoreError: The path cannot be one.
    """
    given = named(path)
    try:
        return given.resolve()
    except (OSError, RuntimeError, ValueError) as exc:
        why = (exc.strerror if isinstance(exc, OSError) else None) or exc
        raise StoreError(f"{str(path)!r} is no usable path ({why}). Choose another.") from exc


def _status(file: Path) -> os.stat_result | None:
    """The file's status, or None where there is no file."""
    try:
        return file.stat()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        why = (exc.strerror if isinstance(exc, OSError) else None) or exc
        raise StoreError(f"{str(file)!r} cannot be opened ({why}). Choose another.") from exc


def attach(path: str | Path, timeout: float, *, to_read: bool = False) -> Database:
    """Connect to whatever is at `path`, making an empty file where there is nothing.

    With `to_read` the file is never changed, also where it may be, and must be there.

    Raises:
        StoreError: There is no file that can be opened.
    """
    file = resolve(path)
    status = _status(file)
    if status is not None and not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not an ordinary file"
        raise StoreFormatError(f"{file} is {kind}. Give the name of a store file.")
    if not file.parent.is_dir():
        raise StoreWriteError(
            f"The folder {file.parent} does not exist. Make it, or choose another place."
        )
    if status is None and to_read:
        raise StoreError(f"There is no file {file}. Give the name of one.")
    writable = not to_read and is_writable(file)
    if status is None and not writable:
        raise StoreReadOnlyError(
            f"No store can be made in {file.parent}, which may not be written. "
            "Choose another place."
        )
    if status is not None and not _may(file, os.R_OK):
        raise StoreError(f"{file} may not be read. Change its permissions.")
    try:
        db = Database(file, read_only=not writable, timeout=timeout)
        return db if writable else readable(db, timeout)
    except StoreFormatError as exc:
        # Whoever opens one to read it, a merge, takes archives too.
        if not to_read and is_no_database(exc.__cause__) and (words := archive_words(file)):
            raise StoreFormatError(words) from exc
        raise


def archive_words(file: Path) -> str | None:
    """What to do with an archive that is named as a store; only for what is no database.

    Raises:
        StoreError: It cannot be read.
    """
    # Most that is named as a store is one.
    from edgeinc.store.disk.files import is_archive

    if not is_archive(file):
        return None
    advice = "`merge` it into a store; one that is not there is made."
    return f"{file} is an archive, not a store. {advice}"


def is_writable(file: Path) -> bool:
    """True where a store may be written, or made: the file if it is there, and its folder."""
    return _may(file.parent, os.W_OK) and (not file.exists() or _may(file, os.W_OK))


def _may(path: Path, what: int) -> bool:
    return os.access(path, what, effective_ids=os.access in os.supports_effective_ids)
