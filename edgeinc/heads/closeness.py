"""How close pictures are to class means, for the question whether they are known at all."""

from __future__ import annotations

from functools import cached_property
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import UNIT
from edgeinc.heads.levels import Numbers
from edgeinc.heads.means import Means, chunks
from edgeinc.heads.metric import Projected
from edgeinc.heads.near_duplicates import NearDuplicates

__all__ = ["Closeness"]

DISTANCE = 0.1
"""What the squared distance counts for beside the cosine, where classes are of all kinds."""

NARROW = 0.5
"""What it counts for besides where all classes are of one kind."""


class Closeness:
    """Cosine to a class's mean, less a share of the squared distance, in the background's metric.

    Measured at the background's mean it tells pictures of anything from pictures like these.
    Where all classes are of one kind, say flowers, it does not tell one flower from the others:
    that takes an angle measured among the flowers, at
    `background + kind * (mean of class means - background)`, and the distance counts there too.
    Distances are in units of the background's.
    """

    def __init__(self, means: Means, *, narrow: bool) -> None:
        """Closeness to these means, at the background's mean or within their kind."""
        self.metric, self._snapshot = means.metric, means.snapshot
        self._means = means
        self.weight = DISTANCE + NARROW * means.kind if narrow else 0.0
        self._centre = means.metric.centre.astype(np.float32)
        self._shift = np.float32(means.kind if narrow else 0.0) * means.middle
        self._shifts = self.metric.project(self._shift[np.newaxis])
        self._shift_square = float(self.metric.squares(self._shifts)[0])
        self._shift_leading = self._shifts.leading[0]

    @property
    def centre(self) -> NDArray[np.float32]:
        """`(d,)` what angles are measured at."""
        return np.asarray(self._centre + self._shift)

    @cached_property
    def _shifted(self) -> Numbers:
        """Inner products `(C,)` of the class means and the shift of the centre."""
        plain = (self._means.directions @ self._shift) * self._means.lengths
        leading = self._shift_leading * self.metric.gain
        return np.asarray(plain + self._means.leading @ leading, np.float64)

    def scores(
        self, features: NDArray[np.int16], index: NDArray[np.intp] | None = None
    ) -> NDArray[np.float32]:
        """Closeness `(n, C)` float32 of `(n, d)` int16 features to the class means.

        Where they are the rows `index` of the snapshot, in the metric without them.
        """
        rows = self.metric.project(self.off(features))
        inner = self._inner(rows)
        along = self.metric.inner(rows, self._shifts)[:, np.newaxis]
        squares = self.metric.inner(rows, rows)[:, np.newaxis]
        squares = squares - 2.0 * along + self._shift_square
        others = self._means.squares - 2.0 * self._shifted + self._shift_square
        both = inner - along - self._shifted + self._shift_square
        others = others[np.newaxis]
        if index is not None and self._means.weights[index].any():
            misses, gain = self._misses(rows, index)
            first = self.metric.inner(rows.less(self._shifts), misses)[:, np.newaxis]
            along = self.metric.inner(misses, self._shifts)[:, np.newaxis]
            second = self._inner(misses) - along
            both = both + gain[:, np.newaxis] * first * second
            squares = squares + gain[:, np.newaxis] * first**2
            others = others + gain[:, np.newaxis] * second**2
        return self._joined(both, squares, others).astype(np.float32)

    def _inner(self, rows: Projected) -> NDArray[np.float32]:
        """Inner products `(n, C)` of rows and the class means."""
        means = self._means
        inner = (rows.rows @ means.directions.T) * means.lengths
        inner += (rows.leading * self.metric.gain) @ means.leading.T
        return np.asarray(inner)

    def _misses(self, rows: Projected, index: NDArray[np.intp]) -> tuple[Projected, Numbers]:
        """How far rows lie from their class's mean, as if they were not part of it.

        And by how much inner products grow along these without them (Sherman & Morrison 1950).
        """
        y = self._snapshot.y[index]
        counts = self._snapshot.counts[y].astype(np.float32)[:, np.newaxis]
        misses = rows.less(self._means.projected(y)).times(counts / np.maximum(counts - 1.0, 1.0))
        weights = self._means.weights[index]
        left = 1.0 - weights * self.metric.inner(misses, misses)
        return misses, weights / np.maximum(left, 0.01)

    def to_means(self, features: NDArray[np.int16], means: NDArray[np.float32]) -> Numbers:
        """Closeness `(n,)` of `(n, d)` int16 features to as many means off the background's."""
        metric, shift = self.metric, self._shifts
        rows = metric.project(self.off(features)).less(shift)
        others = metric.project(means).less(shift)
        both = metric.inner(rows, others)
        return self._joined(both, metric.inner(rows, rows), metric.inner(others, others))

    def to_column(self, row: NDArray[np.float32], column: int) -> float:
        """The same of one row `(d,)` off the background's mean to one class.

        For a prediction, so in plain numbers: what remains are the row's shares in the leading
        directions, worked out once, and a few inner products.
        """
        means = self._means
        leading = self.metric.directions @ row
        weighted = leading * self.metric.gain
        plain = float(row @ means.directions[column]) * float(means.lengths[column])
        inner = plain + float(weighted @ means.leading[column])
        along = float(row @ self._shift) + float(weighted @ self._shift_leading)
        squares = float(row @ row) + float(weighted @ leading) - 2.0 * along + self._shift_square
        others = float(means.squares[column]) - 2.0 * float(self._shifted[column])
        inner += self._shift_square - along - float(self._shifted[column])
        squares, others = max(squares, 1e-12), max(others + self._shift_square, 1e-12)
        distance = max(squares + others - 2.0 * inner, 0.0) / self.metric.length
        return inner / sqrt(squares * others) - self.weight * distance

    def own(self, index: NDArray[np.intp], near: NearDuplicates | None = None) -> Numbers:
        """Closeness `(m,)` of rows to their class's mean without them; 0 for an only row.

        With near duplicates it is without all of each row's moment, 0 where that is all.
        """
        snapshot = self._snapshot
        parts = [np.zeros(0)]
        moments = None
        if near is not None and len(near.sizes):
            means = (near.means / UNIT - self._centre).astype(np.float32)
            moments = self.metric.project(means)
        for part in chunks(index):
            rows = gone = self.metric.project(self.off(snapshot.some(part)))
            sizes = np.ones(len(part))
            if near is not None and moments is not None:
                at, sizes = near.groups[part], near.size(part)
                gone = rows.replaced(np.flatnonzero(at >= 0), moments, at[at >= 0])
            rest = snapshot.counts[snapshot.y[part]] - sizes
            own = self._without(rows, gone, sizes / np.maximum(rest, 1.0), part)
            parts.append(np.where(rest > 0.5, own, 0.0))
        return np.concatenate(parts)

    def _without(
        self,
        projected: Projected,
        gone: Projected,
        shares: Numbers,
        index: NDArray[np.intp],
    ) -> Numbers:
        """The same, given the means of what goes with each row, in these shares of what remains."""
        metric, mean = self.metric, self._means.projected(self._snapshot.y[index])
        others = mean.less(gone.less(mean).times(shares[:, np.newaxis].astype(np.float32)))
        misses, gain = self._misses(projected, index)
        projected, others = projected.less(self._shifts), others.less(self._shifts)
        first, second = metric.inner(projected, misses), metric.inner(others, misses)
        both = metric.inner(projected, others) + gain * first * second
        squares = metric.inner(projected, projected) + gain * first**2
        return self._joined(both, squares, metric.inner(others, others) + gain * second**2)

    def reached(self, index: NDArray[np.intp], most: int) -> Numbers:
        """Closeness `(m,)` of what is of no class, or of another, to the nearest class.

        Rows `index` of the snapshot without their own class, and at most so many negatives.
        """
        parts = [np.zeros(0)]
        for part in chunks(index) if len(self._means.labels) > 1 else ():
            scores = self.scores(self._snapshot.some(part), part)
            scores[np.arange(len(part)), self._snapshot.y[part]] = -np.inf
            parts.append(scores.max(axis=1).astype(np.float64))
        for rows in self._means.negatives(most):
            parts.append(self.scores(rows).max(axis=1).astype(np.float64))
        return np.concatenate(parts)

    def pairs(self, counts: Numbers, totals: NDArray[np.int64]) -> Numbers:
        """Mean cosine `(C,)`, 0 to 1, of two examples of a class, by count and exact sum `(C, d)`.

        Only the plain lengths of rows are known without looking at them; those in the metric are
        taken for their usual share of them.
        """
        sums = totals / UNIT
        centre = self.metric.centre + self._shift
        squares = counts * (1.0 + centre @ centre) - 2.0 * (sums @ centre)
        squares = np.maximum(squares, 1e-9) * self.metric.share
        rows = self.metric.project((sums - counts[:, np.newaxis] * centre).astype(np.float32))
        cosines = (self.metric.squares(rows) - squares) / np.maximum((counts - 1.0) * squares, 1e-9)
        return np.asarray(np.clip(cosines, 0.0, 1.0))

    def alike(self, counts: Numbers, totals: NDArray[np.int64]) -> Numbers:
        """The same outside of the metric, `(C,)`: exact, where `pairs` is not."""
        sums = totals / UNIT
        centre = self.metric.centre + self._shift
        squares = np.maximum(counts * (1.0 + centre @ centre) - 2.0 * (sums @ centre), 1e-9)
        rows = sums - counts[:, np.newaxis] * centre
        inner = np.einsum("ij,ij->i", rows, rows) - squares
        return np.asarray(np.clip(inner / np.maximum((counts - 1.0) * squares, 1e-9), 0.0, 1.0))

    @cached_property
    def between(self) -> float:
        """Mean cosine, 0 to 0.99, of two examples of different classes; 0 for a single class.

        Outside of the metric, as `alike`.
        """
        means, shift = self._means, self._shift
        classes = len(means.labels)
        if classes < 2:
            return 0.0
        middle = means.middle - shift
        own = means.lengths * (means.lengths - 2.0 * (means.directions @ shift)) + shift @ shift
        inner = classes**2 * float(middle @ middle) - float(own.sum(dtype=np.float64))
        return min(max(inner / (classes * (classes - 1)) / self._square, 0.0), 0.99)

    @cached_property
    def size(self) -> float:
        """Mean squared length of examples off the centre, in units of the background's."""
        return self._square * self.metric.share / self.metric.length

    @cached_property
    def _square(self) -> float:
        """Mean squared length of examples off the centre, outside of the metric."""
        snapshot = self._snapshot
        centre = self.metric.centre + self._shift
        mean = snapshot.sum / (UNIT * max(snapshot.total, 1))
        return max(1.0 + float(centre @ centre) - 2.0 * float(mean @ centre), 1e-9)

    def off(self, features: NDArray[np.int16]) -> NDArray[np.float32]:
        """Rows `(n, d)` float32 off the background's mean; features have length 1."""
        rows = features.astype(np.float32)
        rows /= UNIT
        rows -= self._centre
        return rows

    def _joined(
        self,
        inner: Numbers,
        squares: Numbers,
        others: Numbers,
    ) -> Numbers:
        """From inner products off the centre, and the squared lengths of both sides."""
        squares, others = np.maximum(squares, 1e-12), np.maximum(others, 1e-12)
        distance = np.maximum(squares + others - 2.0 * inner, 0.0) / self.metric.length
        return np.asarray(inner / np.sqrt(squares * others) - self.weight * distance)
