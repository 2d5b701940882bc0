"""Negative numbers where a backbone never gives any: refused at the door, told where they are."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from edgeinc.cli import main
from edgeinc.engine.memory import Memory
from edgeinc.errors import InputError, StoreFormatError
from edgeinc.learner import Learner
from edgeinc.store import NewExample, Store, peek
from edgeinc.store.repair.examination import examine_store
from edgeinc.weights import find_card
from tests.stores import DIM, WEIGHTS, enroll, integers, labels_of, open_store

EVIL = NewExample("nut", np.array([-5, *range(1, DIM)], np.int16))


def open_memory(path: Path) -> Memory:
    return Memory(open_store(path, nonnegative=True), Learner(DIM), nonnegative=True)


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """A store that no engine ever opened, with an example that no engine would take."""
    path = tmp_path / "evil.db"
    with open_store(path) as store:
        store.enroll([EVIL], **WEIGHTS)
        enroll(store, "nut", 1)
    return path


def test_a_store_knows_what_its_backbone_gives(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    for said, known in ((None, None), (True, True), (None, True)):
        open_store(path, nonnegative=said).close()
        found = peek(path)
        assert found is not None
        assert found.nonnegative is known
    with open_store(path) as store:
        with pytest.raises(InputError, match="negative"):
            store.enroll([EVIL], **WEIGHTS)
        assert store.log() == []
        wide = NewExample("nut", np.arange(300, 300 + DIM).astype(np.int16))
        assert len(store.enroll([wide], **WEIGHTS).ids) == 1


def test_a_store_whose_numbers_may_be_negative_takes_them(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.db", nonnegative=False) as store:
        store.enroll([EVIL], **WEIGHTS)
        assert store.export(tmp_path / "s.edgeinc") == 1
    with open_store(tmp_path / "t.db", nonnegative=False) as store:
        assert store.merge([tmp_path / "s.edgeinc"]).came == 1
    assert examine_store(tmp_path / "t.db").sound


@pytest.mark.parametrize("archive", [False, True])
def test_a_merge_refuses_them(evil: Path, tmp_path: Path, archive: bool) -> None:
    if archive:
        with open_store(evil) as store:
            store.export(tmp_path / "evil.edgeinc")
        evil = tmp_path / "evil.edgeinc"
    open_store(tmp_path / "s.db", nonnegative=True).close()
    with open_store(tmp_path / "s.db") as store:
        with pytest.raises(StoreFormatError, match="negative numbers"):
            store.merge([evil])
        assert labels_of(store) == {}


def purge_what_it_names(path: Path, words: str) -> None:
    id = words.split("--sample ")[1].split()[0]
    with open_store(path) as store:
        store.forget(sample=id, purge=True)


def test_a_store_that_has_one_says_which_and_can_be_rid_of_it(evil: Path) -> None:
    with pytest.raises(StoreFormatError, match=r"forget --sample \w{32} --purge") as caught:
        open_memory(evil)
    condition = examine_store(evil)
    assert condition.sound is False
    assert condition.faults == ["1 example has negative numbers, which the backbone never gives."]
    (damaged,) = condition.damaged
    assert damaged.id in str(caught.value)
    assert damaged.label == "nut"
    assert "forget --sample" in condition.advice[0]
    with open_store(evil) as store, pytest.raises(StoreFormatError, match="negative numbers"):
        store.export(evil.with_name("evil.edgeinc"))
    purge_what_it_names(evil, str(caught.value))
    assert examine_store(evil).sound
    memory = open_memory(evil)
    assert memory.counts() == {"nut": 1}
    memory.close()


def test_one_that_was_forgotten_is_not_brought_back(evil: Path) -> None:
    with open_store(evil) as store:
        store.forget("nut")
    memory = open_memory(evil)
    with pytest.raises(StoreFormatError, match="forget --sample"):
        memory.change(Store.undo)
    assert memory.counts() == {}
    memory.close()
    assert examine_store(evil).sound is False


def test_one_that_comes_while_an_engine_runs_is_told(evil: Path, tmp_path: Path) -> None:
    """By a merge of an older edgeinc, which did not look."""
    path = tmp_path / "s.db"
    open_store(path).close()
    memory = open_memory(path)
    memory.change(lambda store: enroll(store, "bolt", 2))
    memory.rank(integers(2)[np.newaxis])
    with open_store(path) as store, store._db.writing() as conn:
        conn.execute("UPDATE store SET nonnegative = NULL")
    with open_store(path) as store:
        store._identity = store._identity._replace(nonnegative=None)
        store.merge([evil])
    memory._asked = 0.0
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert memory.rank(integers(2)[np.newaxis]).labels == ("bolt",)
        # What the prediction did not wait for is told by then.
        memory.flush()
    assert any("negative numbers" in str(warning.message) for warning in told)
    memory.close()


@pytest.mark.parametrize("present", [False, True])
def test_the_shell_asks_the_cards_that_are_here(
    tmp_path: Path, present: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also where no engine has ever opened the store that others are merged into."""
    card = find_card("pebble")
    bound = {"backbone": card.name, "fingerprint": card.fingerprint, "dim": card.dim}
    with Store.open(tmp_path / "evil.db", **bound) as store:
        numbers = np.arange(-1, card.dim - 1).astype(np.int16)
        store.enroll([NewExample("nut", numbers)], **WEIGHTS)
        store.export(tmp_path / "evil.edgeinc")
    path = tmp_path / "s.db"
    if present:
        Store.open(path, **bound).close()
    assert main(["--store", str(path), "merge", str(tmp_path / "evil.edgeinc")]) != 0
    assert "negative numbers" in capfd.readouterr().err
    with Store.open(path, **bound) as store:
        assert store.classes() == []


def test_doctor_asks_the_cards_too(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    card = find_card("pebble")
    path = tmp_path / "s.db"
    bound = {"backbone": card.name, "fingerprint": card.fingerprint, "dim": card.dim}
    with Store.open(path, **bound) as store:
        numbers = np.arange(-1, card.dim - 1).astype(np.int16)
        (id,) = store.enroll([NewExample("nut", numbers)], **WEIGHTS).ids
    assert main(["--store", str(path), "doctor"]) == 1
    said = "".join(capfd.readouterr())
    assert "negative numbers" in said
    assert id in said
