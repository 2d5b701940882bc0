"""Nearest class mean by cosine, and how well a class knows its own examples."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import UNIT, Background, Snapshot
from edgeinc.heads.base import means, product
from edgeinc.heads.temperature import from_loo

TEMPERATURE = 0.05
"""Softmax temperature of the cosines where examples are too few to tell."""

TINY = 1e-6
"""Length, relative to a feature's, below which a centred vector is rounding and no direction."""


class Proto:
    """Cosine to the mean of each class's features.

    With a background, its mean is taken off class means and queries before the angle is
    measured: what all pictures have in common says nothing about any class. The centre is fixed,
    so that class means stay a function of the exact integer sums. See `Scorer` for the rest.
    """

    name = "proto"

    def __init__(self, snapshot: Snapshot, background: Background | None = None) -> None:
        """Fit to a snapshot; `background.mean` has the snapshot's d."""
        self.labels = snapshot.labels
        self._snapshot = snapshot
        self._centre = np.zeros(snapshot.dim) if background is None else background.mean
        self._offset = None if background is None else (UNIT * background.mean).astype(np.float32)
        self._weights = directions(means(snapshot) - self._centre).astype(np.float32)
        self.column = {label: i for i, label in enumerate(snapshot.labels)}

    def scores(self, features: NDArray[np.int16]) -> NDArray[np.float32]:
        """Cosines `(n, C)` float32 of `(n, d)` int16 features to the class means."""
        rows = features.astype(np.float32)
        if self._offset is not None:
            rows -= self._offset
        cosines = product(self._weights, rows)
        length = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, np.newaxis]
        # A feature is either zero or of length UNIT, so no division by a small number.
        cosines /= np.maximum(length, UNIT * TINY, dtype=np.float32)
        return cosines

    def similarity(self, features: NDArray[np.int16], label: str) -> float:
        """Cosine of one `(1, d)` int16 feature to one class's mean, without the others."""
        row = features[0].astype(np.float32)
        if self._offset is not None:
            row -= self._offset
        length = max(float(np.sqrt(row @ row)), UNIT * TINY)
        return float(self._weights[self.column[label]] @ row) / length

    @cached_property
    def loo(self) -> NDArray[np.float32]:
        """See `Scorer`: `mean without i = (n * mean - x_i) / (n - 1)`."""
        snapshot = self._snapshot
        scores = self.scores(snapshot.rows)
        scores[np.arange(snapshot.total), snapshot.y] = self._own()
        return scores

    @cached_property
    def temperature(self) -> float:
        """See `Scorer`."""
        return from_loo(self.loo, self._snapshot, TEMPERATURE)

    def _own(self) -> NDArray[np.float32]:
        """Cosine `(n,)` of each row to its class's mean without it; -inf for an only row."""
        snapshot = self._snapshot
        own = np.full(snapshot.total, -np.inf, np.float32)
        start = 0
        for count, total in zip(snapshot.counts.tolist(), snapshot.sums, strict=True):
            rows = snapshot.rows[start : start + count].astype(np.float64)
            if count > 1:
                others = (total - rows) / (UNIT * (count - 1)) - self._centre
                queries = directions(rows / UNIT - self._centre)
                own[start : start + count] = np.einsum("ij,ij->i", queries, directions(others))
            start += count
        return own


class ClassSimilarity:
    """How close pictures are to a class's mean: "do I know it at all", whoever it is.

    Attributes:
        loo: `(n,)` float32, cosine of each of the snapshot's rows to its own class's mean taken
            without it; 0 where `held_out` is False.
        held_out: `(n,)` bool, False for the only row of its class, which has no such mean.
        nearest_other: `(n,)` float32, largest cosine to the mean of another class; -1 without one.
    """

    def __init__(self, snapshot: Snapshot, background: Background | None = None) -> None:
        """Measure a snapshot; `background` as for `Proto`."""
        self._proto = Proto(snapshot, background)
        each = np.arange(snapshot.total)
        scores = self._proto.loo.copy()
        self.held_out: NDArray[np.bool_] = snapshot.counts[snapshot.y] > 1
        self.loo = np.where(self.held_out, scores[each, snapshot.y], np.float32(0))
        scores[each, snapshot.y] = -1.0
        self.nearest_other = scores.max(axis=1, initial=-1.0)

    def cosine(self, features: NDArray[np.int16]) -> NDArray[np.float32]:
        """Cosines `(n, C)` float32 of `(n, d)` int16 features to the class means."""
        return self._proto.scores(features)


def class_similarity(snapshot: Snapshot, background: Background | None = None) -> ClassSimilarity:
    """Leave-one-out and query cosines to class means, background-centred where there is one."""
    return ClassSimilarity(snapshot, background)


def directions(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows at unit length; what is shorter than `TINY` is rounding and becomes zero."""
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, np.newaxis]
    return np.where(length > TINY, rows / np.maximum(length, TINY), 0.0)
