"""The log of a store, which is also what undo goes by."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

from edgeinc.devices import brief
from edgeinc.errors import InputError
from edgeinc.store.disk.trust import one_row
from edgeinc.types import NEGATIVE, LogEntry
from edgeinc.version import __version__

__all__ = [
    "ENTRIES",
    "MOST_COUNTER",
    "TOUCHED",
    "at_most",
    "count_examples",
    "entry",
    "last_row",
    "log",
    "quoted",
    "record",
]

MOST_COUNTER = 2**62
"""The highest logical counter. There, later renamings are no longer told from earlier ones."""

_MOST_ROWS = 2**63 - 1
"""The highest number that SQLite takes."""

# Sources are asked of the examples, so that a purge leaves none in the log.
ENTRIES = """
SELECT id, number, time, kind, detail, tool, undone,
    (SELECT min(source) FROM samples WHERE operation = o.id),
    (SELECT count(DISTINCT source) FROM samples WHERE operation = o.id)
FROM operations o
"""

TOUCHED = """
SELECT id FROM samples WHERE operation = :o
UNION SELECT sample FROM removals WHERE operation = :o
UNION SELECT sample FROM relabels WHERE operation = :o
UNION SELECT sample FROM thresholds WHERE operation = :o
"""
"""The rows of the examples that an operation speaks of."""


def record(
    conn: sqlite3.Connection, kind: str, detail: str, now: float, file: int | None = None
) -> tuple[int, int]:
    """Add an operation of this device, inside the caller's transaction.

    Args:
        conn: A connection in a write transaction.
        kind: `enroll`, `forget`, `purge`, `rename`, `threshold`, `undo`, `merge` or `repair`.
        detail: What it does, in words. No sources: a purge would have to find them.
        now: Unix time, seconds. Nothing is ordered by it; the logical counter does that.
        file: Row of the weight file that made the examples.

    Returns:
        Its row, and its number in the log.
    """
    # One that is at its end, which only a forged archive can bring about, stays there.
    step = "UPDATE store SET counter = min(counter + 1, ?), lines = lines + 1"
    conn.execute(step, (MOST_COUNTER,))
    counter, number = one_row(conn.execute("SELECT counter, lines FROM store"))
    conn.execute(
        "INSERT INTO operations (uid, device, counter, number, kind, detail, time, tool, file)"
        " VALUES (?, (SELECT device FROM store), ?, ?, ?, ?, ?, ?, ?)",
        (os.urandom(16), counter, number, kind, detail, float(now), __version__, file),
    )
    return last_row(conn), number


def last_row(conn: sqlite3.Connection) -> int:
    """The row that the connection inserted last."""
    return int(conn.execute("SELECT last_insert_rowid()").fetchone()[0])


def log(conn: sqlite3.Connection, limit: int | None) -> list[LogEntry]:
    """The latest `limit` operations of this store, newest first; all of them for None.

    Raises:
        InputError: `limit` is no integer, or less than 1.
    """
    query = f"{ENTRIES} WHERE number IS NOT NULL ORDER BY id DESC LIMIT ?"
    most = _MOST_ROWS if limit is None else at_most(limit, "listed")
    return [entry(row) for row in conn.execute(query, (most,))]


def at_most(n: int, what: str) -> int:
    """A number of operations as SQLite takes it.

    Args:
        n: Any number; beyond what SQLite takes it is all that there are.
        what: What is to be done with so many, in words: `undone`.

    Raises:
        InputError: It is no integer, or less than 1.
    """
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 1:
        raise InputError(f"{brief(n)} operations cannot be {what}. Give 1 or more.")
    return min(int(n), _MOST_ROWS)


def entry(row: Sequence[Any]) -> LogEntry:
    """A line of the log from a row of `ENTRIES`."""
    _, number, time, kind, detail, tool, undone, source, sources = row
    if sources > 1:
        source = f"{source} and {sources - 1} more"
    return LogEntry(number, time, kind, detail, tool, bool(undone), source)


def quoted(label: str) -> str:
    r"""A label as the log names it.

    No quote is within, so that a purge finds this name there, and no other.

    >>> quoted("nut"), quoted("O'Brien") == "'O\u2019Brien'"
    ("'nut'", True)
    """
    return "'" + label.replace("'", "\u2019") + "'"


def count_examples(counts: Mapping[str, int]) -> str:
    """Words for so many examples of these classes, negatives apart.

    >>> count_examples({"nut": 1}), count_examples({"nut": 2, "bolt": 3})
    ("1 example of 'nut'", "5 examples of 2 classes: 'bolt', 'nut'")
    >>> count_examples({"": 1}), count_examples({"nut": 1, "": 2})
    ('1 negative', "1 example of 'nut' and 2 negatives")
    """
    negatives = counts.get(NEGATIVE, 0)
    labels = sorted(label for label in counts if label != NEGATIVE)
    words = [_count_labelled(counts, labels)] if labels else []
    if negatives:
        words.append(f"{negatives} negative{'' if negatives == 1 else 's'}")
    return " and ".join(words)


def _count_labelled(counts: Mapping[str, int], labels: Sequence[str]) -> str:
    total = sum(counts[label] for label in labels)
    names = ", ".join(map(quoted, labels[:3]))
    if len(labels) > 3:
        names += ", ..."
    which = names if len(labels) == 1 else f"{len(labels)} classes: {names}"
    return f"{total} example{'' if total == 1 else 's'} of {which}"
