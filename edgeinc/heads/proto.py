"""Nearest class mean by cosine."""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import UNIT, Background, Snapshot
from edgeinc.heads.base import Base, means, product, spread

__all__ = ["Proto", "direction_of"]

TINY = 1e-6
"""Length, relative to a feature's, below which a centred vector is rounding and no direction."""


class Proto(Base):
    """Cosine to the mean of each class's features.

    With a background, its mean is taken off class means and queries before the angle is
    measured: what all pictures have in common says nothing about any class. The centre is fixed,
    so that class means stay a function of the exact integer sums. See `Scorer` for the rest.

    Attributes:
        centre: `(d,)` float64, what is taken off; zeros without a background.
        directions: `(C, d)` float32, from the centre to the class means, at unit length.
        lengths: `(C,)` float32, how far from the centre they are.
        column: Label to column.
    """

    name = "proto"
    default = 0.11
    decay = 0.35

    def __init__(self, snapshot: Snapshot, background: Background | None = None) -> None:
        """Fit to a snapshot; `background.mean` has the snapshot's d."""
        super().__init__(snapshot)
        self.centre = np.zeros(snapshot.dim) if background is None else background.mean
        self._offset = None if background is None else (UNIT * background.mean).astype(np.float32)
        self.directions = np.empty((len(snapshot.labels), snapshot.dim), np.float32)
        self.lengths = np.empty(len(snapshot.labels), np.float32)
        for part, some in means(snapshot):
            some -= self.centre
            self.directions[part] = directions(some)
            self.lengths[part] = np.sqrt(np.einsum("ij,ij->i", some, some))
        self.column = {label: i for i, label in enumerate(snapshot.labels)}

    @property
    def scale(self) -> float:
        """See `Base`: cosines differ by as much as examples do."""
        return spread(self.snapshot, self.centre)

    def scores(self, features: NDArray[np.int16]) -> NDArray[np.float32]:
        """Cosines `(n, C)` float32 of `(n, d)` int16 features to the class means."""
        rows = features.astype(np.float32)
        if self._offset is not None:
            rows -= self._offset
        # A feature is either zero or of length UNIT, so no division by a small number.
        if len(rows) == 1:
            rows /= max(sqrt(rows[0] @ rows[0]), UNIT * TINY)
        else:
            length = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, np.newaxis]
            rows /= np.maximum(length, UNIT * TINY, dtype=np.float32)
        return product(self.directions, rows)

    def along(self, features: NDArray[np.int16], direction: NDArray[np.float32]) -> float:
        """Cosine of one `(1, d)` int16 feature to a `(d,)` unit vector off the centre."""
        row = features[0].astype(np.float32)
        if self._offset is not None:
            row -= self._offset
        length = max(float(np.sqrt(row @ row)), UNIT * TINY)
        return float(direction @ row) / length

    def own(self, index: NDArray[np.intp]) -> NDArray[np.float64]:
        """Cosine `(m,)` of rows to their class's mean without them; 0 for an only row.

        `mean without i = (n * mean - x_i) / (n - 1)`, from the exact sums.
        """
        snapshot = self.snapshot
        y = snapshot.y[index]
        rows = snapshot.some(index).astype(np.float64)
        others = np.maximum(snapshot.counts[y] - 1, 1)[:, np.newaxis]
        means_without = directions((snapshot.sums_of(y) - rows) / (UNIT * others) - self.centre)
        queries = directions(rows / UNIT - self.centre)
        own = np.einsum("ij,ij->i", queries, means_without)
        return np.where(snapshot.counts[y] > 1, own, 0.0)

    def _without(self, index: NDArray[np.intp]) -> NDArray[np.float64]:
        scores = self.scores(self.snapshot.some(index)).astype(np.float64)
        scores[np.arange(len(index)), self.snapshot.y[index]] = self.own(index)
        return scores


def directions(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows at unit length; what is shorter than `TINY` is rounding and becomes zero."""
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, np.newaxis]
    return np.where(length > TINY, rows / np.maximum(length, TINY), 0.0)


def direction_of(
    count: int, total: NDArray[np.int64], background: Background | None
) -> NDArray[np.float32]:
    """`(d,)` unit vector from the centre to the mean of a class, from its count and sum."""
    mean = total[np.newaxis] / (UNIT * count)
    if background is not None:
        mean -= background.mean
    return np.asarray(directions(mean)[0].astype(np.float32))
