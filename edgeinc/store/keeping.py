"""Keeping statistics of the examples beside them; `statistics.py` reads them."""

from __future__ import annotations

import hashlib
import sqlite3
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import MARK, narrow
from edgeinc.store.checks import match
from edgeinc.store.disk.connection import Database
from edgeinc.store.records import Identity, Position, Statistics
from edgeinc.store.state import is_listed
from edgeinc.store.statistics import checksum, fits, seal

__all__ = ["keep"]

TOUCHED = "SELECT DISTINCT class FROM changes WHERE id > ? AND id <= ?"


def keep(
    db: Database,
    statistics: Statistics,
    form: str,
    *,
    bound: Identity,
    whole: bool,
    wait: float | None,
) -> bool:
    """Keep statistics, unless the store has no use for them; see `Store.keep`.

    Raises:
        StoreError: As for every write.
    """
    with db.reading(wait=wait) as conn:
        match(conn, db.path, bound)
        due = plan(conn, statistics, form, whole=whole)
    if due is None:
        return False
    packed = pack(statistics, form, due)
    with db.writing(wait=wait) as conn:
        match(conn, db.path, bound)
        if plan(conn, statistics, form, whole=whole) != due:
            return False
        save(conn, statistics.seq, form, due, packed)
    return True


class Plan(NamedTuple):
    """What is to be written of statistics.

    Attributes:
        former: The state of those that are there; None where there are none.
        rows: The row of each class, by label.
        touched: Rows of the classes that changed since; None to write all.
    """

    former: Position | None
    rows: dict[str, int]
    touched: frozenset[int] | None


class Packed(NamedTuple):
    """The bytes to be written: of the Gram matrix, its checksum begun, and rows of `sums`."""

    matrix: bytes
    parts: hashlib.blake2b
    sums: list[tuple[int, bytes, bytes, bytes]]


def plan(conn: sqlite3.Connection, kept: Statistics, form: str, *, whole: bool) -> Plan | None:
    """What keeping these statistics would write.

    Args:
        conn: A connection in a transaction.
        kept: The statistics.
        form: How features were made.
        whole: Write every class, whatever is there: it was found damaged.

    Returns:
        None where the store has no use for them: it has later ones, or a purge came since.
    """
    former = conn.execute("SELECT seq, tip FROM gram WHERE form = ?", (form,)).fetchone()
    whole = whole or former is None or not is_listed(conn, former)
    if not is_listed(conn, kept.seq) or not (whole or former[0] < kept.seq[0]):
        return None
    all_rows = dict(conn.execute("SELECT label, id FROM classes"))
    if not all_rows.keys() >= {label for label, *_ in kept.classes}:
        # Somebody changed a label past all operations: nothing follows it.
        return None
    rows = {label: all_rows[label] for label, *_ in kept.classes}
    counts = {rows[label]: len(marks) // MARK for label, marks, _ in kept.classes}
    if not fits(conn, kept.seq, counts):
        # Whoever made them does not know all that went; what was purged must not come back.
        return None
    if whole:
        return Plan(former, rows, None)
    found = conn.execute(TOUCHED, (former[0], kept.seq[0]))
    return Plan(former, rows, frozenset(row for (row,) in found))


def pack(kept: Statistics, form: str, plan: Plan) -> Packed:
    """The bytes of these statistics, many of them: no transaction should wait for them."""
    matrix = _triangle(kept.gram)
    parts = hashlib.blake2b(seal(kept.seq, form, len(kept.gram)), digest_size=32)
    parts.update(matrix)
    sums = []
    for label, marks, total in kept.classes:
        row = plan.rows[label]
        if plan.touched is None or row in plan.touched:
            packed = _packed(total)
            sums.append((row, marks, packed, checksum(row, marks, packed)))
    return Packed(matrix, parts, sums)


def save(conn: sqlite3.Connection, seq: Position, form: str, plan: Plan, packed: Packed) -> None:
    """Write statistics of the state `seq`, in a write transaction in which the plan still holds."""
    if plan.touched is None:
        conn.execute("DELETE FROM sums")
    else:
        gone = [(row,) for row in sorted(plan.touched)]
        conn.executemany("DELETE FROM sums WHERE class = ?", gone)
    query = "INSERT INTO sums (class, marks, total, digest) VALUES (?, ?, ?, ?)"
    conn.executemany(query, packed.sums)
    parts = packed.parts.copy()
    for (digest,) in conn.execute("SELECT digest FROM sums ORDER BY class"):
        parts.update(digest)
    conn.execute("DELETE FROM gram")
    conn.execute(
        "INSERT INTO gram (id, seq, tip, form, matrix, digest) VALUES (1, ?, ?, ?, ?, ?)",
        (*seq, form, packed.matrix, parts.digest()),
    )


def _packed(total: NDArray[Any]) -> bytes:
    """A sum as four bytes a value, or eight where it needs them."""
    kept = narrow(total)
    return kept.astype(kept.dtype.newbyteorder("<"), copy=False).tobytes()


def _triangle(matrix: NDArray[np.float64]) -> bytes:
    """The upper half of a symmetric matrix, row by row."""
    return b"".join(row[i:].astype("<f8").tobytes() for i, row in enumerate(matrix))
