"""Putting examples in."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from edgeinc.errors import InputError
from edgeinc.store.checks import is_nonnegative, match
from edgeinc.store.content import digest, is_negative, pack, unpack
from edgeinc.store.disk.connection import Database
from edgeinc.store.journal import count_examples, last_row, record
from edgeinc.store.labels import class_of
from edgeinc.store.records import Change, Identity, NewExample, Row
from edgeinc.store.state import find_representative, last_change, note

__all__ = ["enroll", "row_of_class", "row_of_file"]

_TAKE_OVER = """
INSERT INTO thresholds (sample, operation)
SELECT ?, override FROM classes WHERE id = ? AND override IS NOT NULL
"""
"""What holds for a class holds for an example that comes to it."""


@dataclass(frozen=True, slots=True)
class _Checked:
    """An example in its stored form."""

    label: str
    blob: bytes
    digest: bytes
    source: str | None
    thumbnail: bytes | None


def enroll(
    db: Database,
    examples: Sequence[NewExample],
    *,
    bound: Identity,
    file: tuple[str, str],
    now: float,
) -> Change:
    """Add examples in one transaction, but for those that their class has already.

    Args:
        db: The store.
        examples: Any number, of any classes.
        bound: The backbone that made them.
        file: Name and sha256 of the weight file that made the embeddings.
        now: Unix time, seconds.

    Raises:
        LabelError: A label that may not be; nothing is added.
        InputError: An embedding of another shape or type, or with negative numbers where the
            backbone gives none; nothing is added.
        StoreError: As for every write; nothing is added.
    """
    checked = [_check(example, bound.dim) for example in examples]
    with db.writing() as conn:
        match(conn, db.path, bound)
        if is_nonnegative(conn, bound) and any(is_negative(e.blob, bound.dim) for e in checked):
            raise InputError(
                f"An embedding has negative numbers, which {bound.backbone!r} never gives. "
                "Embed with the store's backbone, or correct `nonnegative` in its card."
            )
        fresh: list[_Checked] = []
        seen: set[tuple[str, bytes]] = set()
        for example in checked:
            key = (example.label, example.digest)
            if key not in seen and not _is_live(conn, *key):
                fresh.append(example)
            seen.add(key)
        if not fresh:
            return Change(skipped=len(checked))
        detail = f"enrolled {count_examples(Counter(e.label for e in fresh))}"
        operation, number = record(conn, "enroll", detail, now, row_of_file(conn, *file))
        inserted = [_insert(conn, example, operation, bound.dim) for example in fresh]
        first = last_change(conn)
        note(conn, [counted for _, counted in inserted], ())
        span = first, last_change(conn)
    rows = tuple(row for row, _ in inserted)
    skipped = len(checked) - len(fresh)
    return Change(rows, (), skipped, tuple(row.id for row in rows), number, span=span)


def row_of_class(conn: sqlite3.Connection, label: str) -> int:
    """The row of a class, which is made where there is none."""
    found = conn.execute("SELECT id FROM classes WHERE label = ?", (label,)).fetchone()
    if found is not None:
        return int(found[0])
    conn.execute("INSERT INTO classes (label) VALUES (?)", (label,))
    return last_row(conn)


def _check(example: NewExample, dim: int) -> _Checked:
    blob = pack(example.embedding, dim)
    source = example.source
    if source is not None:
        # A file name may hold bytes that are no text; people read them as escapes.
        source = source.encode("utf-8", "backslashreplace").decode()
    return _Checked(class_of(example.label), blob, digest(blob), source, example.thumbnail)


def _is_live(conn: sqlite3.Connection, label: str, content: bytes) -> bool:
    found = conn.execute("SELECT id FROM classes WHERE label = ?", (label,)).fetchone()
    return found is not None and find_representative(conn, (found[0], content)) is not None


def row_of_file(conn: sqlite3.Connection, name: str, sha256: str) -> int:
    """The row of a weight file, which is made where there is none."""
    query = "SELECT id FROM files WHERE sha256 = ? AND name = ?"
    found = conn.execute(query, (sha256, name)).fetchone()
    if found is not None:
        return int(found[0])
    conn.execute("INSERT INTO files (name, sha256) VALUES (?, ?)", (name, sha256))
    return last_row(conn)


def _insert(
    conn: sqlite3.Connection, example: _Checked, operation: int, dim: int
) -> tuple[Row, tuple[int, int]]:
    """The example, and its class and row."""
    uid = os.urandom(16)
    row = row_of_class(conn, example.label)
    conn.execute(
        "INSERT INTO samples (uid, live, class, origin, operation, digest, source, embedding)"
        " VALUES (?, 1, ?, ?, ?, ?, ?, ?)",
        (uid, row, row, operation, example.digest, example.source, example.blob),
    )
    sample = last_row(conn)
    conn.execute(_TAKE_OVER, (sample, row))
    if example.thumbnail is not None:
        conn.execute(
            "INSERT INTO thumbnails (sample, image) VALUES (?, ?)", (sample, example.thumbnail)
        )
    integers = unpack([(example.blob, example.digest)], dim)[0]
    return Row(uid.hex(), example.label, integers), (row, sample)
