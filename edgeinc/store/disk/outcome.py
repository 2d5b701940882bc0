"""How a transaction ended, asked of SQLite itself."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

from edgeinc.store.disk.translation import is_busy

__all__ = ["data_version", "is_made", "leave", "store_row"]


def leave(conn: sqlite3.Connection) -> None:
    """Leave a transaction that may already have ended."""
    if conn.in_transaction:
        # An error on the way out would hide the one that led here.
        with contextlib.suppress(sqlite3.Error, UnicodeDecodeError):
            conn.execute("ROLLBACK")


def is_made(conn: sqlite3.Connection, file: Path, before: object, row: object) -> bool | None:
    """Whether a transaction counts whose COMMIT failed, once it has been left.

    Args:
        conn: The connection.
        file: The store.
        before: The store's row before the transaction.
        row: The same at its end.

    Returns:
        None where that cannot be told.
    """
    leave(conn)
    found = store_row(conn)
    if row != before and found is not None and found in (row, before):
        return bool(found == row)
    # As long as its journal lies there, it is taken back by whoever reads the store next.
    return False if Path(f"{file}-journal").exists() else None


def data_version(conn: sqlite3.Connection, last: int) -> int:
    """SQLite's own count of others' commits, or the last one while it may not look."""
    try:
        return int(conn.execute("PRAGMA data_version").fetchone()[0])
    except sqlite3.OperationalError as exc:
        if not is_busy(exc):
            raise
        # A commit is on its way, and the next call will see it.
        return last


def store_row(conn: sqlite3.Connection) -> Any:
    """The store's own row, which every operation changes; None where it cannot be read."""
    try:
        return conn.execute("SELECT * FROM store").fetchone()
    except (sqlite3.Error, UnicodeDecodeError):
        return None
