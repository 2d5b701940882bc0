"""Thresholds that a person set: which of them holds for a class."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable

from edgeinc.store.disk.trust import expect, one_row

__all__ = ["OVERRULED", "is_threshold", "overrides", "settle_overrides"]

HOLDING = """
SELECT o.id FROM samples s CROSS JOIN thresholds t ON t.sample = s.id
    JOIN operations o ON o.id = t.operation JOIN devices d ON d.id = o.device
WHERE s.class = {} AND s.live = 1 AND o.undone = 0
ORDER BY o.counter DESC, d.uid DESC, o.uid DESC LIMIT 1
"""
"""The operation whose threshold holds: the latest of those of the live examples of a class."""

OVERRULED = f"""
SELECT count(*) FROM classes c WHERE override IS NOT ({HOLDING.format("c.id")})
"""
"""How many classes have another threshold than is kept with them."""

OVERRIDES = """
SELECT c.label, o.threshold FROM classes c JOIN operations o ON o.id = c.override
WHERE c.override IS NOT NULL AND o.threshold IS NOT NULL ORDER BY c.label
"""


def is_threshold(value: object) -> bool:
    """True for what the store may keep as a threshold.

    >>> is_threshold(0.5), is_threshold(1.5), is_threshold(1), is_threshold(-0.0)
    (True, False, False, False)
    """
    # Of the two zeros one only, so that equal thresholds are equal bytes.
    return isinstance(value, float) and 0 <= value <= 1 and math.copysign(1, value) > 0


def overrides(conn: sqlite3.Connection) -> dict[str, float]:
    """The thresholds that a person set, by label; all others are worked out."""
    found = conn.execute(OVERRIDES)
    return {expect(str, label): expect(float, value) for label, value in found}


def settle_overrides(conn: sqlite3.Connection, classes: Iterable[int]) -> None:
    """Bring what is kept with these classes up to date with their examples.

    It runs inside the caller's transaction, after what counts was settled.
    """
    # Most stores have none: no class's examples are looked at for it.
    if not one_row(conn.execute("SELECT EXISTS (SELECT 1 FROM thresholds)"))[0]:
        return
    query = f"UPDATE classes SET override = ({HOLDING.format('?1')}) WHERE id = ?1"
    conn.executemany(query, [(row,) for row in classes])
