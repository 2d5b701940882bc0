"""Giving a class another name, and taking operations back."""

from __future__ import annotations

from dataclasses import replace

from edgeinc.errors import InputError, LabelError
from edgeinc.store.checks import match
from edgeinc.store.disk.connection import Database
from edgeinc.store.enrolment import row_of_class
from edgeinc.store.journal import ENTRIES, TOUCHED, entry, record
from edgeinc.store.labels import clean_label
from edgeinc.store.reading import is_enrolled, not_enrolled, uids
from edgeinc.store.records import Change, Identity
from edgeinc.store.state import settle

__all__ = ["rename", "undo"]

# An operation whose every example has been purged is passed over: nothing would come of it.
_UNDOABLE = f"""
{ENTRIES} WHERE number IS NOT NULL AND undone = 0 AND kind IN ('enroll', 'forget', 'rename') AND (
    EXISTS (SELECT 1 FROM samples WHERE operation = o.id)
    OR EXISTS (SELECT 1 FROM removals WHERE operation = o.id)
    OR EXISTS (SELECT 1 FROM relabels WHERE operation = o.id)
)
ORDER BY id DESC LIMIT ?
"""


def rename(db: Database, old: str, new: str, *, bound: Identity, now: float) -> Change:
    """Give every example of a class, forgotten ones too, another label.

    Args:
        db: The store.
        old: The class's label.
        new: A label that no enrolled class has.
        bound: The backbone of the store.
        now: Unix time, seconds.

    Raises:
        LabelNotFoundError: No class `old` is enrolled.
        LabelError: `new` may not be a label, or is one already.
        StoreError: As for every write.
    """
    old, new = clean_label(old), clean_label(new)
    with db.writing() as conn:
        match(conn, db.path, bound)
        if not is_enrolled(conn, old):
            raise not_enrolled(old)
        if is_enrolled(conn, new):
            raise LabelError(
                f"A class {new!r} is enrolled already. Forget it first, or choose another name."
            )
        query = "SELECT id FROM samples WHERE class = (SELECT id FROM classes WHERE label = ?)"
        targets = [row for (row,) in conn.execute(query, (old,))]
        operation, number = record(conn, "rename", f"renamed '{old}' to '{new}'", now)
        target = row_of_class(conn, new)
        conn.executemany(
            "INSERT INTO relabels (sample, operation, class) VALUES (?, ?, ?)",
            [(row, operation, target) for row in targets],
        )
        added, removed = settle(conn, targets, bound.dim)
        ids = uids(conn, targets)
    return Change(added, removed, 0, ids, number)


def undo(db: Database, n: int, *, bound: Identity, now: float) -> Change:
    """Take back the last `n` operations of this store that can be taken back.

    Enrolling, forgetting and renaming can; undoing, purging and merging cannot and are passed
    over. What others have done since to the same examples stays: a merged removal keeps an
    example out, a later merged relabelling keeps its label.

    Args:
        db: The store.
        n: How many, at least 1; fewer where there are fewer.
        bound: The backbone of the store.
        now: Unix time, seconds.

    Raises:
        InputError: `n` is less than 1.
        StoreError: As for every write.
    """
    if n < 1:
        raise InputError(f"{n} operations cannot be undone. Give 1 or more.")
    with db.writing() as conn:
        match(conn, db.path, bound)
        found = conn.execute(_UNDOABLE, (n,)).fetchall()
        if not found:
            return Change()
        targets: dict[int, None] = {}
        for operation, *_ in found:
            targets.update((row, None) for (row,) in conn.execute(TOUCHED, {"o": operation}))
            conn.execute("UPDATE operations SET undone = 1 WHERE id = ?", (operation,))
        undone = tuple(replace(entry(row), undone=True) for row in found)
        words = "; ".join(f"{line.number} ({line.detail})" for line in undone)
        _, number = record(conn, "undo", f"undid {words}", now)
        added, removed = settle(conn, targets, bound.dim)
        ids = uids(conn, targets)
    return Change(added, removed, 0, ids, number, undone)
