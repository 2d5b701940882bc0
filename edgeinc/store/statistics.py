"""Statistics of the examples, kept beside them so that opening a store need not read them all.

The Gram matrix is one row; the sums and marks of each class are another, so that keeping them
up to date writes the classes that changed and no others. All of it belongs to one change of
the store. A checksum of each part, and one of all parts together, tell damage; what is damaged,
of another form, or does not fit the rows is taken for absent, and made again from the rows.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import MARK, narrow
from edgeinc.store.disk.trust import one_row
from edgeinc.store.records import Position, Statistics
from edgeinc.store.state import is_listed

__all__ = ["Packed", "Plan", "drop_traces", "load", "pack", "pending", "plan", "save"]

COUNTS = "SELECT id, examples FROM classes WHERE examples > 0"
MOVED = "SELECT class, sum(sign) FROM changes WHERE id > ? GROUP BY class"
SUMS = "SELECT s.class, c.label, s.marks, s.total, s.digest FROM sums s CROSS JOIN classes c"
TOUCHED = "SELECT DISTINCT class FROM changes WHERE id > ? AND id <= ?"


def pending(conn: sqlite3.Connection) -> int:
    """Changes since the statistics that are kept, or since the beginning where none are."""
    query = "SELECT changed - coalesce((SELECT seq FROM gram), 0) FROM store"
    return int(one_row(conn.execute(query))[0])


def load(conn: sqlite3.Connection, dim: int, form: str) -> Statistics | None:
    """The statistics that are kept, or None where there are none to be trusted.

    Args:
        conn: A connection in a read transaction.
        dim: Length of a feature.
        form: How features were made; statistics of others are passed over.
    """
    query = "SELECT seq, tip, matrix, digest FROM gram WHERE form = ?"
    kept = conn.execute(query, (form,)).fetchone()
    if kept is None or not is_listed(conn, kept[:2]):
        return None
    seq, matrix, check = kept[:2], kept[2], kept[3]
    found = conn.execute(f"{SUMS} ON c.id = s.class ORDER BY s.class").fetchall()
    if not isinstance(matrix, bytes):
        return None
    parts = hashlib.blake2b(_seal(seq, form, dim), digest_size=32)
    parts.update(matrix)
    classes, counts = [], {}
    for row, label, *blobs in found:
        if not isinstance(label, str) or not all(isinstance(blob, bytes) for blob in blobs):
            return None
        marks, total, digest = blobs
        if len(total) not in (4 * dim, 8 * dim) or len(marks) % MARK or not marks:
            return None
        if _digest(row, marks, total) != digest:
            return None
        parts.update(digest)
        integers = np.frombuffer(total, "<i4" if len(total) == 4 * dim else "<i8")
        classes.append((label, marks, integers))
        counts[row] = len(marks) // MARK
    if parts.digest() != check or len(matrix) != 4 * dim * (dim + 1):
        return None
    if not _fits(conn, seq, counts):
        return None
    return Statistics(seq, _square(matrix, dim), classes)


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
    if not _fits(conn, kept.seq, counts):
        # Whoever made them does not know all that went; what was purged must not come back.
        return None
    if whole:
        return Plan(former, rows, None)
    found = conn.execute(TOUCHED, (former[0], kept.seq[0]))
    return Plan(former, rows, frozenset(row for (row,) in found))


def pack(kept: Statistics, form: str, plan: Plan) -> Packed:
    """The bytes of these statistics, many of them: no transaction should wait for them."""
    matrix = _triangle(kept.gram)
    parts = hashlib.blake2b(_seal(kept.seq, form, len(kept.gram)), digest_size=32)
    parts.update(matrix)
    sums = []
    for label, marks, total in kept.classes:
        row = plan.rows[label]
        if plan.touched is None or row in plan.touched:
            packed = _packed(total)
            sums.append((row, marks, packed, _digest(row, marks, packed)))
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


def drop_traces(conn: sqlite3.Connection, samples: Sequence[int]) -> None:
    """Let go of statistics that hold any of these examples; for a purge, in its transaction.

    They hold none that was out of everything when they were made, and has been since. The list
    of changes goes as far as it names one: nobody could follow it any more.
    """
    (seq,) = one_row(conn.execute("SELECT coalesce((SELECT seq FROM gram), -1)"))
    gone = set(samples)
    query = "SELECT id, sample FROM changes"
    listed = [row for row, sample in conn.execute(query) if sample in gone]
    if not listed:
        return
    if max(listed) > seq:
        conn.execute("DELETE FROM gram")
        conn.execute("DELETE FROM sums")
        conn.execute("UPDATE store SET floor = changed")
    else:
        conn.execute("UPDATE store SET floor = ?", (seq,))
    conn.execute("DELETE FROM changes WHERE id <= (SELECT floor FROM store)")


def _fits(conn: sqlite3.Connection, seq: Position, counts: dict[int, int]) -> bool:
    """True where so many examples of each class, in the state `seq`, are as many as count now."""
    for row, difference in conn.execute(MOVED, seq[:1]):
        counts[row] = counts.get(row, 0) + difference
    return {row: n for row, n in counts.items() if n} == dict(conn.execute(COUNTS))


def _seal(seq: Position, form: str, dim: int) -> bytes:
    return f"{form} {dim} {seq[0]} {seq[1]} ".encode()


def _digest(row: int, marks: bytes, total: bytes) -> bytes:
    """Checksum of what is kept of one class."""
    digest = hashlib.blake2b(f"{row} {len(marks)} ".encode(), digest_size=16)
    digest.update(marks)
    digest.update(total)
    return digest.digest()


def _packed(total: NDArray[Any]) -> bytes:
    """A sum as four bytes a value, or eight where it needs them."""
    kept = narrow(total)
    return kept.astype(kept.dtype.newbyteorder("<"), copy=False).tobytes()


def _triangle(matrix: NDArray[np.float64]) -> bytes:
    """The upper half of a symmetric matrix, row by row."""
    return b"".join(row[i:].astype("<f8").tobytes() for i, row in enumerate(matrix))


def _square(triangle: bytes, dim: int) -> NDArray[np.float64]:
    """What `_triangle` was given."""
    values = np.frombuffer(triangle, "<f8")
    matrix = np.empty((dim, dim))
    at = 0
    for i in range(dim):
        matrix[i, i:] = matrix[i:, i] = values[at : at + dim - i]
        at += dim - i
    return matrix
