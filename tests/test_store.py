"""The store: what enrolling, forgetting, renaming and undoing do to what counts."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinc.errors import (
    BackboneMismatchError,
    InputError,
    LabelError,
    LabelNotFoundError,
    SampleNotFoundError,
)
from edgeinc.store import MAX_LABEL, NewExample, Store, clean_label, peek
from edgeinc.version import __version__
from tests.stores import DIM, WEIGHTS, contents, enroll, integers, labels_of, open_store, shot


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = open_store(tmp_path / "a.db")
    yield opened
    opened.close()


def test_a_new_store_is_empty_and_knows_its_backbone(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    assert peek(path) is None
    with open_store(path) as store:
        assert store.classes() == []
        assert list(store.rows()) == []
        assert store.log() == []
        assert store.path == path
        assert not store.read_only
        device = store.device_id
    found = peek(path)
    assert found is not None
    assert (found.backbone, found.dim) == ("tiny", DIM)
    assert found == ("tiny", "f" * 64, DIM, None)
    with open_store(path) as store:
        assert store.device_id == device
    with open_store(tmp_path / "other.db") as other:
        assert other.device_id != device


def test_a_store_in_which_nothing_was_done_is_bound_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    open_store(path).close()
    with open_store(path, backbone="other", fingerprint="e" * 64, dim=3) as store:
        assert peek(path) == ("other", "e" * 64, 3, None)
        three = NewExample("nut", np.array([1, 2, 3], np.uint8))
        store.enroll([three], **WEIGHTS)
        store.undo()
        store.purge()
    with pytest.raises(BackboneMismatchError, match=r"'other'.*'tiny'"):
        open_store(path)


@pytest.mark.parametrize("dim", [DIM, 3])
def test_who_had_it_open_as_it_was_bound_anew_is_refused(store: Store, dim: int) -> None:
    """Else two backbones' examples could meet in one store."""
    shots = [shot("nut", 1)]
    with open_store(store.path, backbone="other", fingerprint="e" * 64, dim=dim) as other:
        for act in (
            lambda: store.enroll(shots, **WEIGHTS),
            lambda: list(store.rows()),
            lambda: store.forget("nut"),
            lambda: store.rename("nut", "bolt"),
            store.undo,
        ):
            with pytest.raises(BackboneMismatchError, match=r"'other'.*'tiny'"):
                act()
        assert other.log() == []


def test_what_was_enrolled_is_there_after_opening_again(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with open_store(path) as store:
        change = store.enroll([shot("nut", 1, "one.jpg"), shot("bolt", 2)], **WEIGHTS)
        assert [row.label for row in change.added] == ["nut", "bolt"]
        assert change.ids == tuple(row.id for row in change.added)
        assert (change.removed, change.skipped, change.operation) == ((), 0, 1)
    with open_store(path) as store:
        assert labels_of(store) == {"bolt": 1, "nut": 1}
        (info,) = store.samples("nut")
        assert (info.id, info.source) == (change.ids[0], "one.jpg")
        assert store.sample(info.id) == info
        assert contents(store) == {
            change.ids[0]: ("nut", integers(1).astype(np.int16).tobytes()),
            change.ids[1]: ("bolt", integers(2).astype(np.int16).tobytes()),
        }


def test_the_same_integers_count_once_in_a_class(store: Store) -> None:
    assert enroll(store, "nut", 1, 2, 1).skipped == 1
    again = enroll(store, "nut", 2, 1)
    assert (again.skipped, again.added, again.operation) == (2, (), None)
    wider = store.enroll([NewExample("nut", integers(1).astype(np.int16))], **WEIGHTS)
    assert wider.skipped == 1
    assert len(enroll(store, "bolt", 1).added) == 1
    assert labels_of(store) == {"bolt": 1, "nut": 2}
    assert len(store.log()) == 2


def test_rows_come_by_label_and_content_in_whatever_order_they_were_enrolled(
    tmp_path: Path,
) -> None:
    reads = []
    for name, seeds in (("a", (1, 2, 3, 4)), ("b", (4, 2, 1, 3))):
        with open_store(tmp_path / name) as store:
            for seed in seeds:
                enroll(store, ("zinc", "Zinc", "ä", "\U0001f529")[seed % 4], seed)
                enroll(store, "all", seed)
            batches = list(store.rows(batch=3))
            labels = [label for rows in batches for label in rows.labels]
            reads.append((labels, np.concatenate([rows.embeddings for rows in batches])))
    assert [len(rows.ids) for rows in batches] == [3, 3, 2]
    assert reads[0][0] == reads[1][0] == sorted(reads[0][0])
    assert (reads[0][1] == reads[1][1]).all()


def test_signed_integers_come_back_as_they_were(store: Store) -> None:
    signed = np.array([-32768, 32767, -1, 0, 1, 255, 256, 7], np.int16)
    change = store.enroll([NewExample("nut", signed), shot("nut", 1)], **WEIGHTS)
    assert (change.added[0].embedding == signed).all()
    (rows,) = store.rows()
    assert rows.embeddings.dtype == np.int16
    found = dict(zip(rows.ids, rows.embeddings, strict=True))
    assert (found[change.ids[0]] == signed).all()
    assert (found[change.ids[1]] == integers(1)).all()


@pytest.mark.parametrize(
    "embedding",
    [np.zeros(DIM + 1, np.uint8), np.zeros((1, DIM), np.uint8), np.zeros(DIM, np.float32)],
)
def test_an_embedding_that_does_not_fit_is_refused(store: Store, embedding: np.ndarray) -> None:
    with pytest.raises(InputError, match="shape"):
        store.enroll([shot("nut", 1), NewExample("nut", embedding)], **WEIGHTS)
    assert store.classes() == []


@pytest.mark.parametrize(
    "label", ["", "  ", "a\nb", "\x00", "\x85", "a\u2028b", "\udcff", "x" * (MAX_LABEL + 1), 7]
)
def test_a_label_that_may_not_be_is_refused(store: Store, label: str) -> None:
    with pytest.raises(LabelError):
        store.enroll([shot("nut", 1), shot(label, 2)], **WEIGHTS)
    assert store.log() == []


@pytest.mark.parametrize(
    "label",
    [
        "\u200b",
        "nut\u200b",
        "\u202etun",
        "n\u00adut",
        "\ufeffnut",
        "\u200d",
        "nut\u200d",
        "\u200cnut",
        "nut \u200dbolt",
        "nut\u200d\u200dbolt",
    ],
)
def test_what_cannot_be_seen_is_no_label(store: Store, label: str) -> None:
    with pytest.raises(LabelError, match="invisible character") as caught:
        enroll(store, label, 1)
    assert str(caught.value).isascii()
    assert store.log() == []


def test_joiners_within_a_word_are_kept() -> None:
    for label in ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0d28\u0d4d\u200d\u0d2e"):
        assert clean_label(f" {label} ") == label


def test_labels_are_one_however_they_were_typed(store: Store) -> None:
    enroll(store, "cafe\u0301 ", 1)
    enroll(store, "caf\u00e9", 2)
    assert labels_of(store) == {"caf\u00e9": 2}
    assert len(store.samples(" cafe\u0301")) == 2
    assert clean_label("x" * MAX_LABEL) == "x" * MAX_LABEL
    assert clean_label("\U0001f468\u200d\U0001f527") == "\U0001f468\u200d\U0001f527"


def test_forgetting_and_undoing_a_class(store: Store) -> None:
    added = enroll(store, "nut", 1, 2)
    enroll(store, "bolt", 3)
    before = contents(store)
    gone = store.forget("nut")
    assert {row.id for row in gone.removed} == set(added.ids) == set(gone.ids)
    assert labels_of(store) == {"bolt": 1}
    with pytest.raises(LabelNotFoundError, match="nut"):
        store.samples("nut")
    with pytest.raises(LabelNotFoundError, match="nut"):
        store.forget("nut")
    back = store.undo()
    assert {row.id for row in back.added} == set(added.ids)
    assert contents(store) == before


def test_an_example_enrolled_again_is_a_new_one(store: Store) -> None:
    (first,) = enroll(store, "nut", 1).ids
    store.forget(sample=first)
    with pytest.raises(SampleNotFoundError):
        store.sample(first)
    with pytest.raises(SampleNotFoundError, match="already"):
        store.forget(sample=first)
    (second,) = enroll(store, "nut", 1).ids
    assert second != first
    back = store.undo(2)
    assert ([row.id for row in back.removed], [row.id for row in back.added]) == (
        [second],
        [first],
    )


@pytest.mark.parametrize("id", ["", "xyz", "ab" * 16, "ab" * 15, "\u00e4"])
def test_an_id_that_nothing_has(store: Store, id: str) -> None:
    enroll(store, "nut", 1)
    for ask in (store.sample, lambda id: store.forget(sample=id)):
        with pytest.raises(SampleNotFoundError):
            ask(id)
    assert labels_of(store) == {"nut": 1}


def test_forget_wants_one_thing(store: Store) -> None:
    with pytest.raises(InputError):
        store.forget()
    with pytest.raises(InputError):
        store.forget("nut", "ab" * 16)


def test_renaming_and_undoing_it(store: Store) -> None:
    enroll(store, "nut", 1, 2)
    before = contents(store)
    change = store.rename("nut", "hex nut")
    assert {row.label for row in change.added} == {"hex nut"}
    assert {row.label for row in change.removed} == {"nut"}
    assert {row.id for row in change.added} == set(before)
    store.rename("hex nut", "M8 nut")
    assert labels_of(store) == {"M8 nut": 2}
    store.undo()
    assert labels_of(store) == {"hex nut": 2}
    store.undo()
    assert contents(store) == before


def test_renaming_onto_a_class_that_is_there(store: Store) -> None:
    enroll(store, "nut", 1)
    enroll(store, "bolt", 2)
    for new in ("bolt", "nut", " nut"):
        with pytest.raises(LabelError, match="enrolled already"):
            store.rename("nut", new)
    with pytest.raises(LabelNotFoundError):
        store.rename("screw", "bolt")
    store.forget("bolt")
    store.rename("nut", "bolt")
    assert labels_of(store) == {"bolt": 1}
    store.undo(2)
    assert labels_of(store) == {"bolt": 1, "nut": 1}


def test_undo_goes_back_step_by_step_and_never_undoes_an_undo(store: Store) -> None:
    states = [contents(store)]
    for step in (
        lambda: enroll(store, "nut", 1, 2),
        lambda: enroll(store, "bolt", 1),
        lambda: store.rename("bolt", "screw"),
        lambda: store.forget("nut"),
        lambda: enroll(store, "nut", 2, 3),
    ):
        step()
        states.append(contents(store))
    for state in reversed(states[:-1]):
        assert [entry.undone for entry in store.undo().undone] == [True]
        assert contents(store) == state
    assert store.undo().operation is None
    assert store.undo(9).undone == ()
    log = store.log()
    assert [entry.number for entry in log] == list(range(10, 0, -1))
    assert [entry.undone for entry in log] == [False] * 5 + [True] * 5


@pytest.mark.parametrize("n", [0, -1, -(10**20), 1.5, "2", True])
def test_numbers_of_operations_that_are_none(store: Store, n: Any) -> None:
    enroll(store, "nut", 1)
    with pytest.raises(InputError, match="cannot be undone"):
        store.undo(n)
    with pytest.raises(InputError, match="cannot be listed"):
        store.log(n)
    assert labels_of(store) == {"nut": 1}


def test_more_operations_than_there_are(store: Store) -> None:
    enroll(store, "nut", 1)
    for n in (np.int64(7), 2**63 - 1, 2**63, 10**20):
        assert [entry.operation for entry in store.log(n)] == ["enroll"]
    assert [entry.operation for entry in store.undo(10**20).undone] == ["enroll"]


def test_the_log_says_what_was_done(tmp_path: Path) -> None:
    times = iter([100.0, 90.0, 80.0, 70.0, 60.0])
    with open_store(tmp_path / "a.db", clock=lambda: next(times)) as store:
        enroll(store, "nut", 1, 2)
        store.enroll([shot(label, 3) for label in "abcd"], **WEIGHTS)
        store.rename("nut", "bolt")
        store.undo(2)
        log = store.log()
    assert [(entry.number, entry.time, entry.operation) for entry in log] == [
        (4, 60.0, "undo"),
        (3, 70.0, "rename"),
        (2, 80.0, "enroll"),
        (1, 90.0, "enroll"),
    ]
    assert [entry.detail for entry in log[1:]] == [
        "renamed 'nut' to 'bolt'",
        "enrolled 4 examples of 4 classes: 'a', 'b', 'c', ...",
        "enrolled 2 examples of 'nut'",
    ]
    assert log[0].detail.startswith("undid 3 (renamed 'nut' to 'bolt'); 2 (enrolled 4 ")
    assert {entry.tool for entry in log} == {__version__}
    assert [entry.undone for entry in log] == [False, True, True, False]


def test_the_log_says_where_examples_came_from_until_they_are_purged(store: Store) -> None:
    shots = [shot("nut", 1, "b.jpg"), shot("nut", 2, "a.jpg"), shot("nut", 3, "a.jpg")]
    first, *_ = store.enroll([*shots, shot("nut", 4, "c.jpg")], **WEIGHTS).ids
    store.enroll([shot("bolt", 1, "d.jpg")], **WEIGHTS)
    enroll(store, "screw", 1)
    assert [entry.source for entry in store.log()] == [None, "d.jpg", "a.jpg and 2 more"]
    assert [entry.source for entry in store.undo(2).undone] == [None, "d.jpg"]
    store.forget(sample=first, purge=True)
    store.forget("bolt", purge=True)
    assert [entry.source for entry in store.log()][2:] == [None, None, None, "a.jpg and 1 more"]


def test_thumbnail_and_origin_are_kept(store: Store) -> None:
    picture = NewExample("nut", integers(1), source="caf\udce9.jpg", thumbnail=b"\xff\xd8jpeg")
    with_picture, without = store.enroll([picture, shot("nut", 2)], **WEIGHTS).ids
    assert store.thumbnail(with_picture) == b"\xff\xd8jpeg"
    assert store.thumbnail(without) is None
    assert store.sample(with_picture).source == "caf\\udce9.jpg"
    with sqlite3.connect(store.path) as conn:
        query = "SELECT f.name, f.sha256 FROM operations o JOIN files f ON f.id = o.file"
        assert conn.execute(query).fetchall() == [("tiny.onnx", "ab" * 32)]
    conn.close()
