"""Features: exact, the same everywhere; sums that follow every change exactly."""

from __future__ import annotations

import copy
import hashlib
import io
import math
import pickle
import zipfile
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgeinc.errors import CardError, InputError, LabelNotFoundError, SampleNotFoundError
from edgeinc.features import UNIT, Background, Examples, Snapshot, pending, to_features
from edgeinc.features import gram as gram_room
from tests.learning import counted
from tests.marks import key, marks

DIM = 6
GOLDEN = "a0a2782ea1539d59d878da4ef94a168215ad46c30b0940b10fe39935f1a60107"
# Few different rows, so that equal ones meet.
ROWS = to_features(
    np.random.default_rng(5).integers(0, 256, (8, DIM)).astype(np.uint8), nonnegative=True
)

LABELS = ("bolt", "nut", "Ösen", "")


def blend(n: int, d: int, top: int, low: int = 0) -> NDArray[np.int64]:
    """Integers that are the same on every machine and with every numpy."""
    i = np.arange(n * d, dtype=np.int64).reshape(n, d)
    return low + (i * 2654435761 >> 7) % (top - low)


@given(st.lists(st.integers(0, 255), min_size=1, max_size=40))
@settings(max_examples=200)
def test_nonnegative_map_is_one_rounding_a_step(values: list[int]) -> None:
    found = to_features(np.array([values], np.uint8), nonnegative=True)[0].tolist()
    total = max(sum(values), 1)
    assert found == [round(math.sqrt(v / total) * UNIT) for v in values]


@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=40))
@settings(max_examples=200)
def test_signed_map_is_one_rounding_a_step(values: list[int]) -> None:
    found = to_features(np.array([values], np.int16), nonnegative=False)[0].tolist()
    length = max(math.sqrt(sum(v * v for v in values)), 1.0)
    assert found == [round(v * UNIT / length) for v in values]


def test_features_are_the_same_on_every_processor() -> None:
    """Golden: changes here make every store's head another one."""
    small = to_features(blend(50, 1280, 256).astype(np.uint8), nonnegative=True)
    wide = to_features(blend(50, 512, 32768).astype(np.int16), nonnegative=True)
    signed = to_features(blend(50, 512, 32768, -32768).astype(np.int16), nonnegative=False)
    digest = hashlib.sha256()
    for part in (small, wide, signed):
        digest.update(part.astype("<i2").tobytes())
    assert digest.hexdigest() == GOLDEN


def test_features_have_unit_length_and_zero_stays_zero() -> None:
    x = blend(20, 300, 256).astype(np.uint8)
    x[3] = 0
    f = to_features(x, nonnegative=True).astype(np.float64) / UNIT
    lengths = np.sqrt((f**2).sum(axis=1))
    assert lengths[3] == 0
    assert np.abs(np.delete(lengths, 3) - 1).max() < 1e-4


def test_one_row_and_a_batch_agree() -> None:
    x = blend(20, 300, 256).astype(np.uint8)
    batch = to_features(x, nonnegative=True)
    assert all(
        (to_features(x[i : i + 1], nonnegative=True)[0] == batch[i]).all() for i in range(20)
    )


def test_no_row_is_fine() -> None:
    assert to_features(np.zeros((0, 7), np.uint8), nonnegative=True).shape == (0, 7)
    assert to_features(np.zeros((0, 7), np.int16), nonnegative=False).shape == (0, 7)


@pytest.mark.parametrize(
    "bad",
    [np.zeros(3, np.uint8), np.zeros((1, 3), np.float32), np.zeros((1, 3), np.int32)],
    ids=["flat", "float", "wide"],
)
def test_what_is_no_embedding_is_refused(bad: NDArray[np.uint8]) -> None:
    with pytest.raises(InputError, match="uint8 or int16"):
        to_features(bad, nonnegative=True)


def test_negative_in_a_nonnegative_embedding_is_refused() -> None:
    with pytest.raises(InputError, match="card"):
        to_features(np.array([[1, -1]], np.int16), nonnegative=True)


operation = st.tuples(
    st.sampled_from(["add", "remove", "merge", "gram"]),
    st.sampled_from(LABELS),
    st.lists(st.integers(0, len(ROWS) - 1), min_size=1, max_size=4),
)


def same(one: Snapshot, other: Snapshot) -> bool:
    return (
        one.labels == other.labels
        and one.keys == other.keys
        and one.total == other.total
        and np.array_equal(one.counts, other.counts)
        and np.array_equal(one.sums, other.sums)
        and np.array_equal(one.rows, other.rows)
        and np.array_equal(one.y, other.y)
        and np.array_equal(one.gram, other.gram)
    )


@given(st.lists(operation, max_size=25))
@settings(max_examples=150)
def test_any_history_equals_a_fresh_start(history: list[tuple[str, str, list[int]]]) -> None:
    """Sums, rows and Gram depend on the surviving examples alone, to the last bit."""
    examples = Examples(DIM)
    model: list[tuple[str, int, str]] = []
    for step, (what, label, picks) in enumerate(history):
        if what == "add":
            names = [f"{step}-{i}" for i in range(len(picks))]
            examples.add(label, ROWS[picks], marks(ROWS[picks], names))
            model += [(label, pick, name) for pick, name in zip(picks, names, strict=True)]
        elif what == "remove":
            mine = [entry for entry in model if entry[0] == label][: len(picks)]
            if mine:
                rows = ROWS[[e[1] for e in mine]]
                examples.remove(label, rows, marks(rows, [e[2] for e in mine]))
                model = [entry for entry in model if entry not in mine]
        elif what == "merge":
            second = Examples(DIM)
            names = [f"m{step}-{i}" for i in range(len(picks))]
            second.add(label, ROWS[picks], marks(ROWS[picks], names))
            examples.merge(second)
            model += [(label, pick, name) for pick, name in zip(picks, names, strict=True)]
        else:
            # Once a Gram has been asked for, it follows by what changed since.
            snapshot = examples.snapshot()
            wide = snapshot.rows.astype(np.int64)
            assert np.array_equal(snapshot.gram, wide.T @ wide)
    fresh = Examples(DIM)
    for label, pick, name in reversed(model):
        fresh.add(label, ROWS[pick : pick + 1], marks(ROWS[pick : pick + 1], [name]))
    assert same(examples.snapshot(), fresh.snapshot())
    assert examples.labels == tuple(sorted({entry[0] for entry in model}))
    assert examples.total == len(model)


def test_snapshot_is_in_canonical_order() -> None:
    examples = Examples(DIM)
    for label in ("b", "a", "B", "ä"):
        examples.add(label, ROWS[[3, 1, 2]], marks(ROWS[[3, 1, 2]], ["x", "y", "z"]))
    snapshot = examples.snapshot()
    assert snapshot.labels == ("B", "a", "b", "ä")
    assert snapshot.y.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    contents = [row.tobytes() for row in snapshot.rows[:3]]
    digests = [hashlib.blake2b(row, digest_size=16).digest() for row in contents]
    assert digests == sorted(digests)
    key_of = dict(zip(contents, snapshot.keys[:3], strict=True))
    assert key_of[ROWS[3].tobytes()] == key("x")


def test_snapshot_does_not_move() -> None:
    examples = Examples(DIM)
    examples.add("a", ROWS[:3])
    before = examples.snapshot()
    examples.add("a", ROWS[3:5])
    examples.add("b", ROWS[:1])
    examples.remove("a", ROWS[:1])
    assert before.labels == ("a",)
    assert before.total == 3
    assert np.array_equal(before.sums, ROWS[:3].sum(axis=0, dtype=np.int64)[np.newaxis])
    wide = ROWS[:3].astype(np.int64)
    assert np.array_equal(before.gram, wide.T @ wide)
    with pytest.raises(ValueError, match="read-only"):
        before.rows[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        before.gram[0, 0] = 1


def test_gram_follows_by_what_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Gram computed late, from an old snapshot, still saves going through all rows."""
    worked = counted(monkeypatch, gram_room)
    examples = Examples(DIM)
    examples.add("a", np.repeat(ROWS, 5, axis=0))
    early = examples.snapshot()
    examples.add("b", ROWS[:2])
    middle = examples.snapshot()
    examples.remove("a", ROWS[5:6])
    assert early.gram[0, 0] > 0
    worked.clear()
    late = examples.snapshot()
    wide = late.rows.astype(np.int64)
    assert np.array_equal(late.gram, wide.T @ wide)
    assert sum(worked) == 3
    wide = middle.rows.astype(np.int64)
    assert np.array_equal(middle.gram, wide.T @ wide)


def exact(snapshot: Snapshot) -> bool:
    wide = snapshot.rows.astype(np.int64)
    return np.array_equal(snapshot.gram, wide.T @ wide)


def test_examples_that_came_and_went_one_by_one_are_multiplied_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A product of one row writes the whole Gram, as one of many rows does."""
    examples = Examples(DIM)
    examples.add("a", ROWS)
    assert exact(examples.snapshot())
    worked = counted(monkeypatch, gram_room)
    for i in range(300):
        examples.add("b", ROWS[i % 8 : i % 8 + 1])
    for i in range(100):
        examples.remove("b", ROWS[i % 8 : i % 8 + 1])
    assert exact(examples.snapshot())
    assert worked == [256, 44, 100]


@pytest.mark.parametrize("held", [True, False])
def test_many_small_classes_are_read_and_multiplied_together(
    held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = blend(600, DIM, 30_000).astype(np.int16)
    names = marks(rows, [str(i) for i in range(600)])
    by_mark = dict(zip(names, rows, strict=True))
    asked: list[int] = []

    def fetch(wanted: Sequence[bytes]) -> NDArray[np.int16]:
        asked.append(len(wanted))
        return np.stack([by_mark[mark] for mark in wanted])

    examples = Examples(DIM, None if held else fetch)
    for i in range(600):
        examples.add(str(i), rows[i : i + 1], names[i : i + 1])
    worked = counted(monkeypatch, gram_room)
    gram = examples.snapshot().gram
    assert worked == [600]
    assert asked == ([] if held else [600])
    wide = rows.astype(np.int64)
    assert np.array_equal(gram, wide.T @ wide)


def test_noting_a_change_multiplies_nothing_and_holds_few_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is done under the lock that a prediction may wait for."""
    monkeypatch.setattr(pending, "MOST", 20)
    examples = Examples(DIM)
    examples.add("a", ROWS)
    assert exact(examples.snapshot())
    worked = counted(monkeypatch, gram_room)
    for i in range(50):
        examples.add("b", ROWS[i % 8 : i % 8 + 1])
        assert examples._pending._many <= 21
    examples.add("c", np.repeat(ROWS, 6, axis=0))
    examples.remove("b", ROWS[:1])
    assert worked == []
    assert exact(examples.snapshot())


def test_settling_keeps_the_gram_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that came are worked in where there is time, so that nobody reads all again."""
    monkeypatch.setattr(pending, "MOST", 20)
    for room in (pending, gram_room):
        monkeypatch.setattr(room, "SETTLED", 10)
    examples = Examples(DIM)
    examples.add("a", ROWS)
    assert exact(examples.snapshot())
    worked = counted(monkeypatch, gram_room)
    for i in range(50):
        examples.add("b", ROWS[i % 8 : i % 8 + 1])
        if i % 2:
            examples.settle()
        else:
            examples.snapshot().settle()
    examples.add("c", np.repeat(ROWS, 6, axis=0))
    examples.snapshot().settle()
    assert exact(examples.snapshot())
    assert worked == [10] * 5 + [48]


def test_removal_takes_the_row_with_the_key() -> None:
    examples = Examples(DIM)
    examples.add("a", ROWS[[0, 0, 0]], marks(ROWS[[0, 0, 0]], ["p", "q", "r"]))
    examples.remove("a", ROWS[:1], marks(ROWS[:1], ["q"]))
    assert examples.snapshot().keys == (key("p"), key("r"))


def test_failed_removal_changes_nothing() -> None:
    examples = Examples(DIM)
    examples.add("a", ROWS[:2], marks(ROWS[:2], ["p", "q"]))
    before = examples.snapshot()
    with pytest.raises(SampleNotFoundError, match="not among"):
        examples.remove("a", ROWS[[0, 5]])
    with pytest.raises(SampleNotFoundError, match="not among"):
        examples.remove("a", ROWS[:1], marks(ROWS[:1], ["q"]))
    with pytest.raises(SampleNotFoundError, match="not among"):
        examples.remove("a", ROWS[[0, 0]])
    with pytest.raises(LabelNotFoundError, match="'b'"):
        examples.remove("b", ROWS[:1])
    assert same(before, examples.snapshot())


def test_last_example_takes_its_class_along() -> None:
    examples = Examples(DIM)
    examples.add("a", ROWS[:1])
    examples.remove("a", ROWS[:1])
    empty = examples.snapshot()
    assert empty.labels == ()
    assert empty.rows.shape == (0, DIM)
    assert empty.sums.shape == (0, DIM)
    assert not empty.gram.any()
    assert examples.count("a") == 0


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        (ROWS[0], None),
        (ROWS[:, :3], None),
        (ROWS.astype(np.int32), None),
        (ROWS[:2], [bytes(32)]),
        (ROWS[:1], [b"short"]),
    ],
    ids=["flat", "short", "wide", "few marks", "short mark"],
)
def test_what_is_no_feature_is_refused(rows: NDArray[np.int16], names: list[bytes] | None) -> None:
    with pytest.raises(InputError):
        Examples(DIM).add("a", rows, names)


def test_other_lengths_do_not_merge() -> None:
    with pytest.raises(InputError, match="same backbone"):
        Examples(DIM).merge(Examples(DIM + 1))


def test_copies_and_pickles_are_independent() -> None:
    examples = Examples(DIM)
    examples.add("a", ROWS[:3])
    assert examples.snapshot().gram.any()
    for twin in (copy.deepcopy(examples), pickle.loads(pickle.dumps(examples))):
        assert same(twin.snapshot(), examples.snapshot())
        twin.add("b", ROWS[:1])
        assert examples.labels == ("a",)


def test_background_survives_its_file() -> None:
    background = Background.of(ROWS)
    data = background.to_bytes()
    assert data == background.to_bytes()
    again = Background.from_bytes(data)
    assert again.count == len(ROWS)
    assert np.allclose(again.mean, ROWS.mean(axis=0) / UNIT, atol=1e-6)
    assert again.to_bytes() == data


def test_leading_directions_survive_file_and_cache() -> None:
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(DIM, DIM)))[0][:3]
    given = Background(np.full(DIM, 0.1), 7, np.array([0.3, 0.2, 0.1]), turn.astype(np.float32))
    across = replace(given, vectors=np.asfortranarray(given.vectors))
    files = [Background.from_bytes(one.to_bytes()) for one in (given, across)]
    for again in (*files, Background.unpack(given.pack())):
        assert again.count == 7
        assert np.allclose(again.mean, 0.1)
        assert np.allclose(again.values, [0.3, 0.2, 0.1])
        assert np.allclose(again.vectors, turn, atol=1e-3)
    without = Background.unpack(Background(np.full(DIM, 0.1), 7).pack())
    assert (len(without.values), without.vectors.shape, without.count) == (0, (0, 0), 7)


@pytest.mark.parametrize(
    ("values", "vectors"),
    [
        (np.array([0.2, np.nan]), np.zeros((2, DIM))),
        (np.array([0.2, -0.1]), np.zeros((2, DIM))),
        (np.array([0.2, 2.0]), np.zeros((2, DIM))),
        (np.array([0.2]), np.zeros((2, DIM))),
        (np.array([0.2]), np.zeros((1, DIM + 1))),
        (np.array([0.2]), np.full((1, DIM), np.inf)),
        (np.array([0.2]), np.zeros(DIM)),
    ],
)
def test_damaged_leading_directions_are_refused(
    values: NDArray[np.float64], vectors: NDArray[np.float32]
) -> None:
    background = Background(np.zeros(DIM), 3, values, vectors)
    with pytest.raises(CardError, match="`values` or `vectors`"):
        Background.from_bytes(background.to_bytes())


def test_background_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        Background.of(ROWS[:0])


def test_damaged_background_is_refused() -> None:
    data = Background.of(ROWS).to_bytes()
    for cut in (0, 1, 10, len(data) // 2, len(data) - 1):
        with pytest.raises(CardError):
            Background.from_bytes(data[:cut])
    with pytest.raises(CardError, match="shape or value"):
        Background.from_bytes(Background(np.full(4, np.nan), 3).to_bytes())
    with pytest.raises(CardError, match="shape or value"):
        Background.from_bytes(Background(np.zeros(4), 0).to_bytes())


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_background_packed_as_numpy_never_packs_is_refused(method: int) -> None:
    """Their readers raise errors of their own on damaged content."""
    data = Background.of(ROWS).to_bytes()
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as sound, zipfile.ZipFile(packed, "w", method) as other:
        for name in sound.namelist():
            other.writestr(name, sound.read(name))
    with pytest.raises(CardError, match="with `mean` and `count`"):
        Background.from_bytes(packed.getvalue())
    for at in range(30, len(packed.getvalue())):
        damaged = bytearray(packed.getvalue())
        damaged[at] ^= 0x5A
        with pytest.raises(CardError):
            Background.from_bytes(bytes(damaged))


def test_a_background_may_be_deflated() -> None:
    packed = io.BytesIO()
    np.savez_compressed(packed, mean=np.ones(DIM, "<f4"), count=np.asarray(3, "<i8"))
    assert Background.from_bytes(packed.getvalue()).count == 3
