"""How well scores tell known from strange, and how honest probabilities are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgeinc.errors import InputError

__all__ = [
    "BINS",
    "ReliabilityBin",
    "auroc",
    "expected_calibration_error",
    "false_positive_rate",
    "reliability",
]

BINS = 15
"""Bins of a reliability diagram, as in Guo et al. 2017."""


class ReliabilityBin(NamedTuple):
    """Answers of about the same probability.

    Attributes:
        answers: How many.
        confidence: Mean probability of the labels that were answered, 0 to 1.
        accuracy: Share of these that were right.
    """

    answers: int
    confidence: float
    accuracy: float


def auroc(known: ArrayLike, strangers: ArrayLike) -> float:
    """Area under the ROC curve: how often one of the known scores above a stranger.

    Mann and Whitney's U over its largest value: the share of all pairs in which the known one
    has the higher score, a tie counting half. Exact, in time n log n.

    Args:
        known: `(n,)` scores of what should score high, n >= 1; infinite ones are fine.
        strangers: `(m,)` scores of the others, m >= 1.

    Returns:
        0 to 1; 0.5 is chance.

    Raises:
        InputError: Either is empty, not one-dimensional, or has a NaN.

    >>> auroc([0.9, 0.8, 0.4], [0.4, 0.1])
    0.9166666666666666
    """
    high, low = _scores(known), np.sort(_scores(strangers))
    below = np.searchsorted(low, high, side="left")
    at_most = np.searchsorted(low, high, side="right")
    return float(int((below + at_most).sum()) / (2 * len(high) * len(low)))


def false_positive_rate(known: ArrayLike, strangers: ArrayLike, *, recall: float = 0.95) -> float:
    """Share of strangers let in by the highest threshold that lets in enough of the known.

    With the usual `recall` this is called FPR95. A score is let in when it is not below the
    threshold.

    Args:
        known: `(n,)` scores of what should score high, n >= 1.
        strangers: `(m,)` scores of the others, m >= 1.
        recall: The least share of the known that must be let in, above 0 and up to 1.

    Returns:
        0 to 1; lower is better.

    Raises:
        InputError: Either is empty, not one-dimensional, or has a NaN; or `recall` is no share.

    >>> false_positive_rate([0.9, 0.8, 0.7, 0.2], [0.75, 0.3, 0.1], recall=0.75)
    0.3333333333333333
    """
    if not 0 < recall <= 1:
        raise InputError(f"The recall {recall} is no share; give one above 0 and up to 1.")
    high, low = -np.sort(-_scores(known)), _scores(strangers)
    shares = np.arange(1, len(high) + 1) / len(high)
    threshold = high[int(np.argmax(shares >= recall))]
    return float(np.mean(low >= threshold))


def reliability(
    probabilities: ArrayLike, right: ArrayLike, *, bins: int = BINS
) -> tuple[ReliabilityBin, ...]:
    """Sorts answers by their probability, and counts how many are right.

    Bin i of n holds the probabilities above i / n and up to (i + 1) / n, the first one also 0
    (Guo et al. 2017, "On Calibration of Modern Neural Networks").

    Args:
        probabilities: `(n,)` of the labels that were answered, 0 to 1.
        right: `(n,)` whether these were right.
        bins: How many bins of equal width.

    Returns:
        The bins, in order; those that hold nothing have only zeros.

    Raises:
        InputError: Other lengths, no bin, or what is no probability.

    >>> [tuple(row) for row in reliability([0.2, 0.9, 1.0], [False, True, False], bins=2)]
    [(1, 0.2, 0.0), (2, 0.95, 0.5)]
    """
    p, hit = np.asarray(probabilities, np.float64), np.asarray(right, bool)
    if p.ndim != 1 or p.shape != hit.shape or bins < 1:
        raise InputError("Give one probability and one verdict an answer, and at least one bin.")
    if not ((p >= 0) & (p <= 1)).all():
        raise InputError("A probability lies between 0 and 1; these do not all.")
    at = np.searchsorted(np.arange(1, bins) / bins, p, side="left")
    counts = np.bincount(at, minlength=bins)
    some = np.maximum(counts, 1)
    confidence = np.bincount(at, weights=p, minlength=bins) / some
    accuracy = np.bincount(at, weights=hit, minlength=bins) / some
    rows = zip(counts.tolist(), confidence.tolist(), accuracy.tolist(), strict=True)
    return tuple(ReliabilityBin(*row) for row in rows)


def expected_calibration_error(table: tuple[ReliabilityBin, ...]) -> float:
    """Mean distance between probability and accuracy over the bins of `reliability`.

    Each bin counts as much as it holds (Naeini et al. 2015; Guo et al. 2017, equation 3);
    0 where none holds anything.

    >>> expected_calibration_error(reliability([0.5, 0.5, 1.0, 1.0], [True, False, True, False]))
    0.25
    """
    total = sum(row.answers for row in table)
    return sum(row.answers * abs(row.accuracy - row.confidence) for row in table) / max(total, 1)


def _scores(values: ArrayLike) -> NDArray[np.float64]:
    """Scores as an array, checked."""
    scores = np.asarray(values, np.float64)
    if scores.ndim != 1 or not len(scores) or np.isnan(scores).any():
        raise InputError("Scores must be a list of one number or more, none of them NaN.")
    return scores
