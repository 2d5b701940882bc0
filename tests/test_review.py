"""The second look: what it finds, what it leaves alone, and what it says of next to nothing."""

from __future__ import annotations

import re
from dataclasses import asdict
from math import isfinite
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinc.errors import InputError
from edgeinc.features import Background, Examples, Snapshot, to_features
from edgeinc.heads import Knn, Ridge, fit
from edgeinc.review import Review, found_again, layout, review_all, review_new, sentences
from edgeinc.review.finds import Confusion
from edgeinc.review.sample import quota, sample
from edgeinc.review.words import advice

DIM = 96


def id_of(label: str, i: int) -> str:
    """The id that `stored` gives to the i-th example of a class."""
    return (label.encode().ljust(12, b".") + i.to_bytes(4, "big")).hex()


def stored(classes: dict[str, NDArray[np.int16]]) -> Snapshot:
    """A snapshot of features by class, each with an id."""
    examples = Examples(classes[next(iter(classes))].shape[1] if classes else DIM)
    for label, rows in classes.items():
        ids = [bytes.fromhex(id_of(label, i)) for i in range(len(rows))]
        # Other digests than those of the rows, so that the order is not that of the ids.
        marks = [row.tobytes()[:16] + id for row, id in zip(rows, ids, strict=True)]
        examples.add(label, rows, marks)
    return examples.snapshot()


def blob(kind: int, n: int, seed: int = 0, noise: float = 60.0) -> NDArray[np.int16]:
    """Features of n pictures of a kind of thing."""
    middle = np.random.default_rng(kind).integers(0, 250, DIM)
    rows = middle + np.random.default_rng((kind, seed)).normal(0, noise, (n, DIM))
    return to_features(np.clip(rows, 0, 255).astype(np.uint8), nonnegative=True)


def both(snapshot: Snapshot, ids: list[str]) -> list[Review]:
    """A look at some examples, and one at all."""
    head = fit("ridge", snapshot)
    return [
        review_new(snapshot, ids, None, lambda id: f"{id}.jpg"),
        review_all(snapshot, head, None, lambda id: f"{id}.jpg"),
    ]


def usual(label: str = "a") -> dict[str, NDArray[np.int16]]:
    return {"a": blob(0, 12), "b": blob(1, 12), "c": blob(2, 12)}


def test_a_wrong_label_is_found_and_named() -> None:
    classes = usual()
    classes["a"] = np.concatenate([classes["a"], blob(2, 1, seed=7)])
    wrong = id_of("a", 12)
    for review in both(stored(classes), [wrong]):
        (suspect,) = review.suspects
        assert (suspect.id, suspect.label, suspect.rival) == (wrong, "a", "c")
        assert suspect.odds >= 20
        assert suspect.source == f"{wrong}.jpg"
        assert review.found["suspects"] == 1
        assert any(wrong in line and "'c'" in line for line in sentences(review))


def test_right_labels_are_left_alone() -> None:
    snapshot = stored(usual())
    for review in both(snapshot, [id_of("a", i) for i in range(12)]):
        assert review.suspects == review.twins == review.pairs == ()
        assert review.accuracy == 1.0
        assert review.enough.startswith("Yes, enough")


def test_very_few_are_not_enough_though_all_are_found_again() -> None:
    review = both(stored({label: blob(k, 3) for k, label in enumerate("abc")}), [])[1]
    assert review.accuracy == 1.0
    assert review.enough.startswith("So far, yes")


def test_copies_are_not_enough_though_all_are_found_again() -> None:
    classes = {label: np.repeat(blob(k, 1), 6, axis=0) for k, label in enumerate("abc")}
    for review in both(stored(classes), [id_of(label, i) for label in "abc" for i in range(6)]):
        assert review.accuracy == 1.0
        assert review.enough.startswith("It is too early to tell: 83% are copies")
    # One copy more says nothing of the others.
    many = usual()
    many["a"] = np.concatenate([many["a"], many["a"][:1]])
    for review in both(stored(many), [id_of("a", 12)]):
        assert review.enough.startswith("Yes, enough")


def test_of_more_copies_than_are_judged_those_that_are_judged_count() -> None:
    classes = {label: np.repeat(blob(k, 4), 100, axis=0) for k, label in enumerate("abc")}
    review = review_new(
        stored(classes), [id_of(label, i) for label in "abc" for i in range(400)], None, str
    )
    assert review.judged < review.found["twins"] < review.examples == 1200
    share = re.search(r"too early to tell: (\d+)% are copies", review.enough)
    assert share is not None
    # All but one of each of the twelve are copies, and what is judged is half of all.
    assert 98 <= int(share[1]) <= 100


def test_only_the_new_ones_are_reported() -> None:
    classes = usual()
    classes["a"] = np.concatenate([classes["a"], blob(2, 1, seed=7), classes["a"][:1]])
    snapshot = stored(classes)
    right = review_new(snapshot, [id_of("b", 0)], None, lambda id: None)
    assert right.suspects == right.twins == right.outliers == ()
    assert [look.label for look in right.classes] == ["b"]


def test_accuracy_before_and_after_is_that_of_the_head() -> None:
    classes = {label: blob(k, 9, noise=140.0) for k, label in enumerate("abcd")}
    snapshot = stored(classes)
    new = [id_of("b", 3), id_of("d", 8)]
    review = review_new(snapshot, new, None, lambda id: None)
    former = stored({**classes, "b": np.delete(classes["b"], 3, axis=0), "d": classes["d"][:8]})
    after, before = (float(np.mean(Ridge(s).loo.argmax(axis=1) == s.y)) for s in (snapshot, former))
    assert review.accuracy == pytest.approx(after)
    assert review.before == pytest.approx(before)
    assert after < 1
    assert f"{before:.3f} before" in found_again(review)


def test_a_look_at_new_ones_is_by_the_head_that_is_called_ridge() -> None:
    classes = {label: blob(k, 3, noise=140.0) for k, label in enumerate("abcde")}
    snapshot = stored(classes)
    mean = to_features(np.full((1, DIM), 60, np.uint8), nonnegative=True)[0] / 32767
    for background in (None, Background(mean=mean, count=1000)):
        new = review_new(snapshot, [id_of("a", 0)], background, lambda id: None)
        head = fit("ridge", snapshot, background)
        every = review_all(snapshot, head, background, lambda id: None)
        assert new.confusion == every.confusion
        assert new.gain == every.gain
        assert 0 < (new.accuracy or 0) < 1


def test_copies_add_nothing() -> None:
    classes = usual()
    close = classes["b"][4].astype(np.int32)
    close[:3] += 40
    classes["b"] = np.concatenate([classes["b"], close[np.newaxis].astype(np.int16)])
    for review in both(stored(classes), [id_of("b", 12)]):
        (twin,) = review.twins
        assert {twin.id, twin.other} == {id_of("b", 4), id_of("b", 12)}
        assert twin.similarity > 0.99
    # Of the pair it is the new one that adds nothing.
    assert both(stored(classes), [id_of("b", 12)])[0].twins[0].id == id_of("b", 12)


def test_the_same_thing_by_two_names_is_a_conflict() -> None:
    classes = {"bolt": blob(0, 10), "screw": blob(0, 10, seed=1), "nut": blob(1, 10)}
    for review in both(stored(classes), [id_of("bolt", 0)]):
        (pair,) = review.pairs
        assert (pair.first, pair.second) == ("bolt", "screw")
        assert pair.likeness > 0.6
        assert "same sides" in pair.advice
    assert "by two names, forget 'bolt'" in advice(stored(classes), Confusion(0, 2, 0.95))
    assert "by two names" not in advice(stored(classes), Confusion(0, 2, 0.5))
    level = stored({label: blob(k, 4) for k, label in enumerate("ab")})
    assert advice(level, Confusion(0, 1, 0.95)) == "show more of both, which have only 4 each"
    few = both(stored({**classes, "screw": blob(0, 3, seed=1)}), [id_of("bolt", 0)])
    for review in few:
        assert "show more of 'screw', which has only 3" in review.pairs[0].advice


def test_an_outlier_of_the_only_class() -> None:
    rows = np.concatenate([blob(0, 15), blob(1, 1)])
    review = review_all(
        stored({"a": rows}), fit("auto", stored({"a": rows})), None, lambda id: None
    )
    assert [found.id for found in review.outliers] == [id_of("a", 15)]
    centre = to_features(np.full((1, DIM), 60, np.uint8), nonnegative=True)[0] / 32767
    ground = Background(mean=centre, count=1000)
    review = review_all(
        stored({"a": rows}), fit("auto", stored({"a": rows})), ground, lambda id: None
    )
    assert [found.id for found in review.outliers] == [id_of("a", 15)]
    assert review.outliers[0].similarity < 0.2 * review.outliers[0].usual


def test_more_examples_would_help_where_they_do() -> None:
    hard = {label: blob(k, 6, noise=220.0) for k, label in enumerate("abcde")}
    review = both(stored(hard), [])[1]
    assert review.gain is not None
    assert review.gain > 0.01
    assert review.enough.startswith("No, more would help")
    assert both(stored(usual()), [])[1].gain == 0


# What can go wrong is not always little: nothing, next to nothing, all the same.
NEXT_TO_NOTHING: dict[str, dict[str, NDArray[np.int16]]] = {
    "nothing": {},
    "one shot": {"a": blob(0, 1)},
    "one class": {"a": blob(0, 5)},
    "a shot each": {"a": blob(0, 1), "b": blob(1, 1)},
    "one and two": {"a": blob(0, 1), "b": blob(1, 2)},
    "all the same": {label: np.repeat(blob(0, 1), 6, axis=0) for label in "abc"},
    "all the same, one class": {"a": np.repeat(blob(0, 1), 9, axis=0)},
    "all zero": {label: np.zeros((6, DIM), np.int16) for label in "ab"},
    "negatives only": {"": blob(0, 4)},
    "one class and negatives": {"": blob(0, 4), "a": blob(1, 4)},
}


def finite(value: Any) -> bool:
    """Whether no number in nested lists and mappings is NaN or infinite."""
    if isinstance(value, dict):
        return all(finite(part) for part in value.values())
    if isinstance(value, (list, tuple)):
        return all(finite(part) for part in value)
    return not isinstance(value, float) or isfinite(value)


@pytest.mark.parametrize("name", NEXT_TO_NOTHING)
@pytest.mark.parametrize("head", ["auto", "proto", "knn"])
def test_next_to_nothing(name: str, head: str) -> None:
    classes = NEXT_TO_NOTHING[name]
    snapshot = stored(classes)
    ids = [id_of(label, 0) for label in classes]
    with np.errstate(all="raise"):
        reviews = [
            review_new(snapshot, ids, None, lambda id: None),
            review_all(snapshot, fit(head, snapshot), None, lambda id: None),
        ]
        places = layout(snapshot)
    for review in reviews:
        assert finite(asdict(review))
        assert review.examples == sum(len(rows) for label, rows in classes.items() if label)
        assert "" not in [look.label for look in review.classes]
        assert review.enough
        assert found_again(review)
        assert all(line for line in sentences(review))
    assert np.isfinite(places.points).all()
    assert "" not in places.labels


def test_what_is_said_of_next_to_nothing() -> None:
    said = {}
    for name, classes in NEXT_TO_NOTHING.items():
        snapshot = stored(classes)
        said[name] = review_all(snapshot, fit("auto", snapshot), None, lambda id: None)
    assert said["nothing"].enough.startswith("Nothing is enrolled yet")
    assert said["negatives only"].enough.startswith("Nothing is enrolled yet")
    for name in ("one shot", "one class"):
        assert said[name].enough.startswith("There is one class only")
        assert said[name].accuracy is None
    assert said["a shot each"].enough.startswith("It is too early to tell")
    assert said["all the same"].suspects == ()
    assert len(said["all the same"].pairs) == 3
    assert said["all the same"].found["twins"] == 15


def test_a_class_whose_every_example_is_suspected() -> None:
    mixed = np.concatenate([blob(0, 1, seed=5), blob(1, 1, seed=5), blob(2, 1, seed=5)])
    classes = {**usual(), "mixed": mixed}
    ids = [id_of("mixed", i) for i in range(3)]
    for review in both(stored(classes), ids):
        assert {s.id for s in review.suspects} == set(ids)
        assert any("every example of 'mixed'" in line for line in review.warnings)
        assert any("every example of 'mixed'" in line for line in sentences(review))


def test_negatives_are_no_class_but_may_win() -> None:
    classes = {"": blob(3, 10), **usual()}
    classes["a"] = np.concatenate([classes["a"], blob(3, 1, seed=9)])
    snapshot = stored(classes)
    review = review_all(snapshot, fit("ridge", snapshot), None, lambda id: None)
    assert [(s.id, s.rival) for s in review.suspects] == [(id_of("a", 12), "")]
    assert any("none of yours" in line for line in sentences(review))
    assert review.judged == review.examples == 37
    assert "" not in review.confusion


def test_a_head_that_does_not_know_the_negatives() -> None:
    classes = usual()
    classes["a"] = np.concatenate([classes["a"], blob(2, 1, seed=7)])
    alone = fit("ridge", stored(classes))
    snapshot = stored({"": blob(3, 10), **classes})
    review = review_all(snapshot, alone, None, lambda id: None)
    plain = review_all(stored(classes), fit("ridge", stored(classes)), None, lambda id: None)
    assert asdict(review) == asdict(plain)


def test_the_order_of_enrolment_does_not_matter() -> None:
    classes = {label: blob(k, 9, noise=140.0) for k, label in enumerate("abcd")}
    turned = {label: classes[label] for label in reversed(classes)}
    ids = [id_of("b", 1)]
    for one, other in zip(both(stored(classes), ids), both(stored(turned), ids), strict=True):
        assert asdict(one) == asdict(other)
    first, second = layout(stored(classes)), layout(stored(turned))
    assert np.array_equal(first.points, second.points)


def test_of_a_large_store_some_are_looked_at_and_the_new_ones_always() -> None:
    rng = np.random.default_rng(0)
    classes = {
        f"{k:03d}": to_features(rng.integers(0, 255, (8, 16), np.uint8), nonnegative=True)
        for k in range(300)
    }
    snapshot = stored(classes)
    new = [id_of("007", 7), id_of("123", 0)]
    review = review_new(snapshot, new, None, lambda id: None)
    assert review.examples == 2400
    assert review.judged <= 600
    assert {look.label for look in review.classes} == {"007", "123"}
    assert all(look.examples == 8 for look in review.classes)
    assert len(review_all(snapshot, Knn(snapshot), None, lambda id: None).twins) <= 100
    assert len(layout(snapshot).points) <= 2000


def test_a_sample_is_even_and_holds_the_first() -> None:
    snapshot = stored({"a": blob(0, 50), "b": blob(1, 3), "c": blob(2, 20)})
    assert quota(snapshot.counts, 25) == 11
    first = np.array([1, 17, 44])
    rows = sample(snapshot, 25, np.arange(3), first)
    assert np.bincount(snapshot.y[rows]).tolist() == [11, 3, 11]
    assert set(first) <= set(rows.tolist())
    assert np.all(np.diff(rows) > 0)


def test_what_is_no_id_is_refused_and_what_is_gone_is_passed_over() -> None:
    snapshot = stored(usual())
    with pytest.raises(InputError, match="32 hexadecimal"):
        review_new(snapshot, ["x"], None, lambda id: None)
    assert review_new(snapshot, ["00" * 16], None, lambda id: None).before is None


def test_a_map_of_one_class_two_and_three() -> None:
    for n in (1, 2, 3):
        places = layout(stored(dict(list(usual().items())[:n])))
        assert places.means.shape == (n, 2)
        # Both axes are used: what the means leave is filled with what examples differ in.
        assert (places.points.std(axis=0) > 0.01).all()
