"""Reading a store that a crash left half written, where it may not be mended."""

from __future__ import annotations

from pathlib import Path

from edgeinc.errors import StoreBusyError, StoreReadOnlyError
from edgeinc.store.disk.connection import Database

__all__ = ["readable"]


def readable(db: Database, timeout: float) -> Database:
    """The same read-only store, or a private copy of it where a crash left it half written.

    Its journal must be played back before anything can be read, and only a copy can take that.

    Raises:
        StoreReadOnlyError: It cannot be copied.
        StoreBusyError: Another process is recovering it.
        StoreError: As for every read.
    """
    try:
        with db.reading() as conn:
            conn.execute("PRAGMA schema_version").fetchone()
    except StoreReadOnlyError:
        db.close()
    except BaseException:
        db.close()
        raise
    else:
        return db
    # Imported where they are needed: after a crash.
    from edgeinc.store.disk.files import copy_store
    from edgeinc.store.disk.leftovers import PrivateFolder

    file = db.path
    journal = file.with_name(f"{file.name}-journal")
    try:
        folder = PrivateFolder()
        copy = folder.path / "store"
        try:
            before = _stamp(journal), _stamp(file)
            copy_store(file, copy, ["-journal"])
            if (_stamp(journal), _stamp(file)) != before:
                raise StoreBusyError(
                    f"Another process is recovering {file}. Try again in a moment."
                )
            return Database(file, read_only=True, timeout=timeout, copy=(copy, folder))
        except BaseException:
            folder.cleanup()
            raise
    except OSError as exc:
        raise StoreReadOnlyError(
            f"{file} was left half written by a crash and cannot be recovered here "
            f"({exc.strerror}). Open it once with permission to write."
        ) from exc


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_mtime_ns, status.st_size
