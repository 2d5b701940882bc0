"""Stores of earlier formats, made by the statements that made them then."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edgeinc.engine.memory import Memory
from edgeinc.errors import StoreFormatError, StoreReadOnlyError
from edgeinc.learner import Learner
from edgeinc.store import peek, schema
from edgeinc.store.content import digest
from edgeinc.store.records import Identity
from edgeinc.store.repair.examination import examine_store
from edgeinc.store.repair.salvage import salvage
from tests.stores import DIM, enroll, integers, labels_of, open_store

GOLDEN = Path(__file__).parent / "golden"
FIRST = GOLDEN / "store_format_1.sql"
SECOND = GOLDEN / "store_format_2.sql"  # what it did to a store of the first


def make_first(path: Path) -> None:
    """A store as the first format had it: two nuts of which one counts twice, one bolt that
    was forgotten, and a purged example.
    """
    with closing(sqlite3.connect(path)) as conn:
        conn.executescript(FIRST.read_text())
        conn.execute("PRAGMA user_version = 1")
        conn.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        conn.execute("INSERT INTO devices (id, uid) VALUES (1, ?)", (os.urandom(16),))
        row = ("tiny", "f" * 64, DIM)
        conn.execute("INSERT INTO store VALUES (1, 1, ?, ?, ?, 3, 3, 0, 1.0, '0.0.9')", row)
        conn.execute("INSERT INTO files VALUES (1, 'tiny.onnx', ?)", ("ab" * 32,))
        conn.execute("INSERT INTO classes VALUES (1, 'nut'), (2, 'bolt')")
        for number, kind in enumerate(("enroll", "enroll", "forget"), 1):
            values = (number, os.urandom(16), number, number, kind)
            conn.execute(
                "INSERT INTO operations VALUES (?, ?, 1, ?, ?, ?, '', 1.0, '0.0.9', 1, 0)", values
            )
        for row, (group, live, seed) in enumerate([(1, 1, 1), (1, 1, 2), (1, 1, 2), (2, 0, 3)], 1):
            blob = integers(seed).tobytes()
            conn.execute(
                "INSERT INTO samples VALUES (?, ?, ?, ?, ?, ?, ?, NULL, ?)",
                (row, os.urandom(16), live, group, group, group, digest(blob), blob),
            )
        conn.execute("INSERT INTO removals VALUES (4, 3)")
        conn.execute("INSERT INTO samples (uid, live) VALUES (?, 0)", (os.urandom(16),))
        conn.commit()


@pytest.fixture
def first(tmp_path: Path) -> Path:
    path = tmp_path / "first.db"
    make_first(path)
    return path


@pytest.fixture
def second(first: Path) -> Path:
    """The same store in the second format."""
    with closing(sqlite3.connect(first)) as conn:
        conn.executescript(SECOND.read_text())
        conn.execute("PRAGMA user_version = 2")
    return first


@pytest.mark.parametrize(("file", "number"), [(FIRST, 1), (SECOND, 2)])
def test_earlier_migrations_are_as_they_were(file: Path, number: int) -> None:
    assert file.read_text() == ";\n".join(schema.MIGRATIONS[number - 1]) + ";\n"


def test_a_store_of_the_first_format_is_upgraded(first: Path) -> None:
    with open_store(first) as store:
        assert labels_of(store) == {"nut": 2}
        assert store.pending() == 2
        position = store.last_change()
        delta = store.since(position, most=10)
        assert delta is not None
        assert not delta.added.ids
        assert store.since((0, 0), most=10) is None
        enroll(store, "nut", 4)
        delta = store.since(position, most=10)
        assert delta is not None
        assert len(delta.added.ids) == 1
        store.undo()
        assert [entry.operation for entry in store.undo().undone] == ["forget"]
        assert labels_of(store) == {"nut": 2, "bolt": 1}
    condition = examine_store(first)
    assert (condition.sound, condition.version) == (True, 3)
    memory = Memory(open_store(first), Learner(DIM), nonnegative=True)
    assert memory.rank(integers(3)[np.newaxis]).labels[0] == "bolt"
    memory.close()


def test_a_store_of_the_second_format_is_upgraded(second: Path, tmp_path: Path) -> None:
    raw = second.read_bytes()
    condition = examine_store(second)
    assert (condition.sound, condition.version, condition.statistics) == (True, 2, "none")
    saved = salvage(second, tmp_path / "saved.db", now=2.0)
    assert saved.examples == 4
    with open_store(tmp_path / "new.db") as store:
        assert store.merge([second]).came == 2
        assert store.thresholds() == {}
    assert second.read_bytes() == raw
    with open_store(second) as store:
        position = store.last_change()
        assert (labels_of(store), store.negatives(), store.thresholds()) == ({"nut": 2}, 0, {})
        store.set_threshold("nut", 0.5)
        enroll(store, None, 9)
        delta = store.since(position, most=10)
        assert delta is not None
        assert (delta.added.labels, delta.thresholds) == (("",), {"nut": 0.5})
        assert [entry.operation for entry in store.undo(3).undone] == [
            *("enroll", "threshold", "forget")
        ]
        assert labels_of(store) == {"nut": 2, "bolt": 1}
    condition = examine_store(second)
    assert (condition.sound, condition.version) == (True, 3)


def test_two_upgraded_copies_are_told_apart(first: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_bytes(first.read_bytes())
    with open_store(first) as one, open_store(copy) as two:
        assert one.last_change()[0] == two.last_change()[0] == 2
        assert one.since(two.last_change(), most=10) is None


def test_the_upgrade_is_one_transaction(first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = first.read_bytes()
    broken = (schema.MIGRATIONS[0], (*schema.MIGRATIONS[1], "CREATE TABLE classes (id)"))
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", broken)
        with pytest.raises(StoreFormatError, match="already exists"):
            peek(first)
    assert first.read_bytes() == raw


def test_foreign_triggers_do_not_run_in_an_upgrade(first: Path) -> None:
    with closing(sqlite3.connect(first)) as conn:
        conn.execute("CREATE TRIGGER t UPDATE ON store BEGIN DELETE FROM samples; END")
        conn.commit()
    raw = first.read_bytes()
    with pytest.raises(StoreFormatError, match="not those of a store"):
        open_store(first)
    assert first.read_bytes() == raw


def test_a_first_store_is_merged_examined_and_repaired_as_it_is(
    first: Path, tmp_path: Path
) -> None:
    raw = first.read_bytes()
    condition = examine_store(first)
    assert (condition.sound, condition.version, condition.statistics) == (True, 1, "none")
    assert condition.counts["examples"] == 2
    with open_store(tmp_path / "new.db") as store:
        assert store.merge([first]).came == 2
    saved = salvage(first, tmp_path / "saved.db", now=2.0)
    assert saved.examples == 4
    with open_store(tmp_path / "saved.db") as store:
        assert labels_of(store) == {"nut": 2}
    assert first.read_bytes() == raw


@pytest.mark.parametrize("upgraded", [False, True])
def test_a_store_whose_schema_is_lost_is_repaired(
    first: Path, tmp_path: Path, upgraded: bool
) -> None:
    """The first format's schema is put in its place, over nothing that holds an example."""
    with closing(sqlite3.connect(first)) as conn:
        for seed in range(100, 700):
            blob = integers(seed).tobytes()
            conn.execute(
                "INSERT INTO samples (uid, live, class, origin, operation, digest, source,"
                " embedding) VALUES (?, 1, 1, 1, 1, ?, 'x', ?)",
                (os.urandom(16), digest(blob), blob),
            )
        conn.commit()
    if upgraded:
        with open_store(first) as store:
            store.set_threshold("nut", 0.5)
            enroll(store, "nut", 4)
    raw = bytearray(first.read_bytes())
    raw[100:4096] = bytes(3996)
    first.write_bytes(raw)
    given = Identity("tiny", "f" * 64, DIM)
    saved = salvage(first, tmp_path / "saved.db", now=2.0, given=given)
    assert saved.examples == 604 + upgraded
    assert saved.lost == {}


def test_a_first_store_that_may_not_be_written_says_so(
    first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeinc.store.opening.is_writable", lambda file: False)
    with pytest.raises(StoreReadOnlyError):
        open_store(first)


def test_a_format_that_never_was_is_refused(first: Path) -> None:
    for version in (0, -1, -5):
        with closing(sqlite3.connect(first)) as conn:
            conn.execute(f"PRAGMA user_version = {version}")
        for attempt in (open_store, peek):
            with pytest.raises(StoreFormatError, match=f"no format {version}"):
                attempt(first)
