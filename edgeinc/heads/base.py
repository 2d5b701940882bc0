"""What every head answers to, and the few steps that they share."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import UNIT, Snapshot


class Scorer(Protocol):
    """A fitted head: immutable, a function of a snapshot's content (and a background) only."""

    @property
    def name(self) -> str:
        """`proto`, `ridge`, `lda` or `knn`."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """C labels in canonical order, the columns of the scores."""
        ...

    @property
    def temperature(self) -> float:
        """Divisor that makes `softmax(scores / temperature)` a probability."""
        ...

    @property
    def loo(self) -> NDArray[np.float32]:
        """Scores `(n, C)` that each of the snapshot's rows would get from a head without it.

        In closed form, computed when first asked for. Where a row is the only one of its class,
        that class's column is -inf: without the row there is no such class.
        """
        ...

    def scores(self, features: NDArray[np.int16]) -> NDArray[np.float32]:
        """Scores `(n, C)` float32 of `(n, d)` int16 features; higher is better, never NaN."""
        ...


def means(snapshot: Snapshot) -> NDArray[np.float64]:
    """Class means `(C, d)` float64 on the scale where a feature has length 1."""
    return snapshot.sums / (UNIT * snapshot.counts[:, np.newaxis])


def product(weights: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """`rows @ weights.T`, `(n, C)`; a single row goes the cheaper way of matrix and vector."""
    if len(rows) == 1:
        return np.asarray(weights @ rows[0])[np.newaxis]
    return np.asarray(rows @ weights.T)
