"""Ridge regression to one-hot targets, balanced between big and small classes."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import UNIT, Snapshot
from edgeinc.heads.base import product
from edgeinc.heads.dual import Dual
from edgeinc.heads.linear import Linear
from edgeinc.heads.prior import Prior
from edgeinc.heads.scatter import Scatter, scatter
from edgeinc.heads.space import Matrix, Space

__all__ = ["Cubic", "Ridge"]

STRENGTH = 1.0
"""The ridge, as a multiple of the mean squared distance of an example to the mean."""

TINY = 1e-12
"""Squared length, over the ridge, below which a class's direction is rounding."""


class Ridge(Linear):
    """Ridge regression on centred features, balanced on the right-hand side.

    With m_c the class means, S the scatter of all examples about their mean and
    `P = (S + strength * I)^-1`, ridge regression to one-hot targets, each divided by the size of
    its class, has the weights `P (m_c - mean)`. Three things keep big and small classes level:
    the centre z is the mean of the class means; each weight vector has unit length in the metric
    of P; and what the scatter of a mean of n_c examples adds to `(x - z)' P (m_c - z)` on
    average, `-t / (C n_c)`, is put right, with `t = trace(P S_within) / (n - C)`:

        score_c(x) = ((x - z)' P (m_c - z) + b_c) / sqrt((m_c - z)' P (m_c - z))
        b_c = t / C * (1 / n_c - mean over classes of 1 / n)

    A prior (see `Prior`) counts the background's mean for w more class means in z; the C of b_c
    is then C + w.

    One pooled scatter serves however many the classes. Leave-one-out is exact for the strength
    and the w at hand: without row i, S loses `n/(n-1) v v'`, `v = x_i - mean`, which changes P by
    a matrix of rank one (Sherman-Morrison), and the class's mean and the centre move along `x_i`
    and the class's mean.
    """

    name = "ridge"
    default = 0.06
    decay = 0.42
    degree = 1

    def __init__(
        self,
        snapshot: Snapshot,
        prior: Prior | None = None,
        *,
        space: Space | None = None,
        strength: float = STRENGTH,
    ) -> None:
        """Fit to a snapshot; `space`, where given, is the snapshot's."""
        super().__init__(snapshot)
        self.prior = prior
        self._beside = 0.0 if prior is None else prior.weight
        self._space = Space(snapshot) if space is None else space
        self.strength = strength * self._space.variance(self.degree)
        # The mean of all examples, off the centre, as a sum of class means off the centre.
        self._mean = snapshot.counts / max(snapshot.total, 1)
        self._take(self._scale(self._scatter.lengths))

    @cached_property
    def _scatter(self) -> Scatter:
        """The metric of P."""
        return scatter(self._space, np.array([self.snapshot.total]), self.strength, self.prior)

    def _take(self, scale: Matrix) -> None:
        """Keep what `scores` needs."""
        weights, centre = self._scatter.axes()
        factors = (scale / UNIT).astype(weights.dtype)
        self._weights = (weights * factors[:, np.newaxis]).astype(np.float32, copy=False)
        self._bias = ((self._level() - centre) * scale).astype(np.float32)

    def _level(self) -> Matrix:
        """b_c `(C,)`."""
        counts, n, classes = self.snapshot.counts, self.snapshot.total, len(self.labels)
        spread = counts @ self._scatter.lengths - n * self._mean @ self._scatter.mixed(self._mean)
        noise = max(self._scatter.filled - float(spread), 0.0) / max(n - classes, 1)
        level: Matrix = noise / (max(classes, 1) + self._beside) / counts
        level -= level.sum() / max(classes, 1)
        return level

    def _scale(self, lengths: Matrix) -> Matrix:
        """`1 / sqrt(lengths)`, and 0 where that is rounding."""
        least = TINY / self.strength
        return np.where(lengths > least, 1.0 / np.sqrt(np.maximum(lengths, least)), 0.0)

    def _without(self, index: NDArray[np.intp]) -> Matrix:
        all_counts, n = self.snapshot.counts, self.snapshot.total
        each, y = np.arange(len(index)), self.snapshot.y[index]
        counts = all_counts[y].astype(np.float64)
        only = counts == 1
        rest = np.maximum(counts - 1, 1)
        left = (len(self.labels) - only).astype(np.float64)
        # Inner products in the metric of P of: v the row off the mean, s the mean, a the row,
        # g a class mean and o the row's own class mean, all off the centre.
        vg, og, gg = self._scatter.crossed(index), self._scatter.paired(y), self._scatter.lengths
        vv, vs, gs = self._scatter.leverage(index), vg @ self._mean, self._scatter.mixed(self._mean)
        ss = np.full(len(index), gs @ self._mean)
        va, aa, ag = vv + vs, vv + 2 * vs + ss, vg + gs
        # The same without the row, which takes P to P + gain * P v v' P.
        gain = n / (n - 1.0) / (1.0 - n / (n - 1.0) * vv)
        og += (gain * vg[each, y])[:, np.newaxis] * vg
        ag += (gain * va)[:, np.newaxis] * vg
        gg = gg + gain[:, np.newaxis] * vg**2
        aa += gain * va**2
        ss += gain * vs**2
        vs, vv = vs * (1.0 + gain * vv), vv * (1.0 + gain * vv)
        ao, oo = ag[each, y], gg[each, y]
        # The own class mean moves by k (a - o), the centre by p a + q o, the mean by -v / (n - 1).
        k = -1.0 / rest
        members = np.maximum(left, 1) + self._beside
        p = np.where(only, 0.0, k / members)
        q = np.where(only, k, -k) / members
        own = k**2 * aa + 2 * k * (1 - k) * ao + (1 - k) ** 2 * oo
        mean = ss - (2 * vs - vv / (n - 1)) / (n - 1)
        spread = gg @ all_counts - counts * oo + (counts - 1) * own - (n - 1) * mean
        filled = self._scatter.filled - self.strength * gain * self._scatter.squared(index)
        noise = np.maximum(filled - spread, 0.0) / np.maximum(n - 1 - left, 1)
        level = np.broadcast_to(1.0 / all_counts, gg.shape).copy()
        level[each, y] = np.where(only, 0.0, 1.0 / rest)
        level -= (level.sum(axis=1) / left)[:, np.newaxis]
        level *= (noise / members)[:, np.newaxis]
        moved = p * p * aa + 2 * p * q * ao + q * q * oo
        along = p[:, np.newaxis] * ag + q[:, np.newaxis] * og
        scores: Matrix = ag - along + (moved - p * aa - q * ao)[:, np.newaxis]
        lengths = gg - 2 * along + moved[:, np.newaxis]
        i, j = k - p, 1 - k - q
        scores[each, y] = (1 - p) * i * aa + ((1 - p) * j - q * i) * ao - q * j * oo
        lengths[each, y] = i * i * aa + 2 * i * j * ao + j * j * oo
        scores += level
        scores *= self._scale(lengths)
        return scores


class Cubic(Ridge):
    """The same on all products of three features at once, through the kernel `(x'y)**3`.

    It bends round many-sided classes when there are examples enough, and answers from all
    examples: n d + n C products a picture, 4 n (d + C) bytes.
    """

    name = "cubic"
    degree = 3

    def __init__(
        self, snapshot: Snapshot, *, space: Space | None = None, strength: float = STRENGTH
    ) -> None:
        """Fit to a snapshot; `space`, where given, is the snapshot's."""
        super().__init__(snapshot, space=space, strength=strength)

    def scores(self, features: NDArray[np.int16]) -> NDArray[np.float32]:
        """Scores `(n, C)` float32 of `(n, d)` int16 features."""
        kernel = product(self._rows, features.astype(np.float32))
        kernel *= kernel * kernel
        scores = product(self._weights, kernel)
        scores += self._bias
        return scores

    def release(self) -> None:
        """See `Scorer`."""
        super().release()
        self.__dict__.pop("_dual", None)

    @cached_property
    def _dual(self) -> Dual:
        return Dual(self._space, np.array([self.snapshot.total]), self.strength, self.degree)

    @cached_property
    def _scatter(self) -> Scatter:
        return self._dual

    def _take(self, scale: Matrix) -> None:
        weights, centre = self._dual.coefficients()
        self._weights = (weights * scale[:, np.newaxis]).astype(np.float32)
        self._bias = ((self._level() - centre) * scale).astype(np.float32)
        self._rows = self.snapshot.rows.astype(np.float32)
        self._rows /= UNIT**2
