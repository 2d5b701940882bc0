"""One contract for all heads; exact leave-one-out; a choice by content."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgeinc.errors import InputError, LabelNotFoundError, SampleNotFoundError
from edgeinc.features import Background, Examples, Snapshot, to_features
from edgeinc.heads import Head, Knn, Lda, Proto, Ridge, Scorer, fit, temperature
from edgeinc.heads import base as base_room
from edgeinc.heads import choice as choice_room
from edgeinc.heads.base import Base, evidence_rows
from edgeinc.heads.dual import Dual
from edgeinc.heads.primal import Primal
from edgeinc.heads.prior import Prior
from edgeinc.heads.ridge import Cubic
from edgeinc.heads.space import Space, inverse
from tests.marks import key, marks

Features = NDArray[np.int16]
WIDE, NARROW = 40, 9


def pictures(seed: int, counts: Sequence[int], dim: int) -> list[Features]:
    """Features of classes that can be told apart: the same classes for the same dim."""
    centres = np.random.default_rng(dim).gamma(0.5, size=(12, dim))
    rng = np.random.default_rng(seed)
    return [
        to_features(
            np.clip((centres[c] + 0.4 * rng.gamma(0.5, size=(k, dim))) * 60, 0, 255).astype(
                np.uint8
            ),
            nonnegative=True,
        )
        for c, k in enumerate(counts)
    ]


def snapshot_of(groups: Sequence[Features], dim: int) -> Snapshot:
    examples = Examples(dim)
    for c, rows in enumerate(groups):
        examples.add(f"class {c}", rows, marks(rows, [f"{c}-{i}" for i in range(len(rows))]))
    return examples.snapshot()


def background(dim: int) -> Background:
    return Background.of(np.concatenate(pictures(99, [10] * 12, dim)))


def prior(snapshot: Snapshot) -> Prior | None:
    return Prior.of(background(snapshot.dim), snapshot)


HEADS: dict[str, Callable[[Snapshot], Scorer]] = {
    "proto": Proto,
    "centred": lambda snapshot: Proto(snapshot, background(snapshot.dim)),
    "ridge": Ridge,
    "ridge with a prior": lambda snapshot: Ridge(snapshot, prior(snapshot)),
    "cubic": Cubic,
    "lda": Lda,
    "knn": Knn,
    "auto": lambda snapshot: fit("auto", snapshot),
}
SIZES = {
    "nothing": (),
    "one picture": (1,),
    "one class": (5,),
    "one shot": (1, 1, 1),
    "two classes": (4, 1),
    "few": (3, 1, 5, 8),
    "many": (30, 1, 12, 7),
}

every_head = pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
every_dim = pytest.mark.parametrize("dim", [WIDE, NARROW], ids=["wide", "narrow"])
every_size = pytest.mark.parametrize("counts", SIZES.values(), ids=SIZES)


@every_head
@every_dim
@every_size
def test_scores_are_numbers_of_the_right_shape(
    head: Callable[[Snapshot], Scorer], dim: int, counts: tuple[int, ...]
) -> None:
    snapshot = snapshot_of(pictures(0, counts, dim), dim)
    scorer = head(snapshot)
    assert scorer.labels == snapshot.labels
    assert 0 < scorer.temperature < np.inf
    queries = np.concatenate([np.zeros((1, dim), np.int16), *pictures(1, [2] * 4, dim)])
    for part in (queries, queries[:1], queries[:0]):
        scores = scorer.scores(part)
        assert scores.shape == (len(part), len(counts))
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()
    loo = scorer.loo
    assert loo.shape == (sum(counts), len(counts))
    assert loo.dtype == np.float32
    assert not np.isnan(loo).any()
    only = snapshot.counts[snapshot.y] == 1
    missing = np.zeros(loo.shape, bool)
    missing[np.flatnonzero(only), snapshot.y[only]] = True
    assert np.array_equal(np.isneginf(loo), missing)


@every_head
@pytest.mark.parametrize("value", [0, 200], ids=["zeros", "equal"])
@pytest.mark.parametrize("counts", [(3,), (2, 2), (1, 4, 2), (20, 20)], ids=str)
def test_examples_without_any_difference_are_no_trouble(
    head: Callable[[Snapshot], Scorer], value: int, counts: tuple[int, ...]
) -> None:
    rows = to_features(np.full((1, NARROW), value, np.uint8), nonnegative=True)
    scorer = head(snapshot_of([np.repeat(rows, k, axis=0) for k in counts], NARROW))
    others = pictures(1, [2, 2], NARROW)[0]
    assert np.isfinite(scorer.scores(np.concatenate([rows, others]))).all()
    assert not np.isnan(scorer.loo).any()
    assert 0 < scorer.temperature < np.inf


@every_head
@every_dim
def test_classes_are_recognised(head: Callable[[Snapshot], Scorer], dim: int) -> None:
    counts = (1, 3, 12)
    scorer = head(snapshot_of(pictures(0, counts, dim), dim))
    queries = pictures(1, [25] * 3, dim)
    right = [float((scorer.scores(q).argmax(axis=1) == c).mean()) for c, q in enumerate(queries)]
    assert np.mean(right) > 0.9


@every_head
@every_dim
def test_content_alone_decides(head: Callable[[Snapshot], Scorer], dim: int) -> None:
    """To the last bit, whatever came and went and in whichever order."""
    groups = pictures(0, (6, 1, 9), dim)
    plain = head(snapshot_of(groups, dim))
    examples = Examples(dim)
    rng = np.random.default_rng(2)
    order = [(c, i) for c, rows in enumerate(groups) for i in range(len(rows))]
    extra = pictures(3, (2, 2, 2, 2), dim)
    examples.add("class 3", extra[3])
    for c, i in rng.permutation(order):
        examples.add(f"class {c}", groups[c][i : i + 1])
        examples.add(f"class {c}", extra[c][:1])
        assert examples.snapshot().gram.any()
        examples.remove(f"class {c}", extra[c][:1])
    examples.remove("class 3", extra[3])
    other = head(examples.snapshot())
    queries = np.concatenate(pictures(1, [3] * 4, dim))
    assert plain.name == other.name
    assert plain.temperature == other.temperature
    assert np.array_equal(plain.scores(queries), other.scores(queries))
    assert np.array_equal(plain.loo, other.loo)


def refitted(scorer: Base, rest: Snapshot) -> Base:
    """The same head fitted to other examples, with the same strength and prior where it has one."""
    if isinstance(scorer, Cubic):
        space = Space(rest)
        return Cubic(rest, space=space, strength=scorer.strength / space.variance(3))
    if isinstance(scorer, Ridge):
        space = Space(rest)
        strength = scorer.strength / space.variance()
        return Ridge(rest, scorer.prior, space=space, strength=strength)
    if isinstance(scorer, Lda):
        space = Space(rest)
        return Lda(rest, space=space, strength=scorer.strength / space.variance())
    if isinstance(scorer, Proto):
        return Proto(rest, background(rest.dim) if scorer.centre.any() else None)
    return Knn(rest)


@pytest.mark.parametrize("head", [HEADS[name] for name in HEADS if name != "auto"], ids=str)
@every_dim
@pytest.mark.parametrize("counts", [(1, 1, 1), (4, 1), (9,), (3, 1, 5, 8), (14, 2, 1)], ids=str)
def test_leave_one_out_equals_refitting(
    head: Callable[[Snapshot], Base], dim: int, counts: tuple[int, ...]
) -> None:
    snapshot = snapshot_of(pictures(0, counts, dim), dim)
    scorer = head(snapshot)
    for i in range(snapshot.total):
        rest = Examples(dim)
        for j in range(snapshot.total):
            if j != i:
                rest.add(snapshot.labels[snapshot.y[j]], snapshot.rows[j : j + 1])
        again = refitted(scorer, rest.snapshot())
        columns = [snapshot.labels.index(label) for label in again.labels]
        truth = again.scores(snapshot.rows[i : i + 1])[0]
        found = scorer.loo[i, columns]
        if isinstance(scorer, Lda):
            # Its scores are meant up to a number that is the same for all classes.
            truth, found = truth - truth.mean(), found - found.mean()
        size = max(1e-3, float(np.abs(truth).max(initial=0)))
        assert np.abs(found - truth).max(initial=0) < 1e-4 * size


@pytest.mark.parametrize("groups", ["all", "classes"])
@pytest.mark.parametrize("with_prior", [False, True], ids=["plain", "prior"])
def test_both_routes_lead_to_the_same_metric(groups: str, with_prior: bool) -> None:
    """By pairs of examples, or by pairs of dimensions."""
    counts = (4, 1, 3)
    space = Space(snapshot_of(pictures(0, counts, 12), 12))
    sizes = np.array([sum(counts)] if groups == "all" else counts)
    beforehand = prior(space.snapshot) if with_prior else None
    one = Dual(space, sizes, 0.3, prior=beforehand)
    other = Primal(space, sizes, 0.3, beforehand)
    rows, classes = np.arange(8), np.arange(3)
    assert np.allclose(one.crossed(rows), other.crossed(rows))
    assert np.allclose(one.paired(classes), other.paired(classes))
    assert np.allclose(one.mixed(np.array([0.2, 0.3, 0.5])), other.mixed(np.array([0.2, 0.3, 0.5])))
    assert np.allclose(one.leverage(rows), other.leverage(rows))
    assert np.allclose(one.squared(rows), other.squared(rows))
    assert np.allclose(one.lengths, other.lengths)
    assert np.isclose(one.filled, other.filled)
    for mine, theirs in zip(one.axes(), other.axes(), strict=True):
        assert np.allclose(mine, theirs)


@pytest.mark.parametrize("n", [1, 128, 129, 301])
def test_inverse_by_halves(n: int) -> None:
    x = np.random.default_rng(n).standard_normal((n, n + 3))
    matrix = x @ x.T / n + 0.1 * np.eye(n)
    assert np.abs(inverse(matrix) @ matrix - np.eye(n)).max() < 1e-9


def test_uneven_classes_stay_level() -> None:
    """With 60 examples of one class and 3 of the other, neither swallows the other."""
    rng = np.random.default_rng(0)
    dim = 200
    centres = rng.gamma(0.5, size=(2, dim)) * 0.25 + rng.gamma(0.5, size=dim)

    def draw(c: int, k: int) -> Features:
        noisy = centres[c] + 0.8 * rng.gamma(0.5, size=(k, dim))
        return to_features(np.clip(noisy * 40, 0, 255).astype(np.uint8), nonnegative=True)

    examples = Examples(dim)
    examples.add("few", draw(0, 3))
    examples.add("many", draw(1, 60))
    scorer = fit("auto", examples.snapshot())
    few = (scorer.scores(draw(0, 200)).argmax(axis=1) == 0).mean()
    many = (scorer.scores(draw(1, 200)).argmax(axis=1) == 1).mean()
    assert min(few, many) > 0.85


def test_auto_takes_ridge_where_nothing_can_be_told() -> None:
    for counts in ((), (1,), (5,), (1, 1, 1), (2, 2)):
        assert fit("auto", snapshot_of(pictures(0, counts, WIDE), WIDE)).name == "ridge"


def many_sided(k: int) -> list[Features]:
    """Two classes with the same mean: one in the middle, one on both sides of it."""
    rng = np.random.default_rng(k)
    x = 100 + rng.normal(0, 3, (2 * k, 20))
    x[:k, 0] += rng.choice([-60, 60], k)
    x[:k, 1] += rng.choice([-60, 60], k)
    whole = to_features(np.clip(x, 0, 255).astype(np.uint8), nonnegative=True)
    return [whole[:k], whole[k:]]


def test_auto_leaves_ridge_where_classes_are_many_sided() -> None:
    snapshot = snapshot_of(many_sided(40), 20)
    test = many_sided(41)
    scores = {
        name: np.mean([(head.scores(q).argmax(axis=1) == c).mean() for c, q in enumerate(test)])
        for name, head in [(n, fit(n, snapshot)) for n in ("ridge", "auto")]
    }
    assert scores["ridge"] < 0.9
    assert scores["auto"] > 0.95


def test_auto_makes_no_choice_for_classes_that_it_cannot_judge() -> None:
    """Many-sided classes speak for `knn`, which small ones beside them would pay for."""
    judged = many_sided(40)
    assert fit("auto", snapshot_of(judged, 20)).name == "knn"
    few = [rows[:2] for rows in many_sided(41)]
    assert fit("auto", snapshot_of([*judged, few[0]], 20)).name == "ridge"
    more = [rows for k in (40, 42, 43) for rows in many_sided(k)]
    assert fit("auto", snapshot_of([*more, few[0]], 20)).name != "ridge"


def test_auto_makes_no_choice_where_examples_are_very_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    snapshot = snapshot_of(many_sided(40), 20)
    monkeypatch.setattr(choice_room, "MANY", 79)
    assert fit("auto", snapshot).name == "knn"
    monkeypatch.setattr(choice_room, "LARGE", 79)
    assert fit("auto", snapshot).name == "ridge"


def test_names() -> None:
    snapshot = snapshot_of(pictures(0, (3, 3), WIDE), WIDE)
    for name in ("proto", "ridge", "lda", "knn"):
        assert fit(name, snapshot).name == name
    with pytest.raises(InputError, match="'svm'"):
        fit("svm", snapshot)


@every_head
def test_evidence_is_part_of_leave_one_out(
    head: Callable[[Snapshot], Base], monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = snapshot_of(pictures(0, (30, 1, 12, 7), NARROW), NARROW)
    monkeypatch.setattr(base_room, "HELD_OUT", 11)
    rows = evidence_rows(snapshot)
    assert 2 <= len(rows) <= 11
    assert (snapshot.counts[snapshot.y[rows]] > 2).all()
    scorer = head(snapshot)
    assert np.allclose(scorer.evidence, scorer.loo[rows], atol=1e-5)


@every_head
def test_probabilities_are_worth_their_name(head: Callable[[Snapshot], Scorer]) -> None:
    """Where classes overlap, 80 % means about 80 %."""
    rng = np.random.default_rng(0)
    centres = 100 + rng.normal(0, 14, (4, WIDE))

    def draw(k: int) -> list[Features]:
        noisy = [np.clip(c + rng.normal(0, 40, (k, WIDE)), 0, 255) for c in centres]
        return [to_features(x.astype(np.uint8), nonnegative=True) for x in noisy]

    scorer = head(snapshot_of(draw(15), WIDE))
    queries, y = np.concatenate(draw(300)), np.repeat(np.arange(4), 300)
    logits = scorer.scores(queries).astype(np.float64) / scorer.temperature
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    right = chances.argmax(axis=1) == y
    assert 0.4 < right.mean() < 0.99
    assert abs(chances.max(axis=1).mean() - right.mean()) < 0.12


def test_nearest_examples() -> None:
    snapshot = snapshot_of(pictures(0, (6, 1, 9), WIDE), WIDE)
    knn = Knn(snapshot)
    query = pictures(1, (1,), WIDE)[0]
    wide = snapshot.rows.astype(np.float64) / 32767
    cosines = wide @ (query[0] / 32767)
    order = np.argsort(-cosines, kind="stable")
    for k in (1, 5, 16, 99):
        found = knn.nearest(query, k)
        assert [name for name, _ in found] == [snapshot.keys[i] for i in order[:k]]
        assert np.allclose([s for _, s in found], cosines[order[:k]], atol=1e-5)
    assert knn.nearest(query, 0) == []
    assert Knn(Examples(WIDE).snapshot()).nearest(query, 3) == []


def test_equally_near_examples_come_in_canonical_order() -> None:
    row = pictures(0, (1,), WIDE)[0]
    examples = Examples(WIDE)
    examples.add("b", np.repeat(row, 3, axis=0), marks(np.repeat(row, 3, 0), ["b2", "b1", "b3"]))
    examples.add("a", row, marks(row, ["a1"]))
    found = Knn(examples.snapshot()).nearest(row, 3)
    assert [found_key for found_key, _ in found] == [key(name) for name in ("a1", "b1", "b2")]
    assert all(1 - 1e-4 < similarity <= 1 for _, similarity in found)


@pytest.mark.parametrize("name", ["auto", "proto", "ridge", "lda", "knn"])
def test_head_learns_forgets_and_merges_exactly(name: str) -> None:
    groups = pictures(0, (5, 4, 3), WIDE)
    queries = np.concatenate(pictures(1, [3] * 3, WIDE))
    whole = Head(name)
    for c, rows in enumerate(groups):
        whole.partial_fit(rows, [str(c)] * len(rows))
    one, two = Head(name), Head(name)
    one.partial_fit(groups[0], ["0"] * 5).partial_fit(groups[2][:1], ["2"])
    extra = pictures(2, (2,), WIDE)[0]
    two.partial_fit(np.concatenate([groups[1], groups[2][1:], extra]), [*"1111", *"22", "0", "x"])
    two.forget(extra, ["0", "x"])
    merged = one.merge(two)
    assert merged.classes_.tolist() == ["0", "1", "2"]
    assert np.array_equal(merged.decision_function(queries), whole.decision_function(queries))
    assert np.array_equal(merged.predict_proba(queries), whole.predict_proba(queries))
    assert np.allclose(merged.predict_proba(queries).sum(axis=1), 1)
    assert merged.predict(queries).tolist() == ["0"] * 3 + ["1"] * 3 + ["2"] * 3
    for twin in (copy.deepcopy(merged), pickle.loads(pickle.dumps(merged))):
        assert np.array_equal(twin.predict_proba(queries), whole.predict_proba(queries))


def test_head_without_classes_and_with_one() -> None:
    rows = pictures(0, (2,), WIDE)[0]
    for head in (Head(), Head(dim=WIDE), Head().merge(Head())):
        assert head.classes_.shape == (0,)
        assert head.predict(rows).tolist() == [None, None]
        assert head.predict_proba(rows).shape == (2, 0)
        assert head.decision_function(rows).shape == (2, 0)
        head.partial_fit(rows, ["only", "only"])
        assert head.predict(rows).tolist() == ["only", "only"]
        assert head.predict_proba(rows).tolist() == [[1.0], [1.0]]
        head.forget(rows, ["only", "only"])
        assert head.predict(rows).tolist() == [None, None]


def test_head_refuses_what_it_cannot_use() -> None:
    rows = pictures(0, (3,), WIDE)[0]
    with pytest.raises(InputError, match="'svm'"):
        Head("svm")
    with pytest.raises(InputError, match="labels"):
        Head().partial_fit(rows, ["a"])
    with pytest.raises(InputError, match="length of a feature"):
        assert Head().scorer
    head = Head().partial_fit(rows, ["a", "a", "b"])
    before = head.decision_function(rows)
    with pytest.raises(SampleNotFoundError):
        head.forget(rows, ["a", "b", "b"])
    with pytest.raises(LabelNotFoundError):
        head.forget(rows, ["a", "a", "c"])
    assert np.array_equal(head.decision_function(rows), before)


@given(st.integers(0, 10_000))
@settings(max_examples=200)
def test_the_temperature_is_the_best_of_all_that_could_be_tried(seed: int) -> None:
    """The search looks at a third of them; it must find what looking at each would."""
    rng = np.random.default_rng(seed)
    rows, classes = int(rng.integers(1, 60)), int(rng.integers(2, 12))
    y = rng.integers(0, classes, rows)
    scores = rng.normal(0, 10.0 ** rng.uniform(-3, 2), (rows, classes)).astype(np.float32)
    scores[np.arange(rows), y] += np.float32(rng.normal() * 10.0 ** rng.uniform(-3, 2))
    weights, default = rng.uniform(0.1, 1, rows), float(10.0 ** rng.uniform(-3, 1))
    worth = weights.sum() ** 2 / np.square(weights).sum()
    shares = weights / weights.sum()
    costs = [
        worth * float(shares @ temperature.losses(scores, y, default * factor))
        + 0.5 * temperature.STRENGTH * float(np.log2(factor)) ** 2
        for factor in temperature.GRID.tolist()
    ]
    found = temperature.best_factor(scores, y, weights, default)
    assert found == temperature.GRID[int(np.argmin(costs))]
