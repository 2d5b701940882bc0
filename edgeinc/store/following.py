"""What changed in a store since a moment that somebody remembers."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from edgeinc.errors import SampleNotFoundError
from edgeinc.store.content import refuse_negative, unpack
from edgeinc.store.disk.trust import expect
from edgeinc.store.overrides import overrides
from edgeinc.store.records import Delta, Identity, Integers, Position, Rows
from edgeinc.store.state import is_listed, last_change

__all__ = ["embeddings", "since"]

# What came and went again in between is neither.
NET = """
SELECT g.net, c.label, s.uid, s.digest, s.embedding FROM (
    SELECT class, sample, sum(sign) AS net FROM changes WHERE id > ?
    GROUP BY class, sample HAVING sum(sign) <> 0
) AS g
CROSS JOIN samples s ON s.id = g.sample JOIN classes c ON c.id = g.class
ORDER BY c.label, s.digest, s.uid
"""

BY_ID = "SELECT embedding, digest FROM samples WHERE uid = ?"


def since(conn: sqlite3.Connection, seq: Position, bound: Identity, *, most: int) -> Delta | None:
    """What came and went after the state `seq`, in one read transaction.

    Returns:
        None where more than `most` changes came since, or they are no longer listed, or a
        purge has destroyed one: read the store anew.

    Raises:
        StoreFormatError: An example is damaged, or none that the backbone can have made.
    """
    last = last_change(conn)
    if not is_listed(conn, seq) or last[0] - seq[0] > most:
        return None
    found = conn.execute(NET, seq[:1]).fetchall() if seq[0] < last[0] else []
    if any(embedding is None for *_, embedding in found):
        return None
    parts = [_rows([row for row in found if row[0] == net], bound.dim, last) for net in (1, -1)]
    if bound.nonnegative:
        refuse_negative(parts[0].ids, parts[0].embeddings)
    if sum(len(part.ids) for part in parts) != len(found):
        return None
    return Delta(parts[0], parts[1], last, overrides(conn))


def embeddings(conn: sqlite3.Connection, ids: Sequence[bytes], dim: int) -> Integers:
    """The integers `(n, d)` of these examples, whether or not they count.

    Raises:
        SampleNotFoundError: One of them is not in the store, or has been purged.
        StoreFormatError: One of them is damaged.
    """
    blobs = [conn.execute(BY_ID, (uid,)).fetchone() for uid in ids]
    if any(blob is None or blob[0] is None for blob in blobs):
        raise SampleNotFoundError("An example was purged as it was to be read. Read again.")
    return unpack(blobs, dim)


def _rows(
    found: Sequence[tuple[int, object, object, object, object]], dim: int, seq: Position
) -> Rows:
    return Rows(
        ids=tuple(expect(bytes, uid).hex() for _, _, uid, _, _ in found),
        labels=tuple(expect(str, label) for _, label, _, _, _ in found),
        embeddings=unpack([(blob, digest) for *_, digest, blob in found], dim),
        digests=tuple(expect(bytes, digest) for _, _, _, digest, _ in found),
        seq=seq,
    )
