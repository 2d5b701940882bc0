"""A softmax temperature from leave-one-out scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GRID = np.exp2(np.arange(-16, 17) / 4.0)
"""Factors tried on the default: quarter octaves from 1/16 to 16."""

STRENGTH = 20.0
"""Held-out examples that the default counts for."""


def from_held_out(
    scores: NDArray[np.float32],
    y: NDArray[np.intp],
    counts: NDArray[np.int64],
    default: float,
) -> float:
    """The temperature at which held-out probabilities fit best, drawn towards `default`.

    Maximises the log-likelihood of the true class over the rows that can be held out, each class
    counting the same, plus a log-normal prior on the factor: one octave from the default costs
    half a nat for each of `STRENGTH` rows.

    Args:
        scores: `(m, C)` held-out scores.
        y: `(m,)` true columns.
        counts: `(m,)` examples of the row's class; a row that is the only one is left out.
        default: The temperature to fall back to.
    """
    held = counts > 1
    if scores.shape[1] < 2 or not held.any():
        return default
    true, weights = y[held], 1.0 / counts[held]
    weights *= len(true) / weights.sum()
    logits = scores[held].astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    own = logits[np.arange(len(true)), true]
    costs = []
    for factor in GRID.tolist():
        t = default * factor
        loss = np.log(np.exp(logits / t).sum(axis=1)) - own / t
        costs.append(float(weights @ loss) + 0.5 * STRENGTH * float(np.log2(factor)) ** 2)
    return default * float(GRID[int(np.argmin(costs))])
