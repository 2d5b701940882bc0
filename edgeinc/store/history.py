"""Giving a class another name or threshold, and taking operations back."""

from __future__ import annotations

from dataclasses import replace
from numbers import Real

from edgeinc.errors import InputError, LabelError
from edgeinc.store.checks import match
from edgeinc.store.disk.connection import Database
from edgeinc.store.enrolment import row_of_class
from edgeinc.store.journal import ENTRIES, TOUCHED, at_most, entry, quoted, record
from edgeinc.store.labels import clean_label
from edgeinc.store.overrides import overrides, settle_overrides
from edgeinc.store.reading import is_enrolled, not_enrolled, uids
from edgeinc.store.records import Change, Identity
from edgeinc.store.state import last_change, settle

__all__ = ["rename", "set_threshold", "undo"]

# An operation whose every example has been purged is passed over: nothing would come of it.
_UNDOABLE = f"""
{ENTRIES} WHERE number IS NOT NULL AND undone = 0
AND kind IN ('enroll', 'forget', 'rename', 'threshold') AND (
    EXISTS (SELECT 1 FROM samples WHERE operation = o.id)
    OR EXISTS (SELECT 1 FROM removals WHERE operation = o.id)
    OR EXISTS (SELECT 1 FROM relabels WHERE operation = o.id)
    OR EXISTS (SELECT 1 FROM thresholds WHERE operation = o.id)
)
ORDER BY id DESC LIMIT ?
"""

_OF_CLASS = "SELECT id FROM samples WHERE class = (SELECT id FROM classes WHERE label = ?)"


def rename(db: Database, old: str, new: str, *, bound: Identity, now: float) -> Change:
    """Give every example of a class, forgotten ones too, another label; its threshold goes along.

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
        targets = [row for (row,) in conn.execute(_OF_CLASS, (old,))]
        operation, number = record(conn, "rename", f"renamed {quoted(old)} to {quoted(new)}", now)
        target = row_of_class(conn, new)
        conn.executemany(
            "INSERT INTO relabels (sample, operation, class) VALUES (?, ?, ?)",
            [(row, operation, target) for row in targets],
        )
        added, removed = settle(conn, targets, bound.dim)
        ids, kept = uids(conn, targets), overrides(conn)
    return Change(added, removed, 0, ids, number, thresholds=kept)


def set_threshold(
    db: Database, label: str, value: float | None, *, bound: Identity, now: float
) -> Change:
    """Set the threshold of a class, or have it worked out again.

    It is noted with every example of the class, forgotten ones too, and goes with them.

    Args:
        db: The store.
        label: The class.
        value: 0 to 1; None to have it worked out.
        bound: The backbone of the store.
        now: Unix time, seconds.

    Returns:
        `operation` is None where the class has that threshold already.

    Raises:
        InputError: `value` is no number from 0 to 1.
        LabelError: `label` may not be a label.
        LabelNotFoundError: No such class is enrolled.
        StoreError: As for every write.
    """
    name, number = clean_label(label), _clean_threshold(value)
    with db.writing() as conn:
        match(conn, db.path, bound)
        if not is_enrolled(conn, name):
            raise not_enrolled(name)
        if overrides(conn).get(name) == number:
            return Change()
        words = "auto" if number is None else repr(number)
        detail = f"set the threshold of {quoted(name)} to {words}"
        operation, line = record(conn, "threshold", detail, now)
        conn.execute("UPDATE operations SET threshold = ? WHERE id = ?", (number, operation))
        told = f"INSERT INTO thresholds (sample, operation) SELECT id, ? FROM ({_OF_CLASS})"
        conn.execute(told, (operation, name))
        settle_overrides(conn, [row_of_class(conn, name)])
        here, kept = last_change(conn), overrides(conn)
    return Change(operation=line, span=(here, here), thresholds=kept)


def _clean_threshold(value: float | None) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= 1:
        raise InputError(f"{ascii(value)[:40]} is no threshold. Give a number from 0 to 1.")
    # Adding nothing takes the sign off a negative zero.
    return float(value) + 0.0


def undo(db: Database, n: int, *, bound: Identity, now: float) -> Change:
    """Take back the last `n` operations of this store that can be taken back.

    Enrolling, forgetting, renaming and setting a threshold can; undoing, purging and merging
    cannot and are passed over. What others have done since to the same examples stays: a merged
    removal keeps an example out, a later merged relabelling keeps its label.

    Args:
        db: The store.
        n: How many, at least 1; fewer where there are fewer.
        bound: The backbone of the store.
        now: Unix time, seconds.

    Raises:
        InputError: `n` is no integer, or less than 1.
        StoreError: As for every write.
    """
    most = at_most(n, "undone")
    with db.writing() as conn:
        match(conn, db.path, bound)
        found = conn.execute(_UNDOABLE, (most,)).fetchall()
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
        ids, kept = uids(conn, targets), overrides(conn)
    return Change(added, removed, 0, ids, number, undone, thresholds=kept)
