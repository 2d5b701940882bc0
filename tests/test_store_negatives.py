"""Negatives: examples that are none of the classes, in everything else one more class."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edgeinc.errors import InputError, LabelError, LabelNotFoundError, SampleNotFoundError
from edgeinc.store import Store
from edgeinc.store.content import digest
from edgeinc.store.repair.examination import examine_store
from edgeinc.store.repair.salvage import salvage
from edgeinc.types import NEGATIVE
from tests.fleets import shared
from tests.stores import WEIGHTS, contents, enroll, integers, labels_of, open_store, shot


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A nut and three negatives."""
    with open_store(tmp_path / "s.db") as store:
        enroll(store, "nut", 1)
        enroll(store, None, 1, 2, 3)
        yield store


def test_they_count_and_are_listed_as_no_class(store: Store) -> None:
    assert labels_of(store) == {"nut": 1}
    assert store.negatives() == 3
    found = store.samples(None)
    assert [(s.label, store.sample(s.id).label) for s in found] == [(None, None)] * 3
    assert {s.id for s in found} == {id for id, (at, _) in contents(store).items() if not at}
    # First in canonical order, and a picture may be a negative and an example both.
    assert [label for rows in store.rows() for label in rows.labels] == [*[NEGATIVE] * 3, "nut"]


def test_duplicates_count_once(store: Store) -> None:
    assert enroll(store, None, 2, 2).skipped == 2
    assert store.negatives() == 3


def test_the_log_has_words_for_them(store: Store) -> None:
    store.enroll([shot("bolt", 5), shot(None, 6)], **WEIGHTS)
    store.forget(None)
    store.undo()
    assert [entry.detail for entry in store.log()][::-1] == [
        "enrolled 1 example of 'nut'",
        "enrolled 3 negatives",
        "enrolled 1 example of 'bolt' and 1 negative",
        "forgot 4 negatives",
        "undid 4 (forgot 4 negatives)",
    ]


def test_one_or_all_are_forgotten_and_come_back(store: Store) -> None:
    one = store.samples(None)[0].id
    assert store.forget(sample=one).ids == (one,)
    assert store.negatives() == 2
    gone = store.forget(None)
    assert {row.label for row in gone.removed} == {NEGATIVE}
    assert (store.negatives(), labels_of(store)) == (0, {"nut": 1})
    for nothing in (lambda: store.forget(None), lambda: store.samples(None)):
        with pytest.raises(LabelNotFoundError, match="No negative is enrolled"):
            nothing()
    with pytest.raises(SampleNotFoundError):
        store.sample(one)
    store.undo(2)
    assert store.negatives() == 3
    store.undo()
    assert store.negatives() == 0


def test_nothing_is_forgotten_where_nothing_is_named(store: Store) -> None:
    for ask in (
        lambda: store.forget(),
        lambda: store.forget(""),
        lambda: store.forget(None, store.samples(None)[0].id),
    ):
        with pytest.raises(InputError, match="what to forget"):
            ask()
    assert store.negatives() == 3


def test_no_class_can_be_called_so(store: Store) -> None:
    for ask in (
        lambda: enroll(store, "", 9),
        lambda: store.rename("nut", ""),
        lambda: store.rename("", "bolt"),
        lambda: store.samples(""),
        lambda: store.forget("  "),
    ):
        with pytest.raises(LabelError, match="empty"):
            ask()


@pytest.mark.parametrize("everything", [True, False])
def test_purged_they_leave_nothing(store: Store, everything: bool) -> None:
    # A name with two quotes is not taken for theirs.
    enroll(store, "a ''", 7)
    traces = [integers(seed).tobytes() for seed in (2, 3)]
    if everything:
        store.forget(None)
        store.purge()
    else:
        store.forget(None, purge=True)
    raw = store.path.read_bytes()
    assert not [trace for trace in traces if trace in raw or digest(trace) in raw]
    assert [entry.detail for entry in store.log()][-3] == "enrolled 1 example of 'a \u2019\u2019'"
    with closing(sqlite3.connect(store.path)) as conn:
        assert {label for (label,) in conn.execute("SELECT label FROM classes")} == {"nut", "a ''"}


def test_they_are_followed(store: Store) -> None:
    before = store.last_change()
    with open_store(store.path) as other:
        enroll(other, None, 4)
        other.forget(sample=store.samples(None)[0].id)
    delta = store.since(before, most=10)
    assert delta is not None
    assert (delta.added.labels, delta.removed.labels) == ((NEGATIVE,), (NEGATIVE,))


@pytest.mark.parametrize("archive", [True, False])
def test_they_are_merged_and_carried(store: Store, tmp_path: Path, archive: bool) -> None:
    other = store.path
    if archive:
        other = tmp_path / "s.edgeinc"
        store.export(other)
    with open_store(tmp_path / "new.db") as new:
        enroll(new, None, 3, 4)
        # One is here already, under an id of its own.
        assert new.merge([other]).came == 3
        assert (new.negatives(), labels_of(new)) == (4, {"nut": 1})
        new.merge([store.path])
        store.merge([new.path])
        assert shared(store) == shared(new)
        store.forget(None)
        new.merge([store.path])
        assert new.negatives() == 0
        store.forget(None, purge=True)
        new.merge([store.path])
        with pytest.raises(LabelNotFoundError):
            new.forget(None, purge=True)


def test_doctor_counts_and_saves_them(store: Store, tmp_path: Path) -> None:
    enroll(store, None, 4)
    store.forget(sample=store.samples(None)[0].id)
    found = examine_store(store.path)
    assert found.sound
    counts = {"examples": 4, "classes": 1, "negatives": 3, "forgotten": 1, "purged": 0}
    assert counts.items() <= found.counts.items()
    with closing(sqlite3.connect(store.path)) as conn:
        broken = store.samples(None)[0].id
        where = "WHERE uid = ?", (bytes.fromhex(broken),)
        conn.execute(f"UPDATE samples SET embedding = zeroblob(8) {where[0]}", where[1])
        conn.commit()
    assert [(d.id, d.label) for d in examine_store(store.path).damaged] == [(broken, NEGATIVE)]
    saved = salvage(store.path, tmp_path / "saved.db", now=1.0)
    assert saved.lost == {NEGATIVE: 1}
    with open_store(tmp_path / "saved.db") as again:
        assert (again.negatives(), labels_of(again)) == (2, {"nut": 1})


def test_negative_numbers_are_refused_in_them_too(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.db", nonnegative=True) as store:
        bad = shot(None, 1)._replace(embedding=np.full(8, -1, np.int16))
        with pytest.raises(InputError, match="negative numbers"):
            store.enroll([bad], **WEIGHTS)
