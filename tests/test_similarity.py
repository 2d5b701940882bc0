"""Whether a picture is known at all: familiarity, thresholds, negatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinc.between import Moved, ranking
from edgeinc.decision import decide
from edgeinc.features import UNIT, Background, Examples, Snapshot
from edgeinc.heads import ClassSimilarity, fit
from edgeinc.heads.closeness import Closeness
from edgeinc.heads.evidence import Evidence
from edgeinc.heads.kind import within_kind
from edgeinc.heads.levels import different, greater, greatest
from edgeinc.heads.means import Means
from edgeinc.heads.metric import Metric
from edgeinc.heads.near_duplicates import ALONE, UNSEEN, near_duplicates
from edgeinc.learner import Learner
from edgeinc.types import NEGATIVE

Features = NDArray[np.int16]
DIM = 48
FEW = [(1,), (5,), (1, 1), (1, 60), (3, 1, 9), (40, 40, 2, 1)]


def world(seed: int) -> tuple[np.random.Generator, NDArray[np.float64], NDArray[np.float64]]:
    """A generator, where all pictures lie, and 30 classes about it."""
    fixed = np.random.default_rng(7)
    middle = fixed.random(DIM) + 0.5
    return np.random.default_rng(seed), middle, fixed.normal(size=(30, DIM)) * 0.35


def shots(seed: int, c: int, count: int) -> Features:
    """Features of some pictures of a class."""
    rng, middle, classes = world(1000 * seed + c)
    rows = middle + classes[c] + rng.normal(size=(count, DIM)) * 0.5
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.rint(rows * UNIT), np.int16)


def background(seed: int = 0, *, leading: int = 8) -> Background:
    """Of classes that no test enrols."""
    rows = np.concatenate([shots(seed, c, 40) for c in range(10, 30)]) / UNIT
    values, vectors = np.linalg.eigh(np.cov(rows.T))
    return Background(
        rows.mean(axis=0),
        len(rows),
        values[::-1][:leading],
        vectors.T[::-1][:leading].astype(np.float32),
    )


BACKGROUNDS: dict[str, Background | None] = {
    "none": None,
    "mean only": Background(background().mean, 100),
    "covariance": background(),
}
with_every_background = pytest.mark.parametrize("back", BACKGROUNDS.values(), ids=BACKGROUNDS)


def enrolled(counts: Sequence[int], negatives: Sequence[Features] = ()) -> Snapshot:
    examples = Examples(DIM)
    for c, count in enumerate(counts):
        examples.add(f"class {c}", shots(1, c, count))
    for rows in negatives:
        examples.add(NEGATIVE, rows)
    return examples.snapshot()


def familiar(similarity: ClassSimilarity, rows: Features) -> NDArray[np.float64]:
    """The familiarity of each row to the class that it is most familiar to."""
    columns = range(len(similarity.labels))
    each = [similarity.familiarity(rows, np.full(len(rows), c)) for c in columns]
    return np.asarray(np.max(each, axis=0))


@with_every_background
@pytest.mark.parametrize("counts", FEW, ids=str)
def test_defined_from_the_first_shot(counts: tuple[int, ...], back: Background | None) -> None:
    similarity = ClassSimilarity(enrolled(counts), back)
    limits = similarity.thresholds
    assert limits.shape == (len(counts),)
    assert ((limits > 0) & (limits < 1)).all()
    own = familiar(similarity, np.concatenate([shots(2, c, 30) for c in range(len(counts))]))
    strange = familiar(similarity, np.concatenate([shots(2, c, 30) for c in range(4, 10)]))
    assert ((own >= 0) & (own <= 1)).all()
    assert np.median(own) > np.median(strange)


def test_strangers_stay_out_from_the_first_shot_of_the_first_class() -> None:
    similarity = ClassSimilarity(enrolled((1,)), background())
    taken = np.zeros(40, np.intp)
    own = similarity.familiarity(shots(2, 0, 40), taken) >= similarity.thresholds[0]
    others = np.concatenate([shots(2, c, 10) for c in range(4, 8)])
    strange = similarity.familiarity(others, taken) >= similarity.thresholds[0]
    assert own.mean() > 0.7
    assert strange.mean() < 0.3


@with_every_background
def test_thresholds_let_the_own_in_and_keep_strangers_out(back: Background | None) -> None:
    similarity = ClassSimilarity(enrolled((8, 8, 8)), back)
    own = np.concatenate(
        [similarity.familiarity(shots(2, c, 40), np.full(40, c)) for c in range(3)]
    )
    known = own >= np.repeat(similarity.thresholds, 40)
    strange = familiar(similarity, np.concatenate([shots(2, c, 20) for c in range(4, 10)]))
    assert known.mean() > 0.85
    # The plain cosine tells less.
    assert (strange < similarity.thresholds.min()).mean() > (0.5 if back else 0.2)


@with_every_background
def test_identical_examples(back: Background | None) -> None:
    examples = Examples(DIM)
    for c in range(3):
        examples.add(f"class {c}", np.repeat(shots(1, c, 1), 6, axis=0))
    similarity = ClassSimilarity(examples.snapshot(), back)
    assert np.isfinite(similarity.thresholds).all()
    same = similarity.familiarity(shots(1, 1, 1), np.array([1]))[0]
    assert similarity.thresholds[1] <= same <= 1


@with_every_background
def test_a_picture_of_zeros_is_no_nan(back: Background | None) -> None:
    similarity = ClassSimilarity(enrolled((4, 1)), back)
    found = similarity.familiarity(np.zeros((2, DIM), np.int16), np.array([0, 1]))
    assert np.isfinite(found).all()
    examples = Examples(DIM)
    examples.add("black", np.zeros((2, DIM), np.int16))
    black = ClassSimilarity(examples.snapshot(), back)
    assert np.isfinite(black.thresholds).all()
    assert np.isfinite(black.familiarity(shots(1, 0, 3), np.zeros(3, np.intp))).all()


def test_all_classes_at_once_and_one_by_one_are_as_close() -> None:
    means = Means(enrolled((4, 1, 20)), background())
    rows = shots(3, 1, 5)
    for narrow in (False, True):
        closeness = Closeness(means, narrow=narrow)
        alone = [closeness.to_means(rows, means.mean(np.full(5, c))) for c in range(3)]
        assert np.allclose(closeness.scores(rows).T, alone, atol=1e-5)


def test_leaving_out_is_enrolling_without() -> None:
    whole = enrolled((4, 1, 3))
    means = Means(whole, background())
    # Within their kind the centre would move as well.
    own = Closeness(means, narrow=False).own(np.arange(whole.total))
    assert own[4] == 0
    for i in (0, 3, 5):
        examples = Examples(DIM)
        for j, row in enumerate(whole.rows):
            if j != i:
                examples.add(whole.labels[whole.y[j]], row[np.newaxis])
        rest = Means(examples.snapshot(), background())
        closeness = Closeness(rest, narrow=False)
        mean = rest.mean(whole.y[i : i + 1])
        assert np.isclose(closeness.to_means(whole.rows[i : i + 1], mean)[0], own[i], atol=1e-6)


def test_the_metric_is_the_shrunk_covariance() -> None:
    back = background(leading=DIM)
    metric = Metric(DIM, back)
    directions = back.vectors.astype(np.float64)
    added = 4.0 * (1.0 - back.mean @ back.mean) / DIM
    inverse = (directions.T / (back.values + added)) @ directions
    one, other = np.random.default_rng(0).normal(size=(2, 5, DIM)).astype(np.float32)
    expected = np.einsum("ij,jk,ik->i", one, inverse, other)
    found = metric.inner(metric.project(one), metric.project(other))
    assert np.allclose(found / expected, found[0] / expected[0], rtol=1e-3)
    plain = Metric(DIM, None)
    found = plain.inner(plain.project(one), plain.project(other))
    assert np.allclose(found, np.einsum("ij,ij->i", one, other), rtol=1e-5)


def test_a_kind_is_told_from_all_kinds() -> None:
    assert Means(enrolled((9,) * 10), background()).kind < 0.6
    examples = Examples(DIM)
    for c in range(10):
        rows = shots(1, 0, 9).astype(np.float64) + shots(1, c, 9) * 0.3
        rows *= UNIT / np.linalg.norm(rows, axis=1, keepdims=True)
        examples.add(f"class {c}", np.rint(rows).astype(np.int16))
    assert Means(examples.snapshot(), background()).kind > 0.8
    assert Means(enrolled((9,)), background()).kind == 0


def test_a_kind_has_its_own_metric() -> None:
    back = background()
    examples = enrolled((9,) * 10)
    assert within_kind(back, examples, 0.0) is None
    assert within_kind(back, enrolled((1, 1)), 1.0) is None
    assert within_kind(BACKGROUNDS["mean only"] or back, examples, 1.0) is None
    found = within_kind(back, examples, 1.0)
    assert found is not None
    assert (found.weights > 0).all()
    kin = found.background
    assert np.allclose(kin.vectors @ kin.vectors.T, np.eye(len(kin.values)), atol=1e-4)
    assert (np.diff(kin.values) <= 1e-9).all()
    assert kin.values.sum() <= 1.0 - back.mean @ back.mean
    # A direction in which examples of a class differ is shrunk more than without them.
    spread = np.zeros(DIM)
    spread[3] = 1.0
    rows = shots(1, 0, 20) / UNIT + np.outer(np.linspace(-1, 1, 20), spread)
    rows *= UNIT / np.linalg.norm(rows, axis=1, keepdims=True)
    wide = Examples(DIM)
    wide.add("wide", np.asarray(np.rint(rows), np.int16))
    along = spread.astype(np.float32)[np.newaxis]
    other = within_kind(back, wide.snapshot(), 1.0)
    assert other is not None
    there, here = Metric(DIM, other.background), Metric(DIM, back)
    assert there.squares(there.project(along)) < 0.8 * here.squares(here.project(along))


def test_the_closer_the_more_familiar() -> None:
    evidence = Evidence(Means(enrolled((1, 1, 1, 1)), background()), narrow=True)
    assert (evidence.scale.slope > 0).all()
    odds = evidence.odds(np.linspace(-1, 1, 9), np.zeros(9, np.intp))
    assert (np.diff(odds) > 0).all()


def test_levels() -> None:
    drawn = np.random.default_rng(0).normal(size=(200_000, 8))
    assert greatest(8) == pytest.approx(drawn.max(axis=1).mean(), abs=0.02)
    both = np.maximum(0.3 + 0.5 * drawn[:, 0], 0.1 + 0.2 * drawn[:, 1])
    mean, deviation = greater(np.array([0.3]), np.array([0.5]), 0.1, 0.2)
    assert mean[0] == pytest.approx(both.mean(), abs=0.01)
    assert deviation[0] == pytest.approx(both.std(), abs=0.01)


def test_a_class_that_moved_is_judged_by_its_sum() -> None:
    snapshot = enrolled((4, 6))
    similarity = ClassSimilarity(snapshot, background())
    row = shots(3, 1, 1)
    total, count = snapshot.sums[1], 6
    assert similarity.threshold(count, total) == pytest.approx(similarity.threshold_of("class 1"))
    assert similarity.to_sum(row, count, total) == pytest.approx(
        similarity.to_class(row, "class 1"), abs=1e-5
    )
    scorer = fit("proto", snapshot, background())
    probabilities = np.array([0.2, 0.8], np.float32)
    moved = {"class 1": Moved.to(1, count, total, background())}
    there = ranking(scorer.labels, probabilities, similarity, row)
    again = ranking(scorer.labels, probabilities, similarity, row, moved)
    assert there.familiarity == pytest.approx(again.familiarity, abs=1e-5)


def test_rows_held_out_are_less_familiar_to_their_own_class() -> None:
    snapshot = enrolled((3, 3), [shots(1, 5, 4)])
    similarity = ClassSimilarity(snapshot, background())
    assert similarity.labels == ("class 0", "class 1")
    index, own = np.arange(6), np.repeat([0, 1], 3)
    rows = snapshot.without(NEGATIVE).rows
    assert (similarity.held_out(index, own) < similarity.familiarity(rows, own)).all()
    other = similarity.held_out(index, 1 - own)
    assert np.allclose(other, similarity.familiarity(rows, 1 - own))


def learner_of(snapshot: Snapshot) -> Learner:
    learner = Learner(DIM, background=background())
    examples = Examples(DIM)
    for i, row in enumerate(snapshot.rows):
        examples.add(snapshot.labels[snapshot.y[i]], row[np.newaxis])
    learner.replace(examples)
    return learner


def test_negatives_keep_what_is_like_them_out_and_change_no_order() -> None:
    without, negative = enrolled((5, 5, 5)), enrolled((5, 5, 5), [shots(1, 6, 5)])
    strange, own = shots(3, 6, 30), np.concatenate([shots(3, c, 20) for c in range(3)])
    before, after = learner_of(without), learner_of(negative)
    try:
        was = [before.rank(row[np.newaxis]) for row in strange]
        now = [after.rank(row[np.newaxis]) for row in strange]
        # By hand: what is like a negative has lost, and the answer is none.
        assert sum(decide(r).known for r in now) < 0.2 * len(now)
        assert np.mean([r.familiarity for r in now]) < np.mean([r.familiarity for r in was])
        assert all(c.label != NEGATIVE for r in now for c in decide(r).candidates)
        answers = [decide(after.rank(row[np.newaxis])) for row in own]
        assert np.mean([a.known for a in answers]) > 0.8
        right = [a.candidates[0].label == f"class {i // 20}" for i, a in enumerate(answers)]
        assert np.mean(right) > 0.9
    finally:
        before.close()
        after.close()


def test_negatives_count_before_the_head_is_fitted_again() -> None:
    learner = learner_of(enrolled((5, 5)))
    try:
        strange = shots(3, 6, 1)
        learner.rank(strange)
        rows = shots(1, 6, 5)
        learner.update([(NEGATIVE, rows, [bytes([i]) * 32 for i in range(5)])], [])
        assert not decide(learner.rank(strange)).known
        learner.flush()
        assert not decide(learner.rank(strange)).known
    finally:
        learner.close()


@pytest.mark.parametrize("counts", [(), (1,), (5,)], ids=str)
def test_negatives_with_no_class_or_one(counts: tuple[int, ...]) -> None:
    learner = learner_of(enrolled(counts, [shots(1, 6, 3), shots(1, 7, 1)]))
    try:
        answer = decide(learner.rank(shots(3, 6, 1)))
        assert (answer.label, answer.known) == (None, False)
        assert len(answer.candidates) == len(counts)
        if counts:
            assert decide(learner.rank(shots(1, 0, 1))).label == "class 0"
    finally:
        learner.close()


def test_a_snapshot_without_a_class() -> None:
    whole = enrolled((4, 3), [shots(1, 6, 2)])
    rest = whole.without(NEGATIVE)
    alone = enrolled((4, 3))
    assert rest.labels == alone.labels
    assert np.array_equal(rest.rows, alone.rows)
    assert np.array_equal(rest.sums, alone.sums)
    assert np.array_equal(rest.gram, alone.gram)
    assert rest.without(NEGATIVE) is rest


def test_a_wider_background_is_another_metric() -> None:
    back = background()
    narrow = Metric(DIM, replace(back, values=back.values[:2], vectors=back.vectors[:2]))
    assert len(narrow.gain) == 2
    assert narrow.spread != Metric(DIM, back).spread


def test_leaving_out_within_a_kind_is_measuring_without() -> None:
    """The metric of a kind is made of its examples, and is taken without the one left out."""
    whole = enrolled((5, 4, 3))
    means = Means(whole, background())
    means.kind = 1.0
    kin = means.of_kind(background())
    own = Closeness(kin, narrow=True).own(np.arange(whole.total))
    for i in (0, 6, 10):
        examples = Examples(DIM)
        for j, row in enumerate(whole.rows):
            if j != i:
                examples.add(whole.labels[whole.y[j]], row[np.newaxis])
        rest = Means(examples.snapshot(), background())
        rest.kind, rest.middle = 1.0, means.middle
        closeness = Closeness(rest.of_kind(background()), narrow=True)
        mean = rest.mean(whole.y[i : i + 1])
        # Nearly: with one example fewer the background counts for a little more.
        assert closeness.to_means(whole.rows[i : i + 1], mean)[0] == pytest.approx(own[i], abs=0.08)


def test_without_a_background_there_is_no_kind() -> None:
    assert Means(enrolled((9,) * 10)).kind == 0
    similarity = ClassSimilarity(enrolled((5,) * 8))
    own = [similarity.familiarity(shots(2, c, 20), np.full(20, c)) for c in range(8)]
    assert (np.concatenate(own) >= np.repeat(similarity.thresholds, 20)).mean() > 0.8


def burst(picture: NDArray[np.int16], count: int, seed: int) -> Features:
    """A picture `(d,)`, taken again and again with a little noise."""
    noise = np.random.default_rng(seed).normal(size=(count, DIM))
    rows = picture / UNIT + noise * 0.03 / np.sqrt(DIM)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.rint(rows * UNIT), np.int16)


def bursts(classes: int, pictures: int, count: int) -> Snapshot:
    """Classes of so many pictures, each taken `count` times."""
    examples = Examples(DIM)
    for c in range(classes):
        for p, picture in enumerate(shots(1, c, pictures)):
            examples.add(f"class {c}", burst(picture, count, 10 * c + p))
    return examples.snapshot()


@with_every_background
@pytest.mark.parametrize("pictures", [1, 2, 3])
@pytest.mark.parametrize("classes", [1, 3])
def test_a_burst_of_frames_is_about_one_shot(
    classes: int, pictures: int, back: Background | None
) -> None:
    one, many = (ClassSimilarity(bursts(classes, pictures, n), back) for n in (1, 12))
    own = np.concatenate([shots(2, c, 40) for c in range(classes)])
    columns = np.repeat(np.arange(classes), 40)
    known = [
        (s.familiarity(own, columns) >= np.repeat(s.thresholds, 40)).mean() for s in (one, many)
    ]
    assert known[1] > known[0] - 0.1


def test_examples_that_are_nearly_one_picture() -> None:
    pictures = shots(1, 0, 3)
    examples = Examples(DIM)
    frames = np.concatenate([burst(pictures[0], 4, 1), burst(pictures[1], 2, 2), pictures[2:]])
    examples.add("bursts", frames)
    examples.add("different", shots(1, 1, 7))
    snapshot = examples.snapshot()
    centre = background().mean.astype(np.float32)
    found = near_duplicates(snapshot, centre, 0.0, np.ones(2))
    assert found.columns.tolist() == [0]
    assert found.counts.tolist() == [3.0]
    assert sorted(found.sizes) == [2.0, 4.0]
    assert np.abs(found.sums[0] - pictures.sum(axis=0)).max() < 0.02 * UNIT
    assert found.groups[7:].tolist() == [ALONE] * 7
    assert sorted(found.size(np.arange(7))) == [1.0, 2.0, 2.0, 4.0, 4.0, 4.0, 4.0]
    # Left out are all frames of a picture: what remains is the class without them.
    means = Means(snapshot, background())
    own = Closeness(means, narrow=False).own(np.arange(7), found)
    for i in range(7):
        alike = np.flatnonzero(found.groups[:7] == found.groups[i])
        gone = alike if found.groups[i] >= 0 else np.array([i])
        rest = Examples(DIM)
        rest.add("bursts", np.delete(snapshot.some(np.arange(7)), gone, axis=0))
        there = Closeness(Means(rest.snapshot(), background()), narrow=False)
        row = snapshot.some(np.array([i]))
        assert own[i] == pytest.approx(there.scores(row)[0, 0], abs=2e-3)


def test_one_example_more_is_no_other_class() -> None:
    """More examples of a class than are looked at: what those tell is told of all."""
    shown = []
    for count in (64, 65, 66, 130):
        examples = Examples(DIM)
        for c in range(3):
            pictures = shots(1, c, count // 2)
            frames = np.concatenate([burst(p, 2, i) for i, p in enumerate(pictures)])
            examples.add(f"class {c}", frames)
            examples.add(f"class {c}", shots(2, c, count - len(frames)))
        snapshot = examples.snapshot()
        found = near_duplicates(snapshot, background().mean.astype(np.float32), 0.0, np.ones(3))
        similarity = ClassSimilarity(snapshot, background())
        shown.append((found.shots.mean() / count, similarity.thresholds.mean()))
    shares, thresholds = np.array(shown).T
    assert np.abs(shares[1:3] - shares[0]).max() < 0.05
    assert np.abs(np.diff(thresholds)).max() < 0.05


def test_among_thousands_of_classes_the_most_alike_are_looked_at() -> None:
    examples = Examples(DIM)
    for c in range(1100):
        rows = np.concatenate([burst(p, 2, c) for p in shots(c, 0, 2)]) if c % 11 == 0 else None
        examples.add(f"class {c:04}", shots(c, 0, 4) if rows is None else rows)
    snapshot = examples.snapshot()
    pairs = np.where(np.arange(1100) % 11 == 0, 0.9, 0.1)
    found = near_duplicates(snapshot, background().mean.astype(np.float32), 0.0, pairs)
    assert set(np.arange(0, 1100, 11)) <= set(found.columns)


def test_of_a_long_film_some_frames_tell_all() -> None:
    examples = Examples(DIM)
    pictures = shots(1, 0, 2)
    examples.add("film", np.concatenate([burst(p, 100, i) for i, p in enumerate(pictures)]))
    for c in range(1, 4):
        examples.add(f"class {c}", shots(1, c, 2))
    found = near_duplicates(
        examples.snapshot(), background().mean.astype(np.float32), 0.0, np.ones(4)
    )
    assert found.counts.tolist() == found.shots.tolist() == [2.0]
    assert found.sizes.sum() == pytest.approx(200.0)
    assert found.groups[:6].tolist() == [ALONE] * 6
    film = found.groups[6:]
    assert 32 <= (film >= 0).sum() <= 64
    assert (film[film < 0] == UNSEEN).all()
    assert np.isfinite(ClassSimilarity(examples.snapshot(), background()).thresholds).all()


def test_examples_count_by_how_different_they_are() -> None:
    pairs = np.linspace(0, 1, 50)
    many = different(pairs, np.full(50, 20.0), 0.2)
    assert many[0] == 20
    assert many[-1] == 1
    assert (np.diff(many) <= 0).all()
    assert (different(pairs, np.ones(50), 0.2) == 1).all()
    # Where all pictures are alike, those of one class may be so too.
    assert (different(pairs, np.full(50, 20.0), 0.5) >= many).all()


@with_every_background
@pytest.mark.parametrize("narrow", [False, True])
def test_how_alike_examples_are_follows_from_sums(narrow: bool, back: Background | None) -> None:
    snapshot = enrolled((30, 30, 30))
    closeness = Closeness(Means(snapshot, back), narrow=narrow)
    rows = (closeness.off(snapshot.rows) - closeness._shift).astype(np.float64).reshape(3, 30, DIM)
    inner = np.einsum("aid,bjd->abij", rows, rows)
    others = ~np.eye(30, dtype=bool)
    squares = [np.trace(inner[c, c]) / 30 for c in range(3)]
    own = [inner[c, c][others].mean() / squares[c] for c in range(3)]
    found = closeness.alike(np.full(3, 30.0), snapshot.sums_of(range(3)))
    assert found == pytest.approx(np.maximum(own, 0), abs=1e-3)
    between = inner[~np.eye(3, dtype=bool)].mean() / np.mean(squares)
    assert closeness.between == pytest.approx(max(between, 0), abs=1e-3)
    assert Closeness(Means(enrolled((30,)), back), narrow=narrow).between == 0
