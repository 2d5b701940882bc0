"""How probable held-out rows make the truth, and the softmax temperature that suits them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["best_factor", "losses"]

GRID = np.exp2(np.arange(-16, 17) / 4.0)
"""Factors tried on the default: quarter octaves from 1/16 to 16."""

STRENGTH = 20.0
"""Held-out rows that the default counts for."""


def losses(
    scores: NDArray[np.float32], y: NDArray[np.intp], temperature: float
) -> NDArray[np.float64]:
    """`-log softmax(scores / temperature)` at the true column, `(m,)` nats, never NaN."""
    logits = scores.astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    logits /= temperature
    own = logits[np.arange(len(y)), y]
    return np.asarray(np.log(np.exp(logits).sum(axis=1)) - own)


def best_factor(
    scores: NDArray[np.float32],
    y: NDArray[np.intp],
    weights: NDArray[np.float64],
    default: float,
) -> float:
    """The factor on the default temperature at which held-out probabilities fit best.

    Maximises the log-likelihood of the true class plus a log-normal prior on the factor: one
    octave from the default costs half a nat for each of `STRENGTH` rows.

    Args:
        scores: `(m, C)` held-out scores of rows that are not the only one of their class, m >= 1.
        y: `(m,)` true columns.
        weights: `(m,)` what each row counts for.
        default: A good temperature for scores held out of as many examples.
    """
    # As many rows as weights that differ are worth.
    worth = weights.sum() ** 2 / np.square(weights).sum()
    shares = weights / weights.sum()
    logits = scores.astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    own = logits[np.arange(len(y)), y]
    costs: dict[int, float] = {}

    def cost(i: int) -> float:
        if i not in costs:
            factor = float(GRID[i])
            spread = np.exp(logits / (default * factor)).sum(axis=1)
            loss = np.log(spread) - own / (default * factor)
            costs[i] = worth * float(shares @ loss) + 0.5 * STRENGTH * float(np.log2(factor)) ** 2
        return costs[i]

    # Falling and then rising, so that every fourth one tells where to look.
    best = min(range(0, len(GRID), 4), key=cost)
    for step in (2, 1):
        near = [i for i in (best, best - step, best + step) if 0 <= i < len(GRID)]
        best = min(near, key=cost)
    return float(GRID[best])
