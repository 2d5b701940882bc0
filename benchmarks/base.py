"""The backbone's own classes beside enrolled ones: what keeping them costs, and whom.

No constant was chosen on Flowers-17, nor on these pictures of Tiny-ImageNet with flowers
enrolled: see docs/base-classes.md.
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
from benchmarks.tiny import classes, pictures_of, words
from edgeinc.classifier import OwnClasses, load_classifier
from edgeinc.decision import decide
from edgeinc.engine.beside import Beside
from edgeinc.features import Examples
from edgeinc.learner import Learner
from edgeinc.weights import find_card

__all__ = ["base"]

BACKBONE = "mobilenet_v2_1.0_224_quant"

KEPT = 0.90
"""The least top-1 of the Coral split over all classes, old and new."""

LOSS = 0.005
"""The most top-1 on pictures of old classes that enrolling new ones may take."""

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
