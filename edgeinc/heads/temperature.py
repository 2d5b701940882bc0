"""A softmax temperature from leave-one-out scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import Snapshot

GRID = np.exp2(np.arange(-16, 17) / 4.0)
"""Factors tried on the default: quarter octaves from 1/16 to 16."""

STRENGTH = 20.0
"""Held-out examples that the default counts for."""


def from_loo(loo: NDArray[np.float32], snapshot: Snapshot, default: float) -> float:
    """The temperature at which held-out probabilities fit best, drawn towards `default`.

    Maximises the mean log-likelihood of the true class over the rows that can be held out,
    each class counting the same, plus a log-normal prior on the factor worth `STRENGTH` rows
    at one octave.

    Args:
        loo: `(n, C)` leave-one-out scores of the snapshot's rows.
        snapshot: Where the rows' classes come from.
        default: The temperature to fall back to.
    """
    held = snapshot.counts[snapshot.y] > 1
    if len(snapshot.labels) < 2 or not held.any():
        return default
    scores, y = loo[held].astype(np.float64), snapshot.y[held]
    weights = 1.0 / snapshot.counts[y]
    weights *= len(y) / weights.sum()
    scores -= scores.max(axis=1, keepdims=True)
    true = scores[np.arange(len(y)), y]
    best, least = default, np.inf
    for factor in GRID.tolist():
        t = default * factor
        loss = np.log(np.exp(scores / t).sum(axis=1)) - true / t
        cost = float(weights @ loss) + 0.5 * STRENGTH * float(np.log2(factor)) ** 2
        if cost < least:
            best, least = t, cost
    return best
