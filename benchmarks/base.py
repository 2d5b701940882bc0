"""The backbone's own classes beside enrolled ones: what keeping them costs, and whom.

The constants of the joining were chosen where old and new are of one kind and hardest to tell
apart, on classes of Tiny-ImageNet that are enrolled anew (`relearned`) and none of which is among
the 40 strangers; Flowers-17 was seen beside it: docs/base-classes.md.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import spread
from benchmarks.common import Figure, Pictures, embed, flowers, paired
from benchmarks.tiny import classes, held_out, pictures_of, words
from edgeinc.classifier import OwnClasses, load_classifier
from edgeinc.decision import decide
from edgeinc.engine.beside import Beside
from edgeinc.features import Examples
from edgeinc.learner import Learner
from edgeinc.weights import find_card, load_background

__all__ = ["base", "relearned"]

BACKBONE = "mobilenet_v2_1.0_224_quant"

KEPT = 0.90
"""The least top-1 of the Coral split over all classes, old and new."""

LOSS = 0.005
"""The most top-1 on pictures of old classes that enrolling new ones may take."""

FIRST = {"train": 20, "val": 10}
"""How many pictures a class `relearned` takes."""

Mask = NDArray[np.bool_]


class Shown(NamedTuple):
    """Pictures of classes that the backbone was trained on."""

    embeddings: NDArray[Any]
    features: NDArray[np.int16]
    labels: list[str]


def base(draws: int = 20) -> Iterator[Figure]:
    """The Coral split over all 1018 classes, and what old pictures lose to 17 flowers."""
    pictures, own = flowers(BACKBONE), _own()
    name = f"{len(own.labels)} own classes kept, {BACKBONE}"
    with _enrolled(pictures, ~pictures.first) as learner:
        alone, among = _flowers_right(pictures, pictures.first, learner)
        yield _time(learner, pictures)
    yield Figure(
        f"Coral split, {name}: top-1 without; with",
        f"{alone:.3f}; {among:.3f}",
        f"with them >= {KEPT:.2f}",
        among >= KEPT,
    )
    old = _old_pictures()
    mapped = len(set(old.labels))
    for shots in (5, 60):
        results = [_draw(pictures, old, shots, seed) for seed in range(draws)]
        alone_, among_, before, after = (list(column) for column in zip(*results, strict=True))
        yield Figure(
            f"Flowers-17, {shots} shots, {draws} draws, {name}: top-1 without; with",
            f"{spread(alone_)}; {spread(among_)}",
        )
        losses = [b - a for b, a in zip(before, after, strict=True)]
        yield Figure(
            f"Tiny-ImageNet validation, {mapped} classes that are ImageNet's by name, "
            f"{len(old.labels)} pictures, {name}: top-1 before; after 17 flowers, {shots} shots, "
            f"{draws} draws; loss",
            f"{before[0]:.3f}; {spread(after)}; {statistics.mean(losses):.4f} "
            f"(at most {max(losses):.4f})",
            f"loss of each draw <= {LOSS}",
            max(losses) <= LOSS,
        )


def relearned(draws: int = 4) -> Iterator[Figure]:
    """Some of ImageNet's classes enrolled under their own names: their own rows are out of play."""
    learned, shown = _pictures_of("train"), _pictures_of("val")
    for count in (2, 5, 17):
        for shots in (1, 5, 15):
            results = [_relearn(learned, shown, count, shots, seed) for seed in range(draws)]
            alone, among, before, after = (spread(list(c)) for c in zip(*results, strict=True))
            yield Figure(
                f"Tiny-ImageNet, {count} of ImageNet's classes enrolled anew, {shots} shots, "
                f"{draws} draws, {BACKBONE}: new ones, top-1 without own classes; with; old ones, "
                "before; after",
                f"{alone}; {among}; {before}; {after}",
            )


def _relearn(
    learned: Shown, shown: Shown, count: int, shots: int, seed: int
) -> tuple[float, float, float, float]:
    """Top-1 of new classes without and with the own ones; of old classes before and after."""
    rng = np.random.default_rng(seed)
    new = rng.permutation(sorted(set(learned.labels)))[:count].tolist()
    examples = Examples(learned.features.shape[1])
    for label in new:
        rows = rng.permutation(np.flatnonzero(np.array(learned.labels) == label))[:shots]
        examples.add(label, learned.features[rows])
    counts = np.zeros((2, 3))
    with closing(Learner(examples.dim, background=load_background(find_card(BACKBONE)))) as learner:
        learner.replace(examples)
        beside = Beside(_own(), learner, nonnegative=True)
        hidden = _own().shadowed(new)
        for label, x, f in zip(shown.labels, shown.embeddings, shown.features, strict=True):
            ranking, old = learner.rank(f[np.newaxis]), label not in new
            own = np.where(hidden, -np.inf, _own().logits(x)).argmax()
            first = _own().labels[own] if old else decide(ranking).candidates[0].label
            top = beside.decide(ranking, x).candidates[0]
            counts[int(old)] += 1, first == label, top.label == label and top.base == old
    (alone, among), (before, after) = counts[:, 1:] / counts[:, :1]
    return alone, among, before, after


@cache
def _pictures_of(part: str) -> Shown:
    """The first pictures of the classes that constants are chosen on."""
    names, labels = words(), _own().labels
    left = [c for c in classes() if c not in held_out() and labels.count(names[c]) == 1]
    found = [pair for c in left for pair in pictures_of((c,), part)[: FIRST[part]]]
    embeddings, features = embed(BACKBONE, (path for _, path in found))
    return Shown(embeddings, features, [names[c] for c, _ in found])


@cache
def _own() -> OwnClasses:
    card = find_card(BACKBONE)
    return load_classifier(card, card.files[0].name)


@cache
def _old_pictures() -> Shown:
    """Those of Tiny-ImageNet whose class has one namesake among the own classes."""
    names, labels = words(), _own().labels
    found = [(names[c], path) for c, path in pictures_of(classes()) if labels.count(names[c]) == 1]
    embeddings, features = embed(BACKBONE, (path for _, path in found))
    return Shown(embeddings, features, [label for label, _ in found])


def _enrolled(pictures: Pictures, chosen: Mask) -> closing[Learner]:
    examples = Examples(pictures.features.shape[1])
    for c, name in enumerate(pictures.names):
        examples.add(name, pictures.features[chosen & (pictures.labels == c)])
    learner = Learner(examples.dim, background=pictures.background)
    learner.replace(examples)
    return closing(learner)


def _draw(pictures: Pictures, old: Shown, shots: int, seed: int) -> tuple[float, ...]:
    """Top-1 of flowers without and with the own classes; of old pictures before and after."""
    chosen = pictures.draw(shots, seed)
    with _enrolled(pictures, chosen) as learner:
        alone, among = _flowers_right(pictures, ~chosen, learner)
        beside = Beside(_own(), learner, nonnegative=True)
        before = after = 0
        for label, x, f in zip(old.labels, old.embeddings, old.features, strict=True):
            before += _own().labels[int(_own().logits(x).argmax())] == label
            top = beside.decide(learner.rank(f[np.newaxis]), x).candidates[0]
            after += top.base and top.label == label
    return alone, among, before / len(old.labels), after / len(old.labels)


def _flowers_right(pictures: Pictures, test: Mask, learner: Learner) -> tuple[float, float]:
    """Top-1 of the ranking among the enrolled, and among all."""
    beside = Beside(_own(), learner, nonnegative=True)
    alone = among = 0
    for i in np.flatnonzero(test):
        ranking = learner.rank(pictures.features[i : i + 1])
        truth = pictures.names[pictures.labels[i]]
        alone += decide(ranking).candidates[0].label == truth
        top = beside.decide(ranking, pictures.embeddings[i]).candidates[0]
        among += not top.base and top.label == truth
    return alone / int(test.sum()), among / int(test.sum())


def _time(learner: Learner, pictures: Pictures) -> Figure:
    """What the own classes add to the decision about one picture."""
    beside = Beside(_own(), learner, nonnegative=True)
    ranking = learner.rank(pictures.features[:1])
    ours, rival, _ = paired(
        lambda: beside.decide(ranking, pictures.embeddings[0]), lambda: decide(ranking), rounds=200
    )
    return Figure(
        f"a prediction with {len(_own().labels)} own classes beside 17, what they add",
        f"{1000 * (ours - rival):.2f} ms",
    )
