"""Taking turns with other connections to a file, which look for theirs again and again."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator

from edgeinc.store.disk.translation import Opened, is_busy

__all__ = ["Turns", "run_in_turn"]

PAUSE = 0.001
"""Seconds between two looks at whether it is one's turn."""

SLOW = 0.05
"""Seconds of a transaction after which others are left a moment before the next."""

SHARE = 50
"""That moment is so small a part of the transaction, and no longer than `LONGEST`."""

LONGEST = 0.02
"""Seconds."""


def run_in_turn(file: Opened, conn: sqlite3.Connection, statement: str, wait: float | None) -> None:
    """Run a statement as soon as other connections' locks let it.

    SQLite's own waiting sleeps up to 0.1 s at a time and so misses, again and again, the short
    moments at which a busy writer lets others in.

    Args:
        file: What the connection is to.
        conn: The connection.
        statement: One without results.
        wait: Longest wait, seconds; else the file's own limit.

    Raises:
        StoreBusyError: They did not let it for so long.
        sqlite3.Error: The statement failed.
    """
    wait = file.timeout if wait is None else wait
    end = time.monotonic() + wait
    while True:
        try:
            conn.execute(statement).fetchall()
        except sqlite3.OperationalError as exc:
            if not is_busy(exc):
                raise
            if time.monotonic() >= end:
                raise file.busy(wait) from exc
            time.sleep(PAUSE)
        else:
            return


class Turns:
    """Leaves others a moment between two transactions of one connection. One thread at a time.

    While a commit is flushed nobody else may even read. On a slow disk that is nearly all of the
    time of whoever writes again and again, and others would look for a moment in vain.
    """

    def __init__(self) -> None:
        """None has been written yet."""
        self._next = 0.0

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """A transaction that writes."""
        left = self._next - time.monotonic()
        if left > 0:
            time.sleep(left)
        began = time.monotonic()
        try:
            yield
        finally:
            ended = time.monotonic()
            took = ended - began
            if took >= SLOW:
                self._next = ended + min(took / SHARE, LONGEST)
