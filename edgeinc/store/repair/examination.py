"""A full look at a store, which changes nothing: is it sound, who has it, what can be done?"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from edgeinc.errors import StoreBusyError, StoreError, StoreFormatError, StoreVersionError
from edgeinc.store.checks import format_version, identity, is_blank
from edgeinc.store.disk.connection import Database
from edgeinc.store.disk.holder import find_holders
from edgeinc.store.disk.translation import is_no_database
from edgeinc.store.disk.trust import one_row
from edgeinc.store.opening import archive_words, attach, is_writable, resolve
from edgeinc.store.repair.condition import Condition
from edgeinc.store.repair.soundness import CHECKS, Damaged, count, describe_statistics, examine_rows

__all__ = ["Condition", "Damaged", "examine_store"]

BATCH = 1024
"""Examples that are looked at in one transaction."""

END = (1 << 63) - BATCH
"""Beyond any id that a store gives."""

_COUNTS = {
    "examples": "SELECT count(*) FROM (SELECT 1 FROM samples WHERE class IS NOT NULL AND live = 1"
    " GROUP BY class, digest)",
    "classes": "SELECT count(DISTINCT class) FROM samples WHERE live = 1"
    " AND class IN (SELECT id FROM classes WHERE label <> '')",
    "negatives": "SELECT count(DISTINCT digest) FROM samples WHERE live = 1"
    " AND class = (SELECT id FROM classes WHERE label = '')",
    "forgotten": "SELECT count(*) FROM samples WHERE class IS NOT NULL AND live = 0",
    "purged": "SELECT count(*) FROM samples WHERE class IS NULL",
    "operations": "SELECT count(*) FROM operations",
}


def examine_store(
    path: str | Path, *, timeout: float = 5.0, nonnegative: Collection[str] = ()
) -> Condition:
    """Look at everything in a store that can be checked; nothing is changed.

    Whoever commits meanwhile waits for SQLite's own check, which is one read transaction, about
    two seconds per 100 MB; above some 250 MB a writer with the usual limit gives up. What a
    crash left half written is looked at in a private copy, which SQLite rolls back.

    Args:
        path: The file.
        timeout: Longest wait for another process's lock, seconds.
        nonnegative: Fingerprints of backbones that never give a negative number, for stores that
            were not told.

    Raises:
        StoreError: There is no such file, or it may not be read.
    """
    file = resolve(path)
    holders = find_holders(file)
    try:
        size, free = file.stat().st_size, shutil.disk_usage(file.parent).free
    except OSError as exc:
        raise StoreError(f"{file} cannot be looked at ({exc.strerror}). Name a store.") from exc
    found = Condition(str(file), size, free, is_writable(file))
    found.holders = [str(holder) for holder in holders]
    found.journal = _journal(file, any(holder.writes for holder in holders))
    try:
        with closing(attach(file, timeout, to_read=True)) as db:
            _look(db, found, nonnegative)
    except (StoreBusyError, StoreVersionError) as exc:
        found.advice.append(str(exc))
        return found
    except StoreFormatError as exc:
        if not isinstance(exc.__cause__, sqlite3.Error):
            raise
        if is_no_database(exc.__cause__) and (words := archive_words(file)):
            found.advice.append(words)
            return found
        found.faults.append(_words(exc))
    found.sound = not found.faults
    found.advice += _advice(found)
    return found


def _look(db: Database, found: Condition, known: Collection[str]) -> None:
    """Fill in what the store holds and what is wrong with it.

    Raises:
        StoreBusyError: Another process held the file for too long.
        StoreVersionError: A newer edgeinc wrote it.
    """
    nonnegative = False

    def name(conn: sqlite3.Connection) -> None:
        if not is_blank(conn):
            (found.version,) = one_row(conn.execute("PRAGMA user_version"))
            format_version(conn, db.path)

    def describe(conn: sqlite3.Connection) -> None:
        nonlocal nonnegative
        bound = identity(conn)
        nonnegative = bound.nonnegative or bound.fingerprint in known
        found.backbone, found.dim = bound.backbone, bound.dim
        for what, query in _COUNTS.items():
            (found.counts[what],) = one_row(conn.execute(query))
        if one_row(conn.execute("SELECT scrub FROM store"))[0]:
            found.advice.append("A purge left traces in free space: `edgeinc purge` wipes them.")

    _step(db, found, name)
    if found.version is None:
        return
    _step(db, found, describe)
    for check in CHECKS:
        _step(db, found, partial(_tell, found, check))
    if found.dim is not None:
        _step(db, found, partial(_look_at_statistics, found, found.dim))
        _look_at_rows(db, found, found.dim, nonnegative=nonnegative)


def _tell(
    found: Condition,
    check: Callable[[sqlite3.Connection], Iterator[str]],
    conn: sqlite3.Connection,
) -> None:
    found.faults += check(conn)


def _look_at_statistics(found: Condition, dim: int, conn: sqlite3.Connection) -> None:
    found.statistics = describe_statistics(conn, dim)


def _look_at_rows(db: Database, found: Condition, dim: int, *, nonnegative: bool) -> None:
    """Look at every example, some at a time, so that whoever writes need not wait for all."""
    first, miscounted = 1, 0

    def look(conn: sqlite3.Connection) -> None:
        nonlocal first, miscounted
        # A damaged id may be any number: what lies between is passed over.
        query = "SELECT min(id) FROM samples WHERE id >= ?"
        here = one_row(conn.execute(query, (first,)))[0]
        first = END if here is None else here + BATCH
        if here is not None:
            part = range(here, first)
            damaged, wrong = examine_rows(conn, part, dim, nonnegative=nonnegative)
            found.damaged += damaged
            miscounted += wrong

    while first < END:
        before = first
        _step(db, found, look)
        if first == before:
            # Not even the next one can be found.
            break
    negative = sum(one.negative for one in found.damaged)
    if len(found.damaged) > negative:
        changed = len(found.damaged) - negative
        words = "1 example no longer matches its digest."
        found.faults.append(count(changed, words, "examples no longer match their digests."))
    if negative:
        words = "negative numbers, which the backbone never gives."
        found.faults.append(count(negative, f"1 example has {words}", f"examples have {words}"))
    if miscounted:
        words = "counted as its operations say."
        more = "examples are not counted as their operations say."
        found.faults.append(count(miscounted, f"1 example is not {words}", more))


def _step(db: Database, found: Condition, look: Callable[[sqlite3.Connection], None]) -> None:
    """Look in a read transaction; that it failed is one of the faults, and the next goes on."""
    try:
        with db.reading() as conn:
            look(conn)
    except (StoreBusyError, StoreVersionError):
        raise
    except StoreError as exc:
        if _words(exc) not in found.faults:
            found.faults.append(_words(exc))


def _words(exc: StoreError) -> str:
    """What is wrong; where SQLite found it, in its words alone, since the advice is ours."""
    cause = exc.__cause__
    if not isinstance(cause, sqlite3.Error):
        return str(exc)
    return f"SQLite finds: {' '.join(str(cause).split())}."


def _journal(file: Path, writing: bool) -> str | None:
    """What a journal beside the file means."""
    try:
        with file.with_name(f"{file.name}-journal").open("rb") as journal:
            hot = journal.read(1) not in (b"", b"\0")
    except OSError:
        return None
    if writing:
        return "a write is under way"
    return "a write was cut short; the next opening takes it back" if hot else "of no consequence"


def _advice(found: Condition) -> Iterator[str]:
    """What to do, a sentence each."""
    if found.damaged and len(found.faults) == len({one.negative for one in found.damaged}):
        yield (
            "The rest is sound: destroy what is damaged, `edgeinc forget --sample ID --purge`, "
            "and enrol it again; or restore the file from a copy."
        )
    elif found.faults:
        yield (
            "Restore the file from a copy; or save what is sound of it in a new one: "
            f"edgeinc --store {found.path} doctor --repair NEW.db"
        )
    if found.faults and found.journal is not None:
        yield "Before a copy takes its place, delete the journal: it would be played back into it."
    if found.free < 2 * found.size:
        yield "The disk is nearly full: a purge needs room for the store twice over."
