"""Merging other stores, and archives of stores, into one; `union.py` has the rules."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from edgeinc.store.checks import is_nonnegative, match
from edgeinc.store.content import digest
from edgeinc.store.disk.connection import Database
from edgeinc.store.disk.translation import inode
from edgeinc.store.journal import record
from edgeinc.store.merging.shared import Source
from edgeinc.store.merging.sources import match_source, open_source
from edgeinc.store.merging.union import Union
from edgeinc.store.opening import named
from edgeinc.store.overrides import overrides
from edgeinc.store.records import Change, Identity, Row
from edgeinc.store.removal import finish_purge, wipe
from edgeinc.store.state import last_change, settle

__all__ = ["merge"]

AT_ONCE = 4096
"""Examples that are settled at a time. A larger merge does not say which rows came and went,
since they might not fit in memory: whoever keeps sums is told to read them anew."""

NAMED = 3
"""Files that the log names."""


def merge(
    db: Database,
    paths: Sequence[str | Path | Source],
    *,
    bound: Identity,
    timeout: float,
    now: float,
) -> Change:
    """Add what other stores or archives hold, all of them in one transaction.

    Args:
        db: The store.
        paths: The others, by name or open. They are only read; the store itself among them is
            passed over.
        bound: The backbone of the store.
        timeout: Longest wait for another process's lock on one of the others, seconds.
        now: Unix time, seconds.

    Returns:
        How many examples came and went, and which, unless there are more than `AT_ONCE`.
        `operation` is None where nothing was new.

    Raises:
        BackboneMismatchError: One was made with another backbone; both are named.
        StoreFormatError: One is no store or archive, is damaged, or contradicts another.
        InputError: The name of one is empty.
        StoreError: One cannot be read; or as for every write.
    """
    named = [(_path(one), one) for one in paths]
    others = [(path, one) for path, one in named if inode(path) != inode(db.path)]
    with ExitStack() as stack:
        # Here every archive is checked to its end, before anything is written.
        sources = [
            stack.enter_context(open_source(path, timeout=timeout))
            if isinstance(one, str | Path)
            else one
            for path, one in others
        ]
        for source in sources:
            match_source(source, bound)
        with db.writing() as conn:
            match(conn, db.path, bound)
            union = Union(conn, (bound.dim, is_nonnegative(conn, bound)))
            for source in sources:
                union.take(source)
            union.drop_idle()
            if not union.changed:
                return Change()
            change = _settle(conn, union, [path.name for path, _ in others], bound.dim, now)
    if union.doomed:
        finish_purge(db)
    if len(union.touched) > AT_ONCE:
        db.mark_changed()
    return change


def _path(one: str | Path | Source) -> Path:
    return named(one if isinstance(one, str | Path) else one.name)


def _settle(
    conn: sqlite3.Connection, union: Union, names: Sequence[str], dim: int, now: float
) -> Change:
    """Note the merge in the log, and bring what counts up to date with it."""
    operation, number = record(conn, "merge", "", now)
    first = last_change(conn)
    doomed, touched = list(union.doomed), list(union.touched)
    # For as long as it takes to settle: then they are wiped, and this with them.
    conn.executemany(
        "INSERT INTO removals (sample, operation) VALUES (?, ?)",
        [(row, operation) for row in doomed],
    )
    difference: Counter[tuple[str, bytes]] = Counter()
    added: tuple[Row, ...] = ()
    removed: tuple[Row, ...] = ()
    for start in range(0, len(touched), AT_ONCE):
        added, removed = settle(conn, touched[start : start + AT_ONCE], dim)
        difference.update(map(_key, added))
        difference.subtract(map(_key, removed))
    if doomed:
        wipe(conn, doomed)
    came = sum(1 for n in difference.values() if n > 0)
    went = sum(1 for n in difference.values() if n < 0)
    conn.execute(
        "UPDATE operations SET detail = ? WHERE id = ?",
        (f"merged {_list(names)}: {came} added, {went} removed", operation),
    )
    change = Change(operation=number, came=came, went=went, thresholds=overrides(conn))
    if len(touched) > AT_ONCE:
        return change
    return change._replace(added=added, removed=removed, span=(first, last_change(conn)))


def _key(row: Row) -> tuple[str, bytes]:
    """What examples have in common that count once."""
    return row.label, digest(row.embedding.astype("<i2").tobytes())


def _list(names: Sequence[str]) -> str:
    # A file name may hold bytes that are no text, and line breaks.
    shown = [ascii(name) for name in names[:NAMED]]
    return ", ".join(shown + ["..."] * (len(names) > NAMED))
