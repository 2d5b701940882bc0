"""What closeness own pictures and strangers are expected to reach."""

from __future__ import annotations

from math import erf, sqrt

import numpy as np
from numpy.typing import NDArray

__all__ = ["Numbers", "different", "expected", "greater", "greatest", "sigmoid", "spread_of"]

Numbers = NDArray[np.float64]

DIFFERENT = 0.7
"""Mean cosine of two pictures of one class up to which they count as two, as a share of the way
to 1 from that of pictures of two classes."""

ALIKE = 8
"""Power by which they count for less the more they are alike."""


def expected(pair: Numbers, count: Numbers) -> Numbers:
    """Cosine of a picture to the mean of `count` others, if it is `pair` to each on average."""
    pair = np.maximum(pair, 1e-6)
    return np.asarray(pair / np.sqrt(spread_of(pair, count)))


def spread_of(pair: Numbers, count: Numbers) -> Numbers:
    """Squared length of the mean of `count` unit vectors whose cosines are `pair` on average."""
    return np.asarray(pair + (1.0 - pair) / np.maximum(count, 1.0))


def greatest(many: int) -> float:
    """Mean of the greatest of so many normal numbers, in deviations (Blom 1958).

    >>> greatest(1), round(greatest(100), 1)
    (0.0, 2.5)
    """
    if many < 2:
        return 0.0
    # The inverse by halving: `statistics` has one, and takes ten milliseconds to load.
    share, low, high = (many - 0.375) / (many + 0.25), 0.0, 10.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        below = 0.5 * (1.0 + erf(middle / sqrt(2.0))) < share
        low, high = (middle, high) if below else (low, middle)
    return low


def greater(
    mean: Numbers, deviation: Numbers, other: float, spread: float
) -> tuple[Numbers, Numbers]:
    """Mean and deviation of the greater of two normal numbers (Clark 1961), `(C,)` each.

    >>> at, off = greater(np.array([5.0]), np.array([1.0]), 0.0, 1.0)
    >>> np.round([at[0], off[0]], 2).tolist()
    [5.0, 1.0]
    """
    gap = np.sqrt(deviation**2 + spread**2)
    apart = (mean - other) / gap
    first = np.array([0.5 * (1.0 + erf(a / sqrt(2.0))) for a in apart])
    density = gap * np.exp(-0.5 * apart**2) / sqrt(2.0 * np.pi)
    moment = mean * first + other * (1.0 - first) + density
    second = (mean**2 + deviation**2) * first + (other**2 + spread**2) * (1.0 - first)
    second += (mean + other) * density
    return moment, np.sqrt(np.maximum(second - moment**2, 1e-12))


def sigmoid(odds: Numbers) -> Numbers:
    """`1 / (1 + exp(-odds))`, without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * odds)))


def different(pairs: Numbers, counts: Numbers, between: float) -> Numbers:
    """How many different examples `(C,)` classes of so many have, from 1 to `counts`.

    Frames that a camera takes one after another are nearly one picture, and say nothing of how
    much the pictures of their class differ. A class whose examples are much alike is taken for
    such: the more alike they are, the less each but the first counts.

    Args:
        pairs: `(C,)` mean cosine of two examples of each class, 0 to 1.
        counts: `(C,)` examples, 1 or more.
        between: Mean cosine of pictures of two classes, below 1.

    >>> different(np.array([0.5, 0.9, 1.0]), np.full(3, 11.0), 0.0).round(1).tolist()
    [11.0, 1.0, 1.0]
    """
    apart = (1.0 - pairs) / ((1.0 - DIFFERENT) * (1.0 - between))
    share = np.minimum(apart, 1.0) ** ALIKE
    return np.asarray(1.0 + (counts - 1.0) * share)
