"""Ranking while classes have come or gone since the head was fitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeinc.decision import Ranking, most_probable, softmax
from edgeinc.features import Background
from edgeinc.heads import ClassSimilarity, Scorer, direction_of
from edgeinc.types import NEGATIVE

__all__ = ["Moved", "against_negatives", "in_between", "ranking"]

Features = NDArray[np.int16]


class Moved(NamedTuple):
    """A class that is not as it was when the head was fitted.

    Attributes:
        version: When it changed.
        examples: How many it has now.
        total: (d,) int64, their exact sum.
        direction: (d,) float32 unit vector from the background's mean to their mean; None for
            a class without examples.
    """

    version: int
    examples: int
    total: NDArray[np.int64]
    direction: NDArray[np.float32] | None

    @classmethod
    def to(
        cls, version: int, count: int, total: NDArray[np.int64], background: Background | None
    ) -> Moved:
        """A class as it is now."""
        direction = direction_of(count, total, background) if count else None
        return cls(version, count, total, direction)


def ranking(
    labels: tuple[str, ...],
    probabilities: NDArray[np.float32],
    similarity: ClassSimilarity,
    features: Features,
    moved: Mapping[str, Moved] | None = None,
) -> Ranking:
    """Adds to the probabilities how familiar the picture is to the most probable class.

    `similarity` or `moved` holds each of the labels, and maybe others.
    """
    best = most_probable(labels, probabilities)
    if best is None:
        return Ranking(labels, probabilities, 0.0, 0.0)
    now = (moved or {}).get(best)
    if now is not None and now.direction is not None:
        familiarity = similarity.to_sum(features, now.examples, now.total)
        threshold = similarity.threshold(now.examples, now.total)
    else:
        familiarity = similarity.to_class(features, best)
        threshold = similarity.threshold_of(best)
    familiarity = against_negatives(labels, probabilities, familiarity)
    return Ranking(labels, probabilities, familiarity, threshold)


def against_negatives(
    labels: tuple[str, ...], probabilities: NDArray[np.float32], familiarity: float
) -> float:
    """Familiarity to the most probable class, less where the picture is like a negative.

    That is a third alternative beside those two that familiarity is against.

    Args:
        labels: C labels, of which one at least is a class's.
        probabilities: `(C,)`.
        familiarity: To the most probable class, with the negatives left aside.
    """
    if labels[0] != NEGATIVE:
        return familiarity
    own = float(probabilities[1:].max())
    return familiarity / (1.0 + familiarity * float(probabilities[0]) / max(own, 1e-30))


def in_between(
    scorer: Scorer,
    similarity: ClassSimilarity,
    moved: Mapping[str, Moved],
    features: Features,
) -> Ranking:
    """Ranks by a fitted head and by the means of the classes that moved since.

    A class that the head has not seen wins where its mean is the nearest of all; otherwise
    the head decides among its classes that are still there. The means of the others are those
    that the head was fitted with, so that nothing is worked out anew but what moved.

    Args:
        scorer: The head.
        similarity: Of the same examples.
        moved: The classes that came, changed or went since.
        features: (1, d) int16.
    """
    proto = similarity.proto
    known = scorer.labels
    cosines = proto.scores(features)[0]
    fresh: list[tuple[str, float]] = []
    for label, now in moved.items():
        cosine = -np.inf if now.direction is None else proto.along(features, now.direction)
        if label in proto.column:
            cosines[proto.column[label]] = cosine
        elif now.direction is not None:
            fresh.append((label, cosine))
    still = np.flatnonzero(cosines > -np.inf)
    nearest = float(cosines.max(initial=-np.inf))
    if len(still) and all(cosine <= nearest for _, cosine in fresh):
        # Of the scores, not of the probabilities: those of the classes that are left may all be 0.
        probabilities = softmax(scorer.scores(features)[0][still], scorer.temperature)
        labels = known if len(still) == len(known) else tuple(known[i] for i in still)
        return ranking(labels, probabilities, similarity, features, moved)
    pairs = sorted([*((known[i], cosines[i]) for i in still), *fresh])
    if not pairs:
        return ranking((), np.zeros(0, np.float32), similarity, features)
    probabilities = softmax(np.array([c for _, c in pairs], np.float32), proto.usual)
    return ranking(tuple(label for label, _ in pairs), probabilities, similarity, features, moved)
