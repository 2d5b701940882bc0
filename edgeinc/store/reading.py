"""Questions to a store; none of them changes it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

from edgeinc.errors import LabelNotFoundError, SampleNotFoundError, StoreBusyError
from edgeinc.store.checks import match
from edgeinc.store.content import refuse_negative, unpack
from edgeinc.store.disk.connection import Database
from edgeinc.store.disk.trust import expect, one_row
from edgeinc.store.labels import class_of
from edgeinc.store.records import Identity, Rows
from edgeinc.store.state import last_change
from edgeinc.types import NEGATIVE, ClassInfo, SampleInfo

__all__ = [
    "classes",
    "is_enrolled",
    "negatives",
    "not_enrolled",
    "rows",
    "sample",
    "sample_key",
    "samples",
    "thumbnail",
    "uids",
]

CLASSES = "SELECT label, examples FROM classes WHERE examples > 0 AND label <> '' ORDER BY label"
NEGATIVES = "SELECT coalesce(max(examples), 0) FROM classes WHERE label = ''"

SAMPLES = """
SELECT s.uid, s.source, o.time FROM (
    SELECT min(uid), id FROM samples
    WHERE class = (SELECT id FROM classes WHERE label = ?) AND live = 1 GROUP BY digest
) AS r
JOIN samples s ON s.id = r.id JOIN operations o ON o.id = s.operation
ORDER BY s.id
"""

# min(uid) also picks the row that the bare column `id` is taken from; SQLite documents that.
CANONICAL = """
SELECT c.label, s.id, min(s.uid) FROM classes c CROSS JOIN samples s ON s.class = c.id
WHERE s.live = 1 GROUP BY c.label, s.digest
"""


def classes(conn: sqlite3.Connection) -> list[ClassInfo]:
    """Every enrolled class with the number of its examples that count, by label."""
    return [ClassInfo(expect(str, label), n) for label, n in conn.execute(CLASSES)]


def negatives(conn: sqlite3.Connection) -> int:
    """The number of negatives that count."""
    return expect(int, one_row(conn.execute(NEGATIVES))[0])


def is_enrolled(conn: sqlite3.Connection, label: str) -> bool:
    """True for a clean label that has a live example."""
    query = (
        "SELECT EXISTS (SELECT 1 FROM samples"
        " WHERE class = (SELECT id FROM classes WHERE label = ?) AND live = 1)"
    )
    return bool(conn.execute(query, (label,)).fetchone()[0])


def samples(conn: sqlite3.Connection, label: str | None) -> list[SampleInfo]:
    """The examples of a class that count, or the negatives, in the order they came into this store.

    Raises:
        LabelError: `label` may not be a label.
        LabelNotFoundError: No such class is enrolled, or no negative.
    """
    name = class_of(label)
    found = conn.execute(SAMPLES, (name,)).fetchall()
    if not found:
        raise not_enrolled(name)
    return [
        SampleInfo(expect(bytes, uid).hex(), name or None, source, time)
        for uid, source, time in found
    ]


def not_enrolled(name: str) -> LabelNotFoundError:
    """The error for a class, or negatives, of which there is nothing."""
    what = f"class {name!r}" if name != NEGATIVE else "negative"
    return LabelNotFoundError(f"No {what} is enrolled. See `edgeinc classes`.")


def sample(conn: sqlite3.Connection, id: str) -> SampleInfo:
    """One live example.

    Raises:
        SampleNotFoundError: There is none of that id.
    """
    query = (
        "SELECT c.label, s.source, o.time FROM samples s JOIN classes c ON c.id = s.class"
        " JOIN operations o ON o.id = s.operation WHERE s.uid = ? AND s.live = 1"
    )
    found = conn.execute(query, (_uid(id),)).fetchone()
    if found is None:
        raise _unknown(id)
    label, source, time = found
    return SampleInfo(_uid(id).hex(), label or None, source, time)


def sample_key(conn: sqlite3.Connection, id: str) -> tuple[str, int, bytes]:
    """Label, class and digest of an example, live or forgotten.

    Raises:
        SampleNotFoundError: There is none of that id, or it was purged.
    """
    query = (
        "SELECT c.label, s.class, s.digest FROM samples s JOIN classes c ON c.id = s.class"
        " WHERE s.uid = ?"
    )
    found = conn.execute(query, (_uid(id),)).fetchone()
    if found is None:
        raise _unknown(id)
    label, row, content = found
    return label, row, content


def thumbnail(conn: sqlite3.Connection, id: str) -> bytes | None:
    """The picture kept with an example, where one is."""
    query = "SELECT image FROM thumbnails WHERE sample = (SELECT id FROM samples WHERE uid = ?)"
    found = conn.execute(query, (_uid(id),)).fetchone()
    return None if found is None else bytes(found[0])


def uids(conn: sqlite3.Connection, rows: Iterable[int]) -> tuple[str, ...]:
    """The ids of these rows, as people and callers see them."""
    query = "SELECT uid FROM samples WHERE id = ?"
    found = (one_row(conn.execute(query, (row,)))[0] for row in rows)
    return tuple(expect(bytes, uid).hex() for uid in found)


def rows(db: Database, bound: Identity, batch: int) -> Iterator[Rows]:
    """Every example that counts, in canonical order, all of one committed state.

    The order depends on content only: labels by code point, then digests of the integers.
    The list is taken first, in one transaction, and embeddings are then read a batch at a
    time, so that no writer waits for whoever reads; that is sound because a stored embedding
    never changes until it is purged.

    Raises:
        BackboneMismatchError: The store is bound to another backbone than `bound`.
        StoreBusyError: A purge came between; read again.
        StoreFormatError: An example is damaged, or none that the backbone can have made.
        StoreError: As for every read.
    """
    with db.reading() as conn:
        match(conn, db.path, bound)
        seq = last_change(conn)
        listing = conn.execute(CANONICAL).fetchall()
    query = "SELECT embedding, digest FROM samples WHERE id = ?"
    for start in range(0, len(listing), batch):
        part = listing[start : start + batch]
        with db.reading() as conn:
            blobs = [one_row(conn.execute(query, (row,))) for _, row, _ in part]
        if any(blob is None for blob, _ in blobs):
            raise StoreBusyError(f"A purge changed {db.path} as it was read. Read it again.")
        ids = tuple(expect(bytes, uid).hex() for _, _, uid in part)
        embeddings = unpack(blobs, bound.dim)
        if bound.nonnegative:
            refuse_negative(ids, embeddings)
        yield Rows(
            ids=ids,
            labels=tuple(expect(str, label) for label, _, _ in part),
            embeddings=embeddings,
            digests=tuple(digest for _, digest in blobs),
            seq=seq,
        )


def _uid(id: str) -> bytes:
    """The bytes of an id.

    Raises:
        SampleNotFoundError: It is not 32 hexadecimal digits.
    """
    try:
        uid = bytes.fromhex(id)
    except ValueError as exc:
        raise _unknown(id) from exc
    if len(uid) != 16:
        raise _unknown(id)
    return uid


def _unknown(id: str) -> SampleNotFoundError:
    return SampleNotFoundError(
        f"No example has the id {id!r}. See `edgeinc samples LABEL` for ids."
    )
