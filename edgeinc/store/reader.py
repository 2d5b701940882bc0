"""What an open store can be asked; nothing here changes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from edgeinc.store import following, journal, reading, state, statistics
from edgeinc.store.checks import match
from edgeinc.store.disk.connection import Database
from edgeinc.store.disk.trust import expect, one_row
from edgeinc.store.overrides import overrides
from edgeinc.store.records import Delta, Identity, Integers, Position, Rows, Statistics
from edgeinc.types import ClassInfo, LogEntry, SampleInfo

__all__ = ["Reader"]

_R = TypeVar("_R", bound="Reader")


class Reader:
    """The half of a `Store` that reads."""

    def __init__(self, db: Database, identity: Identity, clock: Callable[[], float]) -> None:
        self._db = db
        self._identity = identity
        self._clock = clock
        with db.reading() as conn:
            query = "SELECT uid FROM devices WHERE id = (SELECT device FROM store)"
            self._device = expect(bytes, one_row(conn.execute(query))[0]).hex()

    @property
    def path(self) -> Path:
        """The file, links followed."""
        return self._db.path

    @property
    def read_only(self) -> bool:
        """True where the file or its folder may not be written."""
        return self._db.read_only

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self._identity.dim

    @property
    def device_id(self) -> str:
        """The random id of this store's side of a merge, 32 hexadecimal digits."""
        return self._device

    def log(self, limit: int | None = None) -> list[LogEntry]:
        """The latest `limit` operations of this store, newest first; all of them for None.

        Raises:
            InputError: `limit` is no integer, or less than 1.
        """
        with self._db.reading() as conn:
            return journal.log(conn, limit)

    def classes(self) -> list[ClassInfo]:
        """Every enrolled class and how many of its examples count, by label; no negatives."""
        with self._db.reading() as conn:
            return reading.classes(conn)

    def negatives(self) -> int:
        """How many examples count that are none of the classes."""
        with self._db.reading() as conn:
            return reading.negatives(conn)

    def thresholds(self) -> dict[str, float]:
        """The thresholds that a person set, by label; those of other classes are worked out."""
        with self._db.reading() as conn:
            return overrides(conn)

    def samples(self, label: str | None) -> list[SampleInfo]:
        """The examples of a class that count, in the order they came; for None the negatives.

        Raises:
            LabelNotFoundError: No such class is enrolled, or no negative.
        """
        with self._db.reading() as conn:
            return reading.samples(conn, label)

    def sample(self, id: str) -> SampleInfo:
        """One live example.

        Raises:
            SampleNotFoundError: There is none of that id.
        """
        with self._db.reading() as conn:
            return reading.sample(conn, id)

    def thumbnail(self, id: str) -> bytes | None:
        """The encoded picture that was enrolled with an example, where there was one.

        Raises:
            SampleNotFoundError: `id` is not 32 hexadecimal digits.
        """
        with self._db.reading() as conn:
            return reading.thumbnail(conn, id)

    def rows(self, batch: int = 4096) -> Iterator[Rows]:
        """Every example that counts, a batch at a time, all of one committed state.

        The order depends on content only: labels by code point, then a digest of the integers.

        Raises:
            StoreBusyError: A purge came between two batches; read again.
        """
        return reading.rows(self._db, self._identity, batch)

    def since(self, seq: Position, *, most: int, wait: float | None = None) -> Delta | None:
        """What came and went after the state `seq`, up to one committed state.

        Args:
            seq: The state that the caller knows; see `Rows.seq`, `Delta.seq` and `Change.span`.
            most: How many changes the caller will take.
            wait: Longest wait for another's lock, seconds; else the store's own limit.

        Returns:
            None where there are more, or they are not known any more: read everything.
        """
        with self._db.reading(wait=wait) as conn:
            match(conn, self._db.path, self._identity)
            return following.since(conn, seq, self._identity, most=most)

    def embeddings(self, ids: Sequence[bytes]) -> Integers:
        """The integers `(n, d)` of examples by their ids, whether or not they count.

        Raises:
            SampleNotFoundError: One has been purged.
        """
        with self._db.reading() as conn:
            return following.embeddings(conn, ids, self._identity.dim)

    def statistics(self, form: str) -> Statistics | None:
        """What `Store.keep` kept, or None where that is absent, damaged or of another form."""
        with self._db.reading() as conn:
            match(conn, self._db.path, self._identity)
            return statistics.load(conn, self._identity.dim, form)

    def last_change(self) -> Position:
        """The state that the store is in."""
        with self._db.reading() as conn:
            return state.last_change(conn)

    def pending(self, *, wait: float | None = None) -> int:
        """Changes that came since the statistics that are kept, or all that ever came.

        `wait` is the longest wait for another's lock, seconds; else the store's own limit.
        """
        with self._db.reading(wait=wait) as conn:
            return statistics.pending(conn)

    def version(self) -> int:
        """A number that changes when another connection has committed; asking never waits.

        Changes made through this store do not count, since they come back as a `Change`.
        """
        return self._db.version()

    def close(self) -> None:
        """Close the file; closing again does nothing."""
        self._db.close()

    def __enter__(self: _R) -> _R:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
