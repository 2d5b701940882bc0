"""Ridge regression to one-hot targets, balanced between big and small classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import UNIT, Snapshot
from edgeinc.heads.base import Base, product
from edgeinc.heads.scatter import Inverse, Matrix, Space

STRENGTH = 1.0
"""The ridge, as a multiple of the mean squared distance of an example to the mean."""

TINY = 1e-12
"""Squared length, over the ridge, below which a class's direction is rounding."""


class Ridge(Base):
    """Ridge regression on centred features, balanced on the right-hand side.

    With m_c the class means, S the scatter of all examples about their mean and
    `P = (S + strength * I)^-1`, ridge regression to one-hot targets, each divided by the size of
    its class, has the weights `P (m_c - mean)`. Three things keep big and small classes level:
    the centre c is the mean of the class means; each weight vector has unit length in the metric
    of P; and what the scatter of a mean of n_c examples adds to `(x - c)' P (m_c - c)` on
    average, `-t / (C n_c)`, is put right, with `t = trace(P S_within) / (n - C)`:

        score_c(x) = ((x - c)' P (m_c - c) + b_c) / sqrt((m_c - c)' P (m_c - c))
        b_c = t / C * (1 / n_c - mean over classes of 1 / n)

    One pooled scatter serves however many the classes. Leave-one-out is exact for the strength
    at hand: without row i, S loses `n/(n-1) v v'`, `v = x_i - mean`, which changes P by a matrix
    of rank one (Sherman-Morrison), and the class's mean and the centre move along `x_i` and the
    class's mean.
    """

    name = "ridge"
    default = 0.06
    decay = 0.42

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        space: Space | None = None,
        strength: float = STRENGTH,
    ) -> None:
        """Fit to a snapshot; `space`, where given, is the snapshot's."""
        super().__init__(snapshot)
        space = Space(snapshot) if space is None else space
        self.strength = strength * space.variance
        self._inverse = Inverse(space, np.array([snapshot.total]), self.strength)
        classes = max(len(self.labels), 1)
        self._centre = space.means.sum(axis=0) / classes
        self._shift = space.mean - self._centre
        self._axes = space.means - self._centre
        self._solved = self._inverse.apply(self._axes)
        self._lengths = np.einsum("ij,ij->i", self._axes, self._solved)
        self._shifted = self._inverse.apply(self._shift[np.newaxis])[0]
        between = snapshot.counts @ self._lengths - snapshot.total * (self._shift @ self._shifted)
        freedom = max(snapshot.total - len(self.labels), 1)
        noise = self._noise(self._inverse.trace, float(between), freedom)
        shares = 1.0 / np.maximum(snapshot.counts, 1)
        level = noise / classes * (shares - shares.sum() / classes)
        scale = self._scale(self._lengths)
        self._weights = (self._solved * scale[:, np.newaxis] / UNIT).astype(np.float32)
        self._bias = ((level - self._solved @ self._centre) * scale).astype(np.float32)

    def scores(self, features: NDArray[np.int16]) -> NDArray[np.float32]:
        """Scores `(n, C)` float32 of `(n, d)` int16 features."""
        scores = product(self._weights, features.astype(np.float32))
        scores += self._bias
        return scores

    def _noise(
        self, trace: Matrix | float, between: Matrix | float, freedom: int | Matrix
    ) -> Matrix:
        """t: `trace(P S_within) / (n - C)` from the traces of P and of `P S_between`."""
        within = self.snapshot.dim - self.strength * np.asarray(trace) - between
        return np.asarray(np.maximum(within, 0.0) / freedom)

    def _scale(self, lengths: Matrix) -> Matrix:
        """`1 / sqrt(lengths)`, and 0 where that is rounding."""
        least = TINY / self.strength
        return np.where(lengths > least, 1.0 / np.sqrt(np.maximum(lengths, least)), 0.0)

    def _without(self, index: NDArray[np.intp]) -> Matrix:
        snapshot, n = self.snapshot, self.snapshot.total
        each, y = np.arange(len(index)), snapshot.y[index]
        counts = snapshot.counts[y].astype(np.float64)
        only = counts == 1
        rest = np.maximum(counts - 1, 1)
        left = (len(self.labels) - only).astype(np.float64)
        # Inner products in the metric of P of: v the row off the mean, s the mean, a the row,
        # g a class mean and o the row's own class mean, all off the centre.
        vg = self._inverse.rows(index) @ self._solved.T
        vv = self._inverse.leverage(index)
        vs = vg @ (snapshot.counts / n)
        ss = float(self._shift @ self._shifted)
        va, aa = vv + vs, vv + 2 * vs + ss
        ag = vg + self._axes @ self._shifted
        og = self._axes[y] @ self._solved.T
        # The same without the row, which takes P to P + gain * P v v' P.
        gain = n / (n - 1.0) / (1.0 - n / (n - 1.0) * vv)
        og += (gain * vg[each, y])[:, np.newaxis] * vg
        ag += (gain * va)[:, np.newaxis] * vg
        gg = self._lengths + gain[:, np.newaxis] * vg**2
        aa += gain * va**2
        ao, oo = ag[each, y], gg[each, y]
        grown = 1.0 + gain * vv
        # The own class mean moves by k (a - o), the centre by p a + q o, the mean by -v / (n - 1).
        k = -1.0 / rest
        p = np.where(only, 0.0, k / left)
        q = np.where(only, k / np.maximum(left, 1), -k / left)
        own = k**2 * aa + 2 * k * (1 - k) * ao + (1 - k) ** 2 * oo
        middle = ss + gain * vs**2 - grown * (2 * vs - vv / (n - 1)) / (n - 1)
        between = gg @ snapshot.counts - counts * oo + (counts - 1) * own - (n - 1) * middle
        trace = self._inverse.trace + gain * self._inverse.squared(index)
        noise = self._noise(trace, between, np.maximum(n - 1 - left, 1))
        # Class counts, and by them what levels the scores.
        shares = np.broadcast_to(1.0 / snapshot.counts, gg.shape).copy()
        shares[each, y] = np.where(only, 0.0, 1.0 / rest)
        level = shares - (shares.sum(axis=1) / left)[:, np.newaxis]
        level *= (noise / left)[:, np.newaxis]
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
