"""Class means, and how they lie in the background's metric."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import Background, Snapshot
from edgeinc.heads.base import CLASSES
from edgeinc.heads.kind import within_kind
from edgeinc.heads.metric import Metric, Projected
from edgeinc.heads.proto import Proto
from edgeinc.types import NEGATIVE

__all__ = ["Means", "chunks"]

CHUNK = 256
"""Rows worked on at a time."""


class Means:
    """Class means, as every kind of closeness needs them; negatives are in no class.

    Attributes:
        labels: C labels of classes.
        snapshot: Their examples.
        proto: All means; that of the negatives, if there are any, comes before the classes.
        metric: The metric.
        directions: `(C, d)` float32, those of `proto` that are of classes.
        lengths: `(C,)` float32, likewise.
        leading: `(C, k)` float32, the means' shares in the metric's leading directions.
        squares: `(C,)` their squared lengths in the metric.
        kind: 0 where the classes are of all kinds, near 1 where all are of one kind: with the
            background's mean as origin, what the mean of the class means is worth as an estimate
            of where pictures of this kind lie. It is the factor of James & Stein (1961),
            `1 - (scatter of the class means / C) / |their mean|^2`, at least 0.
        weights: `(n,)` what each example counts for in the metric.
        middle: `(d,)` float32, the mean of the class means off the background's.
    """

    def __init__(self, snapshot: Snapshot, background: Background | None = None) -> None:
        """Measure a snapshot; `background` as for `Proto`."""
        self.proto = Proto(snapshot, background)
        self.metric = Metric(snapshot.dim, background)
        self.snapshot = snapshot.without(NEGATIVE)
        self.labels = self.snapshot.labels
        classes = len(self.labels)
        first = len(snapshot.labels) - classes
        self.directions, self.lengths = self.proto.directions[first:], self.proto.lengths[first:]
        self.weights = np.zeros(self.snapshot.total)
        self._measure()
        total = np.zeros(snapshot.dim)
        for _, rows in self._parts():
            total += rows.sum(axis=0, dtype=np.float64)
        self.middle = (total / max(classes, 1)).astype(np.float32)
        middle = self.metric.project(self.middle[np.newaxis])
        square = float(self.metric.squares(middle)[0])
        scatter = (float(self.squares.sum()) - classes * square) / max(classes - 1, 1)
        # Without a background nobody knows where pictures of other kinds lie.
        told = background is not None and classes > 1
        self.kind = max(0.0, 1.0 - scatter / classes / square) if told else 0.0
        self._negatives = snapshot, np.arange(snapshot.total - self.snapshot.total)

    def of_kind(self, background: Background | None) -> Means:
        """The same means in the metric of pictures of their kind."""
        result = copy(self)
        if background is not None:
            kin = within_kind(background, self.snapshot, self.kind)
            if kin is not None:
                most = len(kin.background.values)
                result.metric = Metric(self.snapshot.dim, kin.background, most)
                result.weights = kin.weights / result.metric.floor
                result._measure()
        return result

    def _measure(self) -> None:
        classes = len(self.labels)
        self.leading = np.empty((classes, len(self.metric.gain)), np.float32)
        self.squares = np.empty(classes)
        for part, rows in self._parts():
            projected = self.metric.project(rows)
            self.leading[part] = projected.leading
            self.squares[part] = self.metric.squares(projected)

    def _parts(self) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """The means off the background's, `(k, d)` at a time."""
        for start in range(0, len(self.labels), CLASSES):
            part = slice(start, start + CLASSES)
            yield part, self.directions[part] * self.lengths[part, np.newaxis]

    def mean(self, columns: NDArray[np.intp]) -> NDArray[np.float32]:
        """Means `(n, d)` of some classes, off the background's."""
        return np.asarray(self.directions[columns] * self.lengths[columns, np.newaxis])

    def projected(self, columns: NDArray[np.intp]) -> Projected:
        """The same with their shares in the metric's leading directions."""
        return Projected(self.mean(columns), self.leading[columns])

    def negatives(self, most: int) -> Iterator[NDArray[np.int16]]:
        """At most so many negatives, evenly spaced, some rows `(m, d)` at a time."""
        snapshot, index = self._negatives
        for part in chunks(index[:: max(1, -(-len(index) // most))]):
            yield snapshot.some(part)


def chunks(index: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """An index, `CHUNK` at a time."""
    for start in range(0, len(index), CHUNK):
        yield index[start : start + CHUNK]
