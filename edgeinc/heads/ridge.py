"""Ridge regression to one-hot targets, each class brought to one scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import UNIT, Background, Snapshot
from edgeinc.heads.base import Base, product
from edgeinc.heads.scatter import Inverse, Space

STRENGTH = 1.0
"""The ridge, as a multiple of the mean squared distance of an example to the mean."""

TINY = 1e-12
"""Squared length, over the ridge, below which a class's direction is rounding."""


class Ridge(Base):
    """Ridge regression on centred features, balanced on the right-hand side.

    With m the class means, S the scatter of all examples about their mean and
    `P = (S + strength * I)^-1`, ridge regression to one-hot targets, each divided by the size of
    its class, has the weights `P (m_c - mean)`. Here they are taken from a centre that does not
    lean towards big classes (the background's mean, or else the mean of the class means) and
    brought to unit length in the metric of P, so that neither big nor small classes win by size:

        score_c(x) = (x - centre)' P (m_c - centre) / sqrt((m_c - centre)' P (m_c - centre))

    One pooled scatter serves however many the classes. Leave-one-out is exact for the strength
    at hand: without row i, S loses `n/(n-1) v v'`, `v = x_i - mean`, which changes P by a matrix
    of rank one (Sherman-Morrison), and the class's mean and the centre move along `x_i` and the
    class's mean.
    """

    name = "ridge"
    default = 0.1

    def __init__(
        self,
        snapshot: Snapshot,
        background: Background | None = None,
        *,
        space: Space | None = None,
        strength: float = STRENGTH,
    ) -> None:
        """Fit to a snapshot; `space`, where given, is the snapshot's."""
        super().__init__(snapshot)
        space = Space(snapshot) if space is None else space
        self.strength = strength * space.variance
        self._inverse = Inverse(space, np.array([snapshot.total]), self.strength)
        self._balanced = background is None
        classes = max(len(self.labels), 1)
        self._centre = space.means.sum(axis=0) / classes if background is None else background.mean
        self._shift = space.mean - self._centre
        self._axes = space.means - self._centre
        self._solved = self._inverse.apply(self._axes)
        self._lengths = np.einsum("ij,ij->i", self._axes, self._solved)
        scale = self._scale(self._lengths)[:, np.newaxis] / UNIT
        self._weights = (self._solved * scale).astype(np.float32)
        self._bias = (-(self._solved * scale) @ (UNIT * self._centre)).astype(np.float32)

    def scores(self, features: NDArray[np.int16]) -> NDArray[np.float32]:
        """Scores `(n, C)` float32 of `(n, d)` int16 features."""
        scores = product(self._weights, features.astype(np.float32))
        scores += self._bias
        return scores

    def _scale(self, lengths: NDArray[np.float64]) -> NDArray[np.float64]:
        """`1 / sqrt(lengths)`, and 0 where that is rounding."""
        least = TINY / self.strength
        return np.where(lengths > least, 1.0 / np.sqrt(np.maximum(lengths, least)), 0.0)

    def _without(self, index: NDArray[np.intp]) -> NDArray[np.float64]:
        snapshot, classes = self.snapshot, len(self.labels)
        each, y = np.arange(len(index)), snapshot.y[index]
        counts = snapshot.counts[y].astype(np.float64)
        only = counts == 1
        # Inner products in the metric of P of: v the row off the mean, a the row off the centre,
        # g a class mean off the centre, o the row's own class mean off the centre.
        v = self._inverse.rows(index)
        vv = self._inverse.leverage(index)
        vg = v @ self._solved.T
        shifted = self._inverse.apply(self._shift[np.newaxis])[0]
        vs = v @ shifted
        ag = vg + self._axes @ shifted
        va, aa = vv + vs, vv + 2 * vs + float(self._shift @ shifted)
        og = self._axes[y] @ self._solved.T
        # The same without the row.
        share = snapshot.total / (snapshot.total - 1.0)
        gain = (share / (1.0 - share * vv))[:, np.newaxis]
        vo = vg[each, y][:, np.newaxis]
        ag += gain * va[:, np.newaxis] * vg
        og += gain * vo * vg
        gg = self._lengths + gain * vg**2
        aa = aa[:, np.newaxis] + gain * va[:, np.newaxis] ** 2
        ao, oo = ag[each, y][:, np.newaxis], gg[each, y][:, np.newaxis]
        # The centre moves by p a + q o, the own class mean by k (a - o).
        rest = np.maximum(counts - 1, 1)
        k = (-1.0 / rest)[:, np.newaxis]
        if self._balanced:
            p = np.where(only, 0.0, -1.0 / (rest * classes))[:, np.newaxis]
            q = np.where(only, -1.0 / max(classes - 1, 1), 1.0 / (rest * classes))[:, np.newaxis]
        else:
            p = q = np.zeros((len(index), 1))
        moved = p * p * aa + 2 * p * q * ao + q * q * oo
        scores: NDArray[np.float64] = (1 - p) * ag - q * og - (p * aa + q * ao) + moved
        scores *= self._scale(gg - 2 * (p * ag + q * og) + moved)
        i, j = k - p, 1 - k - q
        own = (1 - p) * i * aa + ((1 - p) * j - q * i) * ao - q * j * oo
        own *= self._scale(i * i * aa + 2 * i * j * ao + j * j * oo)
        scores[each, y] = own[:, 0]
        return scores
