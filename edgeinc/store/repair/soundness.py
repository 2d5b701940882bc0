"""What can be wrong inside a store: each check yields a sentence for each thing it finds."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from edgeinc.store.checks import MISCOUNTED, QUICK_CHECK_BYTES, shape_fault
from edgeinc.store.content import is_negative, is_sound_embedding
from edgeinc.store.disk.trust import expect, one_row
from edgeinc.store.labels import is_stored
from edgeinc.store.overrides import OVERRULED
from edgeinc.store.state import DERIVE
from edgeinc.store.statistics import load

__all__ = [
    "CHECKS",
    "Damaged",
    "count",
    "describe_statistics",
    "examine_rows",
]

MOST = 10
"""Findings of SQLite's own check that are told."""

# A purged example keeps its id; nothing else of it may be there, or speak of it.
_TRACES = """
SELECT count(*) FROM samples s WHERE class IS NULL AND (
    live OR origin IS NOT NULL OR operation IS NOT NULL OR digest IS NOT NULL
    OR source IS NOT NULL OR embedding IS NOT NULL
    OR EXISTS (SELECT 1 FROM thumbnails WHERE sample = s.id)
    OR EXISTS (SELECT 1 FROM removals WHERE sample = s.id)
    OR EXISTS (SELECT 1 FROM relabels WHERE sample = s.id)
    {}
)
"""


_OF_THRESHOLDS = "OR EXISTS (SELECT 1 FROM thresholds WHERE sample = s.id)"


@dataclass(frozen=True, slots=True)
class Damaged:
    """A stored example that no longer matches its digest, or has negative numbers.

    Attributes:
        id: Its id, 32 hexadecimal digits.
        label: Its class, where that can be told.
        negative: It has negative numbers, which its backbone never gives.
    """

    id: str
    label: str | None
    negative: bool = False


def count(n: int, one: str, more: str) -> str:
    """A sentence about one of something, or about `n` of it."""
    return one if n == 1 else f"{n} {more}"


def examine_rows(
    conn: sqlite3.Connection, rows: range, dim: int, *, nonnegative: bool
) -> tuple[list[Damaged], int]:
    """Look at some of the examples, forgotten ones too.

    Returns:
        Those whose embedding no longer matches its digest, or, with `nonnegative`, has negative
        numbers; and how many are not counted, or not where, the operations on them say.
    """
    found = conn.execute(
        "SELECT s.id, s.uid, c.label, s.embedding, s.digest FROM samples s"
        " LEFT JOIN classes c ON c.id = s.class WHERE s.class IS NOT NULL AND s.id BETWEEN ? AND ?",
        (rows.start, rows.stop - 1),
    )
    damaged, miscounted = [], 0
    for row, uid, label, blob, check in found:
        if not is_sound_embedding(blob, check, dim):
            damaged.append(Damaged(expect(bytes, uid).hex(), label))
        elif nonnegative and is_negative(blob, dim):
            damaged.append(Damaged(expect(bytes, uid).hex(), label, negative=True))
        derived = conn.execute(DERIVE, (row,)).fetchone()
        miscounted += derived is None or derived[:2] != derived[3:]
    return damaged, miscounted


def _format(conn: sqlite3.Connection) -> int:
    """The format: in the first nothing derived was kept, before the third no threshold."""
    return int(one_row(conn.execute("PRAGMA user_version"))[0])


def describe_statistics(conn: sqlite3.Connection, dim: int) -> str:
    """What is to be said of the statistics that are kept beside the examples.

    Nothing is lost with them: they are made again from the examples.
    """
    if _format(conn) < 2:
        return "none"
    found = conn.execute("SELECT form FROM gram").fetchone()
    if found is None:
        return "none"
    return "whole" if load(conn, dim, expect(str, found[0])) else "damaged"


def _structure(conn: sqlite3.Connection) -> Iterator[str]:
    """SQLite's own full check: pages, tables, indexes, references."""
    fault = shape_fault(conn)
    if fault is not None:
        yield f"Its schema is damaged: {fault}."
    lines = [str(line) for (line,) in conn.execute(f"PRAGMA integrity_check({MOST})")]
    if lines == ["ok"] and _size(conn) <= QUICK_CHECK_BYTES:
        # Where a file is opened for reading only, SQLite leaves its CHECKs out of that.
        with closing(sqlite3.connect(":memory:")) as copy:
            conn.backup(copy)
            lines = [str(line) for (line,) in copy.execute(f"PRAGMA quick_check({MOST})")]
    yield from (f"SQLite finds: {line}." for line in lines if line != "ok")
    missing = conn.execute("PRAGMA foreign_key_check").fetchall()
    if missing:
        tables = ", ".join(sorted({str(table) for table, *_ in missing}))
        yield f"{len(missing)} rows refer to others that are not there ({tables})."


def _size(conn: sqlite3.Connection) -> int:
    (pages,) = one_row(conn.execute("PRAGMA page_count"))
    (page_size,) = one_row(conn.execute("PRAGMA page_size"))
    return int(pages * page_size)


def _labels(conn: sqlite3.Connection) -> Iterator[str]:
    bad = sum(not is_stored(label) for (label,) in conn.execute("SELECT label FROM classes"))
    if bad:
        yield f"{bad} labels are none that could be enrolled."


def _counts(conn: sqlite3.Connection) -> Iterator[str]:
    """The number of examples that is kept with each class, against the examples."""
    (wrong,) = (0,) if _format(conn) < 2 else one_row(conn.execute(MISCOUNTED))
    if wrong:
        yield f"{wrong} classes have another number of examples than they say."


def _thresholds(conn: sqlite3.Connection) -> Iterator[str]:
    """The threshold that is kept with each class, against those of its examples."""
    (wrong,) = (0,) if _format(conn) < 3 else one_row(conn.execute(OVERRULED))
    if wrong:
        yield f"{wrong} classes have another threshold than they say."


def _purged(conn: sqlite3.Connection) -> Iterator[str]:
    query = _TRACES.format(_OF_THRESHOLDS if _format(conn) > 2 else "")
    (traces,) = one_row(conn.execute(query))
    if traces:
        yield f"{traces} purged examples left more than their ids."


CHECKS = (_structure, _labels, _counts, _thresholds, _purged)
"""Every check but that of the rows, which is `examine_rows`."""
