"""What counts, worked out from what was done; and what an operation changed about it."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from edgeinc.store.content import refuse_negative, unpack
from edgeinc.store.disk.trust import expect, one_row
from edgeinc.store.overrides import settle_overrides
from edgeinc.store.records import Position, Row

__all__ = ["DERIVE", "find_representative", "is_listed", "last_change", "note", "settle"]

KEPT = 4096
"""Changes that are listed at least, for whoever follows the store."""

TRIMMED = 1024
"""Changes after which older ones are taken off the list."""

BEHIND = 20_000
"""Changes since statistics were kept, beyond which reading every row anew is no slower: they are
let go of, since nobody seems to renew them and the list would grow for their sake."""

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

TRIM = """
DELETE FROM changes WHERE id <= min(
    (SELECT changed FROM store) - ?, coalesce((SELECT seq FROM gram), (SELECT changed FROM store))
)
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

    So are the thresholds of the classes that they are in or were.

    It runs inside the caller's transaction, after the operations' effects were written and
    before anything is wiped. Rows that were purged are left alone.

    Returns:
        The rows that count now and did not, and those that counted and do not.

    Raises:
        StoreFormatError: One of them is damaged, or would count and is none that the store's
            backbone can have made.
    """
    moves: list[tuple[int, int, int]] = []
    keys: dict[_Key, None] = {}
    classes: dict[int, None] = {}
    for sample in samples:
        found = conn.execute(DERIVE, (sample,)).fetchone()
        if found is None:
            continue
        old_class, was_live, content, new_class, is_live = found
        classes.update({old_class: None, new_class: None})
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
    settle_overrides(conn, classes)
    changed = [key for key in keys if before[key] != after[key]]
    note(conn, _counted(changed, after), _counted(changed, before))
    added, removed = _rows(conn, changed, after, dim), _rows(conn, changed, before, dim)
    if added and one_row(conn.execute("SELECT nonnegative FROM store"))[0]:
        for row in added:
            refuse_negative([row.id], row.embedding[np.newaxis])
    return added, removed


def note(
    conn: sqlite3.Connection,
    added: Sequence[tuple[int, int]],
    removed: Sequence[tuple[int, int]],
) -> None:
    """Keep what is derived from a change: the list of changes, and how many examples count.

    Whatever makes an example count, or no longer, passes here, inside its own transaction.

    Args:
        conn: A connection in a write transaction.
        added: (class, sample) of the rows that count now and did not.
        removed: Those that counted and do not.
    """
    if not added and not removed:
        return
    first, before = last_change(conn)
    signed = [(*pair, -1) for pair in removed] + [(*pair, 1) for pair in added]
    conn.executemany(
        "INSERT INTO changes (id, class, sample, sign, before) VALUES (?, ?, ?, ?, ?)",
        [(first + i, *one, before) for i, one in enumerate(signed, 1)],
    )
    differences = Counter(c for c, _ in added)
    differences.subtract(c for c, _ in removed)
    conn.executemany(
        "UPDATE classes SET examples = examples + ? WHERE id = ?",
        [(n, c) for c, n in differences.items() if n],
    )
    last = first + len(signed)
    tip = int.from_bytes(os.urandom(7), "big")
    conn.execute("UPDATE store SET changed = ?, tip = ?", (last, tip))
    if first // TRIMMED != last // TRIMMED:
        if conn.execute("DELETE FROM gram WHERE seq < ?", (last - BEHIND,)).rowcount:
            conn.execute("DELETE FROM sums")
        conn.execute(TRIM, (KEPT,))
        query = "UPDATE store SET floor = coalesce((SELECT min(id) FROM changes), changed + 1) - 1"
        conn.execute(query)


def last_change(conn: sqlite3.Connection) -> Position:
    """The state of the store."""
    changed, tip = one_row(conn.execute("SELECT changed, tip FROM store"))
    return expect(int, changed), expect(int, tip)


def is_listed(conn: sqlite3.Connection, position: Position) -> bool:
    """True where the store was in this state, and every change since is listed."""
    seq, tip = position
    changed, now, floor = one_row(conn.execute("SELECT changed, tip, floor FROM store"))
    # A damaged file may hold anything here.
    if not all(isinstance(n, int) for n in (floor, seq, changed)) or not floor <= seq <= changed:
        return False
    query = "SELECT count(*), min(id), before FROM changes WHERE id > ?"
    found, _, before = one_row(conn.execute(query, (seq,)))
    return bool(found == changed - seq and tip == (before if found else now))


def _counted(
    keys: Sequence[_Key], representatives: Mapping[_Key, int | None]
) -> list[tuple[int, int]]:
    """Class and row of those that are represented."""
    rows = ((key[0], representatives[key]) for key in keys)
    return [(c, sample) for c, sample in rows if sample is not None]


def _rows(
    conn: sqlite3.Connection,
    keys: Sequence[_Key],
    representatives: Mapping[_Key, int | None],
    dim: int,
) -> tuple[Row, ...]:
    labels: dict[int, str] = {}
    found: list[tuple[str, str]] = []
    blobs: list[tuple[object, object]] = []
    for key in keys:
        sample = representatives[key]
        if sample is None:
            continue
        if key[0] not in labels:
            query = "SELECT label FROM classes WHERE id = ?"
            labels[key[0]] = expect(str, one_row(conn.execute(query, key[:1]))[0])
        query = "SELECT uid, embedding, digest FROM samples WHERE id = ?"
        uid, blob, check = one_row(conn.execute(query, (sample,)))
        found.append((expect(bytes, uid).hex(), labels[key[0]]))
        blobs.append((blob, check))
    rows = unpack(blobs, dim) if blobs else ()
    return tuple(Row(*names, row) for names, row in zip(found, rows, strict=True))
