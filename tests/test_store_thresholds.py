"""Thresholds that a person sets: kept with the examples, merged, undone and purged as they are."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edgeinc.errors import InputError, LabelError, LabelNotFoundError
from edgeinc.store import Store
from edgeinc.store.repair.examination import examine_store
from edgeinc.store.repair.salvage import salvage
from tests.fleets import shared
from tests.stores import contents, enroll, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Two classes, and a negative."""
    with open_store(tmp_path / "s.db") as store:
        enroll(store, "nut", 1, 2)
        enroll(store, "bolt", 3)
        enroll(store, None, 4)
        yield store


def rows(store: Store) -> int:
    with closing(sqlite3.connect(store.path)) as conn:
        return int(conn.execute("SELECT count(*) FROM thresholds").fetchone()[0])


def test_one_is_set_changed_and_let_go(store: Store) -> None:
    assert store.thresholds() == {}
    assert store.set_threshold("nut", 0.62).thresholds == {"nut": 0.62}
    store.set_threshold(" bolt ", np.float32(0.5))
    store.set_threshold("nut", 1)
    assert store.thresholds() == {"bolt": 0.5, "nut": 1.0}
    store.set_threshold("nut", None)
    assert store.thresholds() == {"bolt": 0.5}
    assert [entry.detail for entry in store.log(4)][::-1] == [
        "set the threshold of 'nut' to 0.62",
        "set the threshold of 'bolt' to 0.5",
        "set the threshold of 'nut' to 1.0",
        "set the threshold of 'nut' to auto",
    ]
    assert store.log(1)[0].operation == "threshold"


def test_what_holds_already_is_not_set_again(store: Store) -> None:
    assert store.set_threshold("nut", None).operation is None
    store.set_threshold("nut", 0.0)
    assert store.set_threshold("nut", -0.0).operation is None
    assert len(store.log()) == 4


@pytest.mark.parametrize(
    "value", [-0.01, 1.01, math.nan, math.inf, -math.inf, "0.5", True, [0.5], 2**2000, 1j]
)
def test_what_is_no_threshold_is_refused(store: Store, value: object) -> None:
    with pytest.raises(InputError, match="from 0 to 1"):
        store.set_threshold("nut", value)
    assert store.thresholds() == {}
    assert len(store.log()) == 3


def test_only_enrolled_classes_have_one(store: Store) -> None:
    for label, error in (("screw", LabelNotFoundError), ("", LabelError), (None, LabelError)):
        with pytest.raises(error):
            store.set_threshold(label, 0.5)
    store.forget("bolt")
    with pytest.raises(LabelNotFoundError):
        store.set_threshold("bolt", 0.5)


def test_it_stays_with_the_class_while_examples_come_and_go(store: Store) -> None:
    store.set_threshold("nut", 0.7)
    enroll(store, "nut", 5)
    for sample in store.samples("nut")[:2]:
        store.forget(sample=sample.id, purge=True)
    assert store.thresholds() == {"nut": 0.7}
    store.forget("nut")
    assert store.thresholds() == {}
    # Who enrols the class anew begins anew.
    enroll(store, "nut", 6)
    assert store.thresholds() == {}
    store.undo(2)
    assert store.thresholds() == {"nut": 0.7}


def test_a_new_name_keeps_it(store: Store) -> None:
    store.set_threshold("nut", 0.7)
    assert store.rename("nut", "hex nut").thresholds == {"hex nut": 0.7}
    enroll(store, "nut", 9)
    assert store.thresholds() == {"hex nut": 0.7}
    store.forget("nut")
    store.rename("hex nut", "nut")
    assert store.thresholds() == {"nut": 0.7}


def test_undo_brings_back_what_held_before(store: Store) -> None:
    store.set_threshold("nut", 0.7)
    store.set_threshold("nut", None)
    store.set_threshold("nut", 0.2)
    held = []
    for _ in range(3):
        change = store.undo()
        assert change.thresholds == store.thresholds()
        assert (change.added, change.removed) == ((), ())
        held.append(store.thresholds())
    assert held == [{}, {"nut": 0.7}, {}]


def test_it_leaves_with_its_class(store: Store) -> None:
    store.set_threshold("nut", 0.71828)
    store.forget("nut", purge=True)
    assert rows(store) == 0
    assert [entry.detail for entry in store.log(2)][::-1] == [
        "set the threshold of (a purged class) to 0.71828",
        "purged 2 examples of (a purged class)",
    ]
    # It is none that could be taken back.
    assert [entry.operation for entry in store.undo().undone] == ["enroll"]
    assert examine_store(store.path).sound


def test_another_process_is_told(store: Store) -> None:
    at, version = store.last_change(), store.version()
    with open_store(store.path) as other:
        other.set_threshold("nut", 0.3)
    assert store.version() != version
    delta = store.since(at, most=10)
    assert delta is not None
    assert (delta.thresholds, delta.added.ids, delta.removed.ids) == ({"nut": 0.3}, (), ())


@pytest.mark.parametrize("archive", [True, False])
def test_the_later_one_holds_after_a_merge(store: Store, tmp_path: Path, archive: bool) -> None:
    def send(one: Store, other: Store) -> None:
        if archive:
            one.export(tmp_path / "x.edgeinc")
        other.merge([tmp_path / "x.edgeinc" if archive else one.path])

    store.set_threshold("nut", 0.4)
    with open_store(tmp_path / "other.db") as other:
        send(store, other)
        assert other.thresholds() == {"nut": 0.4}
        # The device that knows more has counted further, whatever its clock says.
        enroll(other, "nut", 11)
        other.set_threshold("nut", 0.9)
        store.set_threshold("nut", 0.1)
        send(other, store)
        send(store, other)
        assert store.thresholds() == other.thresholds() == {"nut": 0.9}
        assert shared(store) == shared(other)
        other.undo()
        send(other, store)
        assert store.thresholds() == other.thresholds() == {"nut": 0.1}
        enroll(other, "nut", 12)
        store.forget("nut", purge=True)
        send(store, other)
        # One example of that class is known there alone, and has what held when it came.
        assert other.thresholds() == {"nut": 0.1}
        assert other.merge([store.path]).operation is None


def test_the_same_one_cannot_have_two_values(store: Store, tmp_path: Path) -> None:
    store.set_threshold("nut", 0.4)
    with open_store(tmp_path / "other.db") as other:
        other.merge([store.path])
        with closing(sqlite3.connect(store.path)) as conn:
            conn.execute("UPDATE operations SET threshold = 0.5 WHERE kind = 'threshold'")
            conn.commit()
        with pytest.raises(Exception, match="contradicts"):
            other.merge([store.path])
        assert other.thresholds() == {"nut": 0.4}


def test_what_a_repair_could_not_read_comes_back(store: Store, tmp_path: Path) -> None:
    store.set_threshold("nut", 0.4)
    copy = tmp_path / "copy.edgeinc"
    store.export(copy)
    with closing(sqlite3.connect(store.path)) as conn:
        conn.execute("PRAGMA ignore_check_constraints = ON")
        conn.execute("UPDATE operations SET threshold = 'x' WHERE kind = 'threshold'")
        conn.commit()
    assert salvage(store.path, tmp_path / "saved.db", now=1.0).lost == {}
    with open_store(tmp_path / "saved.db") as saved:
        assert saved.thresholds() == {}
        assert saved.merge([copy]).thresholds == {"nut": 0.4}
    salvage(tmp_path / "saved.db", tmp_path / "again.db", now=1.0)
    with open_store(tmp_path / "again.db") as again:
        assert again.thresholds() == {"nut": 0.4}
        assert contents(again) == contents(store)


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("UPDATE classes SET override = NULL", "another threshold than they say"),
        ("UPDATE classes SET override = 1", "another threshold than they say"),
        ("UPDATE operations SET threshold = 7.5 WHERE threshold > 0", "CHECK"),
        ("UPDATE thresholds SET operation = 99", "rows refer to others"),
    ],
)
def test_doctor_finds_what_is_wrong(store: Store, damage: str, found: str) -> None:
    store.set_threshold("nut", 0.4)
    assert examine_store(store.path).sound
    with closing(sqlite3.connect(store.path)) as conn:
        conn.execute("PRAGMA ignore_check_constraints = ON")
        conn.execute(damage)
        conn.commit()
    condition = examine_store(store.path)
    assert not condition.sound
    assert [fault for fault in condition.faults if found in fault]
