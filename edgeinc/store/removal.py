"""Taking examples out: for now (`forget`) or for good (`purge`)."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from edgeinc.errors import (
    InputError,
    SampleNotFoundError,
    StoreError,
    StoreFormatError,
    StoreWriteError,
)
from edgeinc.store.checks import match, refuse_newer
from edgeinc.store.disk.connection import Database
from edgeinc.store.journal import count_examples, quoted, record
from edgeinc.store.labels import class_of
from edgeinc.store.opening import scrub
from edgeinc.store.overrides import overrides
from edgeinc.store.reading import not_enrolled, sample_key, uids
from edgeinc.store.records import Change, Identity, Row
from edgeinc.store.state import last_change, settle
from edgeinc.store.statistics import drop_traces

__all__ = ["UNSAID", "finish_purge", "forget", "purge", "wipe"]

_OF_CLASS = "SELECT id FROM samples WHERE class = (SELECT id FROM classes WHERE label = ?)"
_ALIKE = "SELECT id FROM samples WHERE class = ? AND digest = ? AND live IN (0, 1)"
_LIVE = " AND live = 1"

UNSAID = ""
"""In the place of a label where none is given; None is the label of the negatives."""

# A class that no unpurged example has, had, or could get back.
_ORPHANS = """
SELECT id, label FROM classes WHERE id NOT IN (
    SELECT class FROM samples WHERE class IS NOT NULL
    UNION SELECT origin FROM samples WHERE origin IS NOT NULL
    UNION SELECT class FROM relabels
)
"""
_PURGED_LABEL = "(a purged class)"
_ROOM = (
    " That takes room for the store beside it, and once more among SQLite's temporary files "
    "($SQLITE_TMPDIR or $TMPDIR, else /var/tmp)."
)


def forget(
    db: Database, *, label: str | None, sample: str | None, purge: bool, bound: Identity, now: float
) -> Change:
    """Take a class or one example out of everything; with `purge` destroy it too.

    An example goes together with those of its class that have the same integers, since they
    count as one. With `purge`, what was forgotten earlier of the same class, or of the same
    example, is destroyed with it.

    Args:
        db: The store.
        label: The class to forget; None for the negatives, "" where an example is given.
        sample: The id of the example to forget, or None where a class is given.
        purge: Destroy beyond undo.
        bound: The backbone of the store.
        now: Unix time, seconds.

    Raises:
        InputError: Both or neither of `label` and `sample`.
        LabelNotFoundError: Nothing of that class, or no negative, can be forgotten.
        SampleNotFoundError: No such example can be forgotten.
        StoreError: As for every write.
    """
    if (label == UNSAID) == (sample is None):
        raise InputError(
            "Say what to forget: either a label (None for the negatives) or the id of an example."
        )
    key: list[object]
    with db.writing(references=not purge) as conn:
        match(conn, db.path, bound)
        if sample is None:
            name = class_of(label)
            query, key = _OF_CLASS, [name]
        else:
            name, *key = sample_key(conn, sample)
            query = _ALIKE
        targets = [row for (row,) in conn.execute(query if purge else query + _LIVE, key)]
        if not targets and sample is None:
            raise not_enrolled(name)
        if not targets:
            raise SampleNotFoundError(f"The example {sample} has been forgotten already.")
        verb = "purged" if purge else "forgot"
        detail = f"{verb} {count_examples({name: len(targets)})}"
        operation, number = record(conn, "purge" if purge else "forget", detail, now)
        conn.executemany(
            "INSERT INTO removals (sample, operation) VALUES (?, ?)",
            [(row, operation) for row in targets],
        )
        first = last_change(conn)
        added: tuple[Row, ...] = ()
        removed: tuple[Row, ...] = ()
        told = True
        try:
            added, removed = settle(conn, targets, bound.dim)
        except StoreFormatError:
            # What is damaged can still be destroyed; whoever keeps sums must read all anew.
            if not purge:
                raise
            db.mark_changed()
            told = False
        span = (first, last_change(conn)) if told else None
        ids, left = uids(conn, targets), overrides(conn)
        if purge:
            wipe(conn, targets)
    if purge:
        finish_purge(db)
    return Change(added, removed, 0, ids, number, span=span, thresholds=left)


def purge(db: Database, *, now: float) -> Change:
    """Destroy everything that was forgotten, and what an undo took back, beyond undo.

    Args:
        db: The store.
        now: Unix time, seconds.

    Raises:
        StoreError: As for every write.
    """
    with db.writing(references=False) as conn:
        refuse_newer(conn, db.path)
        query = "SELECT id FROM samples WHERE live = 0 AND class IS NOT NULL"
        targets = [row for (row,) in conn.execute(query)]
        ids = uids(conn, targets)
        number = None
        if targets:
            plural = "" if len(targets) == 1 else "s"
            detail = f"purged {len(targets)} forgotten example{plural}"
            _, number = record(conn, "purge", detail, now)
            wipe(conn, targets)
    finish_purge(db)
    return Change(ids=ids, operation=number)


def wipe(conn: sqlite3.Connection, samples: Sequence[int]) -> None:
    """Leave nothing of these examples but their ids, and note that the file needs a scrub.

    A label that no other example has, had, or could get back goes with them, out of the log
    too: it may be a person's name.
    """
    drop_traces(conn, samples)
    rows = [(sample,) for sample in samples]
    for table in ("thumbnails", "removals", "relabels", "thresholds"):
        conn.executemany(f"DELETE FROM {table} WHERE sample = ?", rows)
    conn.executemany(
        "UPDATE samples SET live = 0, class = NULL, origin = NULL, operation = NULL,"
        " digest = NULL, source = NULL, embedding = NULL WHERE id = ?",
        rows,
    )
    orphans = conn.execute(_ORPHANS).fetchall()
    # Where a label has quotes, older lines have it as it is. A merge's line names files.
    names = {name for _, label in orphans if label for name in (quoted(label), f"'{label}'")}
    conn.executemany(
        "UPDATE operations SET detail = replace(detail, :name, :words)"
        " WHERE kind <> 'merge' AND instr(detail, :name)",
        [{"name": name, "words": _PURGED_LABEL} for name in sorted(names)],
    )
    conn.executemany("DELETE FROM classes WHERE id = ?", [(row,) for row, _ in orphans])
    conn.execute("UPDATE store SET scrub = 1")


def finish_purge(db: Database) -> None:
    """Wipe what a committed purge left behind.

    Raises:
        StoreError: It could not be done now; the message says that it is still due.
    """
    try:
        scrub(db)
    except StoreError as exc:
        # The caller gets no Change, so whoever follows this store must read it anew.
        db.mark_changed()
        room = _ROOM if isinstance(exc, StoreWriteError) else ""
        raise type(exc)(
            f"{exc} What was to be purged is purged, but traces of it are still in free space of "
            f"the file; `edgeinc purge`, or opening the store again, wipes them.{room}"
        ) from exc
