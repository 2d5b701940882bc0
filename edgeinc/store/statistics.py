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

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import MARK
from edgeinc.store.disk.trust import one_row
from edgeinc.store.records import Position, Statistics
from edgeinc.store.state import is_listed

__all__ = ["checksum", "drop_traces", "fits", "load", "pending", "seal"]

COUNTS = "SELECT id, examples FROM classes WHERE examples > 0"
MOVED = "SELECT class, sum(sign) FROM changes WHERE id > ? GROUP BY class"
SUMS = "SELECT s.class, c.label, s.marks, s.total, s.digest FROM sums s CROSS JOIN classes c"


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
    parts = hashlib.blake2b(seal(seq, form, dim), digest_size=32)
    parts.update(matrix)
    classes, counts = [], {}
    for row, label, *blobs in found:
        if not isinstance(label, str) or not all(isinstance(blob, bytes) for blob in blobs):
            return None
        marks, total, digest = blobs
        if len(total) not in (4 * dim, 8 * dim) or len(marks) % MARK or not marks:
            return None
        if checksum(row, marks, total) != digest:
            return None
        parts.update(digest)
        integers = np.frombuffer(total, "<i4" if len(total) == 4 * dim else "<i8")
        classes.append((label, marks, integers))
        counts[row] = len(marks) // MARK
    if parts.digest() != check or len(matrix) != 4 * dim * (dim + 1):
        return None
    if not fits(conn, seq, counts):
        return None
    return Statistics(seq, _square(matrix, dim), classes)


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


def fits(conn: sqlite3.Connection, seq: Position, counts: dict[int, int]) -> bool:
    """True where so many examples of each class, in the state `seq`, are as many as count now."""
    for row, difference in conn.execute(MOVED, seq[:1]):
        counts[row] = counts.get(row, 0) + difference
    return {row: n for row, n in counts.items() if n} == dict(conn.execute(COUNTS))


def seal(seq: Position, form: str, dim: int) -> bytes:
    """What the checksum of all parts begins with."""
    return f"{form} {dim} {seq[0]} {seq[1]} ".encode()


def checksum(row: int, marks: bytes, total: bytes) -> bytes:
    """Checksum of what is kept of one class."""
    digest = hashlib.blake2b(f"{row} {len(marks)} ".encode(), digest_size=16)
    digest.update(marks)
    digest.update(total)
    return digest.digest()


def _square(triangle: bytes, dim: int) -> NDArray[np.float64]:
    """The symmetric matrix of an upper half, row by row."""
    values = np.frombuffer(triangle, "<f8")
    matrix = np.empty((dim, dim))
    at = 0
    for i in range(dim):
        matrix[i, i:] = matrix[i:, i] = values[at : at + dim - i]
        at += dim - i
    return matrix
