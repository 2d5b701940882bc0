"""What counts, worked out from what was done; and what an operation changed about it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from edgeinc.store.content import unpack
from edgeinc.store.records import Row
from edgeinc.store.trust import expect, one_row

__all__ = ["find_representative", "settle"]

DERIVE = """
SELECT s.class, s.live, s.digest,
    coalesce((
        SELECT r.class FROM relabels r
            JOIN operations o ON o.id = r.operation JOIN devices d ON d.id = o.device
        WHERE r.sample = s.id AND o.undone = 0
        ORDER BY o.counter DESC, d.uid DESC, o.uid DESC LIMIT 1
    ), s.origin),
    e.undone = 0 AND NOT EXISTS (
        SELECT 1 FROM removals r JOIN operations o ON o.id = r.operation
        WHERE r.sample = s.id AND o.undone = 0
    )
FROM samples s JOIN operations e ON e.id = s.operation
WHERE s.id = ?
"""

REPRESENTATIVE = """
SELECT id FROM samples WHERE class = ? AND live = 1 AND digest = ? ORDER BY uid LIMIT 1
"""

_Key = tuple[int, bytes]
"""Class and digest: examples that share them count once."""


def find_representative(conn: sqlite3.Connection, key: _Key) -> int | None:
    """The row under which the live examples of one class and content count, if there are any."""
    found = conn.execute(REPRESENTATIVE, key).fetchone()
    return None if found is None else int(found[0])


def settle(
    conn: sqlite3.Connection, samples: Iterable[int], dim: int
) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Bring `live` and `class` of these rows up to date with the operations on them.

    It runs inside the caller's transaction, after the operations' effects were written and
    before anything is wiped. Rows that were purged are left alone.

    Returns:
        The rows that count now and did not, and those that counted and do not.

    Raises:
        StoreFormatError: One of them is damaged.
    """
    moves: list[tuple[int, int, int]] = []
    keys: dict[_Key, None] = {}
    for sample in samples:
        found = conn.execute(DERIVE, (sample,)).fetchone()
        if found is None:
            continue
        old_class, was_live, content, new_class, is_live = found
        if (old_class, was_live) == (new_class, is_live):
            continue
        moves.append((new_class, is_live, sample))
        if was_live:
            keys[old_class, content] = None
        if is_live:
            keys[new_class, content] = None
    before = {key: find_representative(conn, key) for key in keys}
    conn.executemany("UPDATE samples SET class = ?, live = ? WHERE id = ?", moves)
    after = {key: find_representative(conn, key) for key in keys}
    changed = [key for key in keys if before[key] != after[key]]
    return _rows(conn, changed, after, dim), _rows(conn, changed, before, dim)


def _rows(
    conn: sqlite3.Connection,
    keys: Sequence[_Key],
    representatives: Mapping[_Key, int | None],
    dim: int,
) -> tuple[Row, ...]:
    rows = []
    labels: dict[int, str] = {}
    for key in keys:
        sample = representatives[key]
        if sample is None:
            continue
        if key[0] not in labels:
            query = "SELECT label FROM classes WHERE id = ?"
            labels[key[0]] = expect(str, one_row(conn.execute(query, key[:1]))[0])
        query = "SELECT uid, embedding, digest FROM samples WHERE id = ?"
        uid, blob, check = one_row(conn.execute(query, (sample,)))
        rows.append(Row(expect(bytes, uid).hex(), labels[key[0]], unpack([(blob, check)], dim)[0]))
    return tuple(rows)
