"""Opening what is to be merged, another store or an archive; it is read and never changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from edgeinc.errors import StoreBusyError, StoreFormatError
from edgeinc.store.checks import check, compare, format_version, identity, is_blank, shape_fault
from edgeinc.store.content import digest
from edgeinc.store.disk.connection import Database
from edgeinc.store.disk.files import is_archive
from edgeinc.store.disk.leftovers import PrivateFolder
from edgeinc.store.disk.translation import is_no_database
from edgeinc.store.disk.trust import damaged, expect, one_row
from edgeinc.store.merging import archive
from edgeinc.store.merging.shared import Counts, Example, Operation, Purged, Record, Source
from edgeinc.store.opening import attach
from edgeinc.store.records import Identity
from edgeinc.store.schema import APPLICATION_ID, MIGRATIONS

__all__ = ["StoreSource", "identify", "match_source", "open_source"]

BATCH = 256
"""Examples that are read in one transaction."""

# Only operations that an example refers to; the others are of no use elsewhere.
_OPERATIONS = """
SELECT o.id, o.uid, d.uid, o.counter, o.kind, o.time, o.tool, f.name, f.sha256, o.undone,
    o.threshold
FROM operations o LEFT JOIN devices d ON d.id = o.device LEFT JOIN files f ON f.id = o.file
WHERE EXISTS (SELECT 1 FROM samples WHERE operation = o.id)
    OR EXISTS (SELECT 1 FROM removals WHERE operation = o.id)
    OR EXISTS (SELECT 1 FROM relabels WHERE operation = o.id)
    OR EXISTS (SELECT 1 FROM thresholds WHERE operation = o.id)
ORDER BY o.uid
"""
_EXAMPLES = "SELECT id FROM samples WHERE class IS NOT NULL ORDER BY uid"
_PURGED = "SELECT uid FROM samples WHERE class IS NULL ORDER BY uid"
_REMOVALS = "SELECT sample, operation FROM removals"
_RELABELS = """
SELECT r.sample, r.operation, c.label FROM relabels r LEFT JOIN classes c ON c.id = r.class
"""
_THRESHOLDS = "SELECT sample, operation FROM thresholds"
_EXAMPLE = """
SELECT s.uid, s.operation, c.label, s.embedding, s.digest, s.source, t.image
FROM samples s LEFT JOIN classes c ON c.id = s.origin LEFT JOIN thumbnails t ON t.sample = s.id
WHERE s.id = ?
"""


class StoreSource:
    """An open store as a source.

    What is small is read at once, in one transaction: some 200 bytes of memory an example.
    Embeddings then follow a batch at a time, so that the store's writer need not wait; that is
    sound because they never change until they are purged.
    """

    def __init__(self, db: Database, name: str | None = None) -> None:
        """List what the store holds; messages call it by `name`, where that is given.

        Raises:
            StoreError: As for every read.
        """
        self.name = name or str(db.path)
        self._db = db
        with db.reading() as conn:
            self.identity = identity(conn)
            found = conn.execute(_OPERATIONS).fetchall()
            self._operations = [
                Operation(uid, device, counter, kind, time, tool, _file(*file), undone == 1, value)
                for _, uid, device, counter, kind, time, tool, *file, undone, value in found
            ]
            self._uids: dict[int, bytes] = {row: uid for row, uid, *_ in found}
            self._examples: list[int] = [row for (row,) in conn.execute(_EXAMPLES)]
            self._purged = [Purged(uid) for (uid,) in conn.execute(_PURGED)]
            self._removals: dict[int, list[bytes]] = {}
            for sample, operation in conn.execute(_REMOVALS):
                self._removals.setdefault(sample, []).append(self._uid(operation))
            self._relabels: dict[int, list[tuple[bytes, str]]] = {}
            for sample, operation, label in conn.execute(_RELABELS):
                pair = (self._uid(operation), expect(str, label))
                self._relabels.setdefault(sample, []).append(pair)
            self._thresholds: dict[int, list[bytes]] = {}
            for sample, operation in conn.execute(_THRESHOLDS):
                self._thresholds.setdefault(sample, []).append(self._uid(operation))

    @property
    def counts(self) -> Counts:
        """How many records there are."""
        return Counts(len(self._operations), len(self._examples), len(self._purged))

    def records(self) -> Iterator[Record]:
        """What the store shares; see `Source.records`.

        Raises:
            StoreBusyError: A purge came between two batches.
            StoreFormatError: An embedding no longer matches its digest.
            StoreError: As for every read.
        """
        yield from self._operations
        for start in range(0, len(self._examples), BATCH):
            with self._db.reading() as conn:
                part = self._examples[start : start + BATCH]
                batch = [self._example(conn, row) for row in part]
            yield from batch
        yield from self._purged

    def _example(self, conn: sqlite3.Connection, row: int) -> Example:
        uid, operation, label, embedding, check, source, image = one_row(
            conn.execute(_EXAMPLE, (row,))
        )
        if embedding is None:
            raise StoreBusyError(f"A purge changed {self.name} as it was read. Read it again.")
        if digest(expect(bytes, embedding)) != check:
            raise damaged("an example no longer matches its digest")
        removals = tuple(sorted(self._removals.get(row, ())))
        relabels = tuple(sorted(self._relabels.get(row, ())))
        thresholds = tuple(sorted(self._thresholds.get(row, ())))
        by = self._uid(operation)
        return Example(uid, by, label, embedding, source, image, removals, relabels, thresholds)

    def _uid(self, operation: int) -> bytes:
        if operation not in self._uids:
            raise damaged()
        return self._uids[operation]


@contextmanager
def open_source(path: str | Path, *, timeout: float) -> Iterator[Source]:
    """Open a store or an archive, told apart by how it begins.

    Args:
        path: The file.
        timeout: Longest wait for another process's lock, seconds.

    Raises:
        StoreFormatError: Neither of the two, or an unsound one.
        StoreVersionError: A newer edgeinc wrote it.
        StoreError: It cannot be read.
    """
    with ExitStack() as stack:
        attached = _attach(path, timeout)
        if attached is None:
            yield stack.enter_context(archive.open_archive(path))
            return
        db = stack.enter_context(closing(attached))
        name = str(db.path)
        with db.reading() as conn:
            if is_blank(conn):
                raise StoreFormatError(f"{name} is no store. Choose another file.")
            if _is_old(conn):
                # It is upgraded in a copy, since the file is not to be changed.
                copy = stack.enter_context(PrivateFolder()).path / "store"
                with closing(sqlite3.connect(copy)) as target:
                    conn.backup(target)
                db = stack.enter_context(closing(attach(copy, timeout)))
        check(db)
        yield StoreSource(db, name)


def _attach(path: str | Path, timeout: float) -> Database | None:
    """The database of a store, to be read; None for an archive."""
    try:
        return attach(path, timeout, to_read=True)
    except StoreFormatError as exc:
        # Any other file may be a store, on which this process holds locks: see `files`.
        if is_no_database(exc.__cause__) and is_archive(path):
            return None
        raise


def identify(path: str | Path, *, timeout: float = 5.0) -> Identity:
    """The backbone that a store or an archive names; errors as for `open_source`.

    Nothing else in it is checked: merging does.
    """
    attached = _attach(path, timeout)
    if attached is None:
        return archive.read_identity(path)
    with closing(attached), attached.reading() as conn:
        if not is_blank(conn) and not _is_old(conn):
            format_version(conn, attached.path)
            if shape_fault(conn) is None:
                return identity(conn)
    with open_source(path, timeout=timeout) as source:
        return source.identity


def match_source(source: Source, bound: Identity) -> None:
    """Refuse a source of another backbone than this.

    Raises:
        BackboneMismatchError: Its message names both backbones.
    """
    compare(Path(source.name), source.identity, bound)


def _file(name: str | None, sha256: str | None) -> tuple[str, str] | None:
    return None if name is None or sha256 is None else (name, sha256)


def _is_old(conn: sqlite3.Connection) -> bool:
    """True for a store of an earlier format."""
    (application,) = one_row(conn.execute("PRAGMA application_id"))
    (version,) = one_row(conn.execute("PRAGMA user_version"))
    return bool(application == APPLICATION_ID and 0 < version < len(MIGRATIONS))
