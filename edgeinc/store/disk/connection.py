"""One SQLite connection, guarded.

Rollback journal (`DELETE`) with `synchronous=EXTRA`: when a transaction has returned it is on
the disk, the folder's entry too, as far as the disk tells the truth about flushing. A
write-ahead log would be quicker, but loses commits at a power cut under `NORMAL`, and SQLite
before 3.51.3 may damage it when several connections are open.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgeinc.errors import StoreBusyError, StoreError
from edgeinc.store.disk.outcome import data_version, is_made, leave, store_row
from edgeinc.store.disk.translation import Opened, inode
from edgeinc.store.disk.turns import Turns, run_in_turn

if TYPE_CHECKING:
    from edgeinc.store.disk.leftovers import PrivateFolder

__all__ = ["Database"]

_ABANDONED: list[sqlite3.Connection] = []
"""Connections that crossed a fork: closing one could undo what its first owner is writing."""


class Database:
    """A store file and the connection to it.

    Threads may share it: each transaction holds a lock. A forked child may not use it, since
    two processes behind one connection would damage the file; it gets an error instead.

    Attributes:
        path: The file that the person named; messages speak of it.
        read_only: True where neither the file nor its folder may be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool,
        timeout: float,
        copy: tuple[Path, PrivateFolder] | None = None,
    ) -> None:
        """Connect; the file is made, empty, where there is none.

        Args:
            path: The store.
            read_only: Refuse to write.
            timeout: Longest wait for another process's lock, seconds.
            copy: Open this private copy instead, and delete its folder when closed.

        Raises:
            StoreError: The file cannot be opened.
        """
        self.path = path
        self.read_only = read_only
        self._file = Opened(path, timeout, inode(path))
        self._folder = copy[1] if copy else None
        self._lock = threading.RLock()
        self._turns = Turns()
        self._pid = os.getpid()
        self._closed = False
        self._seen = 0
        self._marks = 0
        mode = "ro" if read_only and copy is None else "rwc"
        target = copy[0] if copy else path
        with self._file.translated():
            self._conn = sqlite3.connect(
                f"{target.as_uri()}?mode={mode}",
                uri=True,
                timeout=0,
                isolation_level=None,
                check_same_thread=False,
            )
        try:
            self._configure()
        except StoreError:
            self.close()
            raise

    def use_rollback_journal(self, mode: str = "DELETE") -> None:
        """Keep to a rollback journal of this mode, also in a file that was switched to another.

        Raises:
            StoreError: The file cannot be read, or another process has it in another mode.
        """
        with self._guarded() as conn:
            self._wait_for(conn, f"PRAGMA journal_mode = {mode}")

    @contextlib.contextmanager
    def reading(self, *, wait: float | None = None) -> Iterator[sqlite3.Connection]:
        """A read transaction: one committed state, however many statements.

        Args:
            wait: Longest wait for another's lock, seconds; else the store's own limit.

        Raises:
            StoreError: The file cannot be read, is damaged, or stayed locked for too long.
        """
        with self._guarded(wait) as conn:
            conn.execute("BEGIN")
            try:
                # The first statement that reads takes the lock; the others then need not wait.
                self._wait_for(conn, "PRAGMA schema_version", wait)
                yield conn
            finally:
                leave(conn)

    @contextlib.contextmanager
    def writing(
        self, *, wait: float | None = None, references: bool = True
    ) -> Iterator[sqlite3.Connection]:
        """A write transaction, durable when it has returned; after an error nothing is left.

        Args:
            wait: Longest wait for another's lock, seconds; else the store's own limit.
            references: Have SQLite check references; deleting, it may read all rows for each.

        Raises:
            StoreReadOnlyError: The store may not be written.
            StoreBusyError: Another process was writing, or reading, for too long.
            StoreWriteError: The disk refused.
            StoreFormatError: The file is damaged.
        """
        with self._guarded(wait, undone=True) as conn, self._turns.one():
            if self.read_only:
                raise self._file.only_read()
            conn.execute(f"PRAGMA foreign_keys = {references:d}")
            try:
                self._wait_for(conn, "BEGIN IMMEDIATE", wait)
                before = store_row(conn)
                yield conn
                self._commit(conn, before)
            finally:
                leave(conn)

    def _commit(self, conn: sqlite3.Connection, before: object) -> None:
        row = store_row(conn)
        try:
            self._wait_for(conn, "COMMIT")
        except sqlite3.OperationalError as exc:
            made = is_made(conn, self.path, before, row)
            if made is False:
                raise
            # Where it is made, its journal is gone, but its folder could not be flushed.
            self._marks += row != before
            raise self._file.unconfirmed(made=bool(made)) from exc

    def rebuild(self) -> None:
        """Write the whole file anew, without what deleted content left in its free space.

        Raises:
            StoreBusyError: Another process was reading or writing for too long.
            StoreWriteError: The disk refused; it must hold the store twice over.
        """
        with self._guarded() as conn:
            self._wait_for(conn, "VACUUM")

    def version(self) -> int:
        """A number that changes when another connection has committed; it never waits.

        While the file is locked, by the last moment of a commit, it is the number last seen.

        Raises:
            StoreWriteError: Its name no longer leads to the file; what is read is the old one.
            StoreError: The file cannot be read.
        """
        self._refuse_fork()
        self._file.refuse_moved()
        with contextlib.suppress(StoreBusyError), self._guarded(wait=0) as conn:
            self._seen = data_version(conn, self._seen)
        return self._seen + self._marks

    def mark_changed(self) -> None:
        """Make `version` change although no other connection has committed."""
        self._marks += 1

    def close(self) -> None:
        """Close the connection; closing again does nothing."""
        if self._pid != os.getpid():
            _ABANDONED.append(self._conn)
            return
        with self._lock:
            self._closed = True
            self._conn.close()
            if self._folder is not None:
                self._folder.cleanup()

    def _configure(self) -> None:
        with self._guarded() as conn:
            conn.execute("PRAGMA trusted_schema = OFF")
            conn.execute("PRAGMA secure_delete = ON")
            if not self.read_only:
                # This one reads the file.
                self._wait_for(conn, "PRAGMA synchronous = EXTRA")
                self._file.inode = inode(self.path)

    @contextlib.contextmanager
    def _guarded(
        self, wait: float | None = None, *, undone: bool = False
    ) -> Iterator[sqlite3.Connection]:
        """The connection, for this thread alone, with its errors translated."""
        self._refuse_fork()
        if not self._lock.acquire(timeout=-1 if wait is None else wait):
            raise StoreBusyError(f"Another thread has used {self.path} for more than {wait:g} s.")
        try:
            with self._file.translated(undone=undone):
                if self._closed:
                    raise StoreError(f"The store {self.path} has been closed. Open it again.")
                yield self._conn
        finally:
            self._lock.release()

    def _refuse_fork(self) -> None:
        # Before the lock is asked for: a thread that the child has not may hold it for ever.
        if self._pid != os.getpid():
            raise StoreError(
                f"The store {self.path} was opened before this process was forked. "
                "Open it again in each process."
            )

    def _wait_for(
        self, conn: sqlite3.Connection, statement: str, wait: float | None = None
    ) -> None:
        run_in_turn(self._file, conn, statement, wait)
