"""What varies among pictures of one kind: the background's covariance, and that within classes."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import UNIT, Background, Snapshot
from edgeinc.heads.metric import LEADING

__all__ = ["within_kind"]

LEAST = 0.01
"""Weight below which the classes are of all kinds."""

ROWS = 512
"""Examples that are looked at at most."""

DIRECTIONS = 128
"""Leading directions that are kept at most."""

PRIOR = 20.0
"""Examples that the background counts for."""

WITHIN = 0.7
"""Share of the background's variance that is within classes."""


class Kin(NamedTuple):
    """A background for pictures of one kind.

    Attributes:
        background: The mean and variance in all of the former, other directions.
        weights: `(n,)` what each example's distance to its class's mean, as if it were not part
            of that, counts for in the covariance; 0 for examples that were not looked at.
    """

    background: Background
    weights: NDArray[np.float64]


def within_kind(background: Background, snapshot: Snapshot, kind: float) -> Kin | None:
    """The background as it is for pictures of the classes' kind.

    Its covariance is drawn towards that of examples about their class's mean, by `kind` squared:
    where all classes are flowers, what varies among flowers of one class says less about a flower
    than what varies among pictures of anything. The second is drawn towards `WITHIN` of the first.
    Both are a few directions and an even rest, so that no d x d matrix is needed.

    Args:
        background: The backbone's.
        snapshot: Examples of classes.
        kind: 0 for classes of all kinds, near 1 for classes of one.

    Returns:
        None where kind is near 0, where the background has no directions, or where no class has
        two examples.
    """
    weight = kind**2
    rows = np.flatnonzero(snapshot.counts[snapshot.y] > 1)
    rows = rows[:: max(1, -(-len(rows) // ROWS))]
    if weight < LEAST or not len(rows) or not len(background.values):
        return None
    y = snapshot.y[rows]
    counts = snapshot.counts[y].astype(np.float64)[:, np.newaxis]
    misses = snapshot.some(rows) / UNIT - snapshot.sums_of(y) / (UNIT * counts)
    # A mean that the row is part of lies nearer to it than that of its class.
    misses *= np.sqrt(counts / (counts - 1.0))
    total = 1.0 - float(background.mean @ background.mean)
    variances = background.values[:LEADING]
    others = max(len(background.mean) - len(variances), 1)
    even = max(total - float(variances.sum()), 0.0) / others
    many = PRIOR + len(rows)
    first = 1.0 - weight + weight * PRIOR * WITHIN / many
    above = np.sqrt(first * np.maximum(variances - even, 0.0))[:, np.newaxis]
    parts = np.concatenate([above * background.vectors[:LEADING], np.sqrt(weight / many) * misses])
    values, turns = np.linalg.eigh(parts @ parts.T)
    kept = np.flatnonzero(values > 1e-9)[::-1][:DIRECTIONS]
    values, turns = values[kept], turns[:, kept]
    vectors = (turns.T @ parts) / np.sqrt(values)[:, np.newaxis]
    values = values + first * even
    scale = total / (float(values.sum()) + first * even * (len(background.mean) - len(values)))
    weights = np.zeros(snapshot.total)
    weights[rows] = scale * weight / many
    other = replace(background, values=values * scale, vectors=vectors.astype(np.float32))
    return Kin(other, weights)
