"""Reading what can still be read of a damaged store, row by row, from a private copy of it."""

from __future__ import annotations

import mmap
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from edgeinc.errors import StoreBusyError, StoreError, StoreFormatError
from edgeinc.store import schema
from edgeinc.store.disk.files import copy_store
from edgeinc.store.opening import resolve
from edgeinc.store.repair.pages import PAGE, table_rows

__all__ = ["Wreck", "open_wreck"]

LEAST_ROW = 24
"""Bytes that no row of a store is smaller than; it bounds how many a file can hold."""


class Wreck:
    """A damaged store that is read a row at a time, so that one bad page costs its own rows.

    Attributes:
        unreadable: Of each table, how many rows at least could not be read.
    """

    def __init__(self, conn: sqlite3.Connection, copy: Path) -> None:
        self._conn = conn
        self._copy = copy
        self.unreadable: dict[str, int] = {}
        # A character that is lost must not cost the row that it is in.
        conn.text_factory = lambda raw: raw.decode("utf-8", "replace")
        # SQLite then passes over what is wrong with the schema and with the length of the file.
        conn.execute("PRAGMA writable_schema = ON")
        conn.execute("PRAGMA trusted_schema = OFF")
        pages, size = (self.first(f"PRAGMA {name}") for name in ("page_count", "page_size"))
        self._most = max(pages[0] * size[0] // LEAST_ROW, 1) if pages and size else 1

    def first(self, query: str, *values: object) -> tuple[Any, ...] | None:
        """The first row of an answer; None where there is none, or it cannot be read."""
        found = self.all(query, *values)
        return found[0] if found else None

    def all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of an answer, up to the first that cannot be read."""
        found: list[tuple[Any, ...]] = []
        try:
            for row in self._conn.execute(query, values):
                found.append(row)
        except sqlite3.Error:
            return found
        return found

    def rows(self, table: str, columns: str) -> Iterator[tuple[Any, ...]]:
        """Every row of a table that can be read, by number; each begins with its number."""
        last = self.first(f"SELECT max(id) FROM {table}")
        most = self._most
        if last is not None and isinstance(last[0], int | None):
            # Else a table is not what it was, and numbers its rows with words.
            most = min(last[0] or 0, most)
        query = f"SELECT id, {columns} FROM {table} WHERE id = ?"
        failed = self.unreadable[table] = 0
        for row in range(1, most + 1):
            try:
                found = self._conn.execute(query, (row,)).fetchone()
            except sqlite3.Error:
                failed += 1
                continue
            if found is not None:
                self.unreadable[table] = failed
                yield found
        # Where the last number is not known, beyond the last that was found there may be none.
        if last is not None:
            self.unreadable[table] = failed

    def strays(self, columns: int) -> Iterator[tuple[Any, ...]]:
        """Rows of any table of so many columns that lie in the file, found by no way but looking.

        Each begins with its number, in the place of its first column.
        """
        if self._copy.stat().st_size == 0:
            return
        with (
            self._copy.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            for row, values in table_rows(content):
                if len(values) == columns and values[0] is None and 0 < row <= self._most:
                    yield (row, *values[1:])


@contextmanager
def open_wreck(path: str | Path, folder: Path) -> Iterator[Wreck]:
    """Open a copy of a damaged store, which itself is only read.

    What a crash left half written is taken back in the copy.

    Args:
        path: The damaged store.
        folder: Where the copy may lie; it takes as much space again.

    Raises:
        StoreBusyError: It was changed while it was copied.
        StoreFormatError: It is no file.
        StoreError: It cannot be read, or not be copied.
    """
    file = resolve(path)
    if not file.is_file():
        raise StoreFormatError(f"{file} is no file. Give the name of the damaged store.")
    copy = folder / "wreck"
    try:
        before = _stamps(file)
        copy_store(file, copy, [suffix for suffix in before if suffix])
    except OSError as exc:
        raise StoreError(
            f"{file} cannot be copied to {folder.parent} ({exc.strerror}). Make room there, "
            "or choose another place."
        ) from exc
    if _stamps(file) != before:
        raise StoreBusyError(f"{file} is being written. End whoever writes it, and try again.")
    if not _has_schema(copy):
        _mend_schema(copy)
    with closing(sqlite3.connect(copy, isolation_level=None)) as conn:
        yield Wreck(conn, copy)


def _has_schema(copy: Path) -> bool:
    """True where SQLite finds the tables of a store; it also takes half a write back."""
    with closing(sqlite3.connect(copy, isolation_level=None)) as conn:
        try:
            conn.execute("PRAGMA writable_schema = ON")
            names = {(kind, name) for kind, name, _ in schema.found_objects(conn)}
        except (sqlite3.Error, UnicodeDecodeError):
            return False
    # A repair reads no more than the first format had.
    return {(kind, name) for kind, name, _ in schema.expected_objects(1)} <= names


def _mend_schema(copy: Path) -> None:
    """Put the first format's schema in the place of a damaged one.

    It fits, because tables lie where they were made, in the same order in every store. What later
    formats added is derived from the rest, but for thresholds that a person set, which are lost.
    """
    fresh = copy.with_name("fresh")
    with closing(sqlite3.connect(fresh, isolation_level=None)) as conn:
        conn.execute("BEGIN")
        schema.apply_migration(conn, 1)
        conn.execute("COMMIT")
        roots = {page for (page,) in conn.execute("SELECT rootpage FROM sqlite_master")}
    content = fresh.read_bytes()
    size = copy.stat().st_size
    with copy.open("r+b") as file:
        for page in set(range(1, len(content) // PAGE + 1)) - roots:
            file.seek((page - 1) * PAGE)
            file.write(content[(page - 1) * PAGE : page * PAGE])
        # Bytes 28 to 39 of the header: how many pages there are; none of them is free.
        file.seek(28)
        file.write(struct.pack(">III", -(-size // PAGE), 0, 0))


def _stamps(file: Path) -> dict[str, tuple[int, int]]:
    """Time and size of a store and its journal, of those that are there."""
    found = {}
    for suffix in ("", "-journal", "-wal"):
        part = Path(f"{file}{suffix}")
        if part.is_file():
            status = part.stat()
            found[suffix] = (status.st_mtime_ns, status.st_size)
    return found
