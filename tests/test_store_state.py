"""What counts when other devices' operations have come into a store.

Merging is yet to be written; here its rows are put in by hand, so that the tables and the rules
that work on them are held to the contract already.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeinc.store import Store
from edgeinc.store.content import digest
from edgeinc.store.state import settle
from tests.stores import DIM, contents, enroll, integers, labels_of, open_store

EARLY, LATE = 0, 1000
"""Logical counters below and above all of the store's own."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "a.db") as opened:
        yield opened


class Foreigner:
    """Another device, whose operations are merged in one at a time."""

    def __init__(self, store: Store, device: bytes = b"\xff" * 16) -> None:
        self.store = store
        with store._db.writing() as conn:
            conn.execute("INSERT INTO devices (uid) VALUES (?)", (device,))
            self.device = conn.execute("SELECT max(id) FROM devices").fetchone()[0]

    def enroll(self, label: str, seed: int, uid: bytes) -> None:
        blob = integers(seed).tobytes()
        with self.store._db.writing() as conn:
            operation, row = self._operation(conn, EARLY), self._class(conn, label)
            conn.execute(
                "INSERT INTO samples (uid, live, class, origin, operation, digest, embedding)"
                " VALUES (?, 0, ?, ?, ?, ?, ?)",
                (uid, row, row, operation, digest(blob), blob),
            )
            settle(conn, [self._sample(conn, uid.hex())], DIM)

    def remove(self, id: str) -> None:
        with self.store._db.writing() as conn:
            sample = self._sample(conn, id)
            conn.execute(
                "INSERT INTO removals VALUES (?, ?)", (sample, self._operation(conn, EARLY))
            )
            settle(conn, [sample], DIM)

    def relabel(self, id: str, label: str, counter: int) -> None:
        with self.store._db.writing() as conn:
            sample = self._sample(conn, id)
            operation = self._operation(conn, counter)
            row = (sample, operation, self._class(conn, label))
            conn.execute("INSERT INTO relabels VALUES (?, ?, ?)", row)
            settle(conn, [sample], DIM)

    def _operation(self, conn: sqlite3.Connection, counter: int) -> int:
        conn.execute(
            "INSERT INTO operations (uid, device, counter, kind, detail, time, tool)"
            " VALUES (?, ?, ?, 'enroll', '', 0.0, '')",
            (os.urandom(16), self.device, counter),
        )
        return conn.execute("SELECT last_insert_rowid()").fetchone()[0]

    def _class(self, conn: sqlite3.Connection, label: str) -> int:
        conn.execute("INSERT OR IGNORE INTO classes (label) VALUES (?)", (label,))
        return conn.execute("SELECT id FROM classes WHERE label = ?", (label,)).fetchone()[0]

    def _sample(self, conn: sqlite3.Connection, id: str) -> int:
        uid = bytes.fromhex(id)
        return conn.execute("SELECT id FROM samples WHERE uid = ?", (uid,)).fetchone()[0]


def test_equal_examples_of_two_devices_count_once_and_go_together(store: Store) -> None:
    (mine,) = enroll(store, "nut", 1).ids
    theirs = bytes(16)
    Foreigner(store).enroll("nut", 1, theirs)
    assert labels_of(store) == {"nut": 1}
    assert list(contents(store)) == [theirs.hex()]
    assert [info.id for info in store.samples("nut")] == [theirs.hex()]
    gone = store.forget(sample=mine)
    assert [row.id for row in gone.removed] == [theirs.hex()]
    assert set(gone.ids) == {mine, theirs.hex()}
    assert store.classes() == []
    assert [row.id for row in store.undo().added] == [theirs.hex()]
    back = store.undo()
    assert (back.ids, back.added, back.removed) == ((mine,), (), ())
    assert labels_of(store) == {"nut": 1}


def test_the_representative_changes_when_the_least_id_goes(store: Store) -> None:
    (mine,) = enroll(store, "nut", 1).ids
    Foreigner(store).enroll("nut", 1, b"\xff" * 16)
    change = store.undo()
    assert [row.id for row in change.removed] == [mine]
    assert [row.id for row in change.added] == ["ff" * 16]


def test_purging_one_of_two_equal_examples_leaves_neither(store: Store) -> None:
    (mine,) = enroll(store, "nut", 1).ids
    Foreigner(store).enroll("nut", 1, bytes(16))
    assert len(store.forget(sample=mine, purge=True).ids) == 2
    assert integers(1).tobytes() not in store.path.read_bytes()


def test_a_removal_by_another_device_wins_and_is_not_undone_here(store: Store) -> None:
    (mine,) = enroll(store, "nut", 1).ids
    store.forget("nut")
    Foreigner(store).remove(mine)
    change = store.undo()
    assert (len(change.undone), change.added) == (1, ())
    assert store.classes() == []


@pytest.mark.parametrize(("counter", "label"), [(EARLY, "bolt"), (LATE, "screw")])
def test_the_relabelling_with_the_higher_counter_wins(
    store: Store, counter: int, label: str
) -> None:
    (mine,) = enroll(store, "nut", 1).ids
    store.rename("nut", "bolt")
    Foreigner(store).relabel(mine, "screw", counter)
    assert labels_of(store) == {label: 1}
    store.undo()
    assert labels_of(store) == {"screw": 1}


@pytest.mark.parametrize(("device", "label"), [(bytes(16), "bolt"), (b"\xff" * 16, "screw")])
def test_equal_counters_are_decided_by_the_device(store: Store, device: bytes, label: str) -> None:
    (mine,) = enroll(store, "nut", 1).ids
    store.rename("nut", "bolt")
    Foreigner(store, device).relabel(mine, "screw", 2)
    assert labels_of(store) == {label: 1}


def test_undoing_a_rename_onto_a_class_that_came_since(store: Store) -> None:
    enroll(store, "nut", 1, 2)
    store.rename("nut", "bolt")
    Foreigner(store).enroll("nut", 1, bytes(16))
    assert labels_of(store) == {"bolt": 2, "nut": 1}
    change = store.undo()
    assert len(change.removed) == 2
    assert len(change.added) == 1
    assert labels_of(store) == {"nut": 2}
    assert contents(store)["00" * 16] == ("nut", integers(1).astype("<i2").tobytes())


def test_operations_of_others_are_not_in_the_log(store: Store) -> None:
    enroll(store, "nut", 1)
    Foreigner(store).enroll("nut", 2, bytes(16))
    assert [entry.number for entry in store.log()] == [1]
    store.undo(5)
    assert list(contents(store)) == ["00" * 16]
