"""Draws of Flowers-17 put to the SDK's own learner and decision, one picture at a time."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Pictures, embed, flowers, unpacked
from benchmarks.tiny import as_tiny, held_out, pictures_of
from edgeinc.decision import decide
from edgeinc.features import Examples
from edgeinc.images import labelled_images
from edgeinc.learner import Learner
from edgeinc.types import NEGATIVE

__all__ = ["Verdicts", "small_flowers", "tiny_strangers", "verdicts"]

Features = NDArray[np.int16]
Mask = NDArray[np.bool_]


class Verdicts(NamedTuple):
    """What was said of n pictures.

    Attributes:
        labels: (n,) the most probable label of each.
        probability: (n,) its probability.
        familiarity: (n,) how surely each is of a class that is known at all.
        known: (n,) whether it was taken for known.
    """

    labels: NDArray[np.str_]
    probability: NDArray[np.float64]
    familiarity: NDArray[np.float64]
    known: Mask


def verdicts(
    pictures: Pictures,
    enrolled: Mask,
    shown: Iterable[Features],
    *,
    negatives: Mask | None = None,
) -> list[Verdicts]:
    """Enrols some pictures and asks about others, with the head `auto`.

    Args:
        pictures: Flowers-17.
        enrolled: (1360,) which of them are examples.
        shown: Features of what is asked about, in groups.
        negatives: (1360,) which of them are explicit negatives.
    """
    examples = Examples(pictures.features.shape[1])
    if negatives is not None:
        examples.add(NEGATIVE, pictures.features[negatives])
    for c, name in enumerate(pictures.names):
        if (rows := enrolled & (pictures.labels == c)).any():
            examples.add(name, pictures.features[rows])
    with closing(Learner(examples.dim, background=pictures.background)) as learner:
        learner.replace(examples)
        return [_asked(learner, group) for group in shown]


def _asked(learner: Learner, group: Features) -> Verdicts:
    """Asks about each picture as an engine does."""
    labels, rows = [], []
    for i in range(len(group)):
        ranking = learner.rank(group[i : i + 1])
        decision = decide(ranking)
        labels.append(decision.candidates[0].label)
        rows.append((decision.score, ranking.familiarity, float(decision.known)))
    probability, familiarity, known = np.array(rows).T
    return Verdicts(np.array(labels), probability, familiarity, known > 0)


@cache
def small_flowers(backbone: str) -> Pictures:
    """Flowers-17 as if they were of Tiny-ImageNet: 64 pixels, and then the normal way."""
    found = labelled_images(unpacked("flowers17.tar")).pictures
    embeddings, features = embed(backbone, (as_tiny(path) for _, path in found))
    return replace(flowers(backbone), embeddings=embeddings, features=features)


@cache
def tiny_strangers(backbone: str) -> Features:
    """(800, d) features of the pictures of classes that are held out."""
    return embed(backbone, (path for _, path in pictures_of(held_out())))[1]
