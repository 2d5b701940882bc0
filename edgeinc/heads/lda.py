"""Linear discriminant analysis with one shrunk covariance for all classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import UNIT, Snapshot
from edgeinc.heads.base import Base, product
from edgeinc.heads.scatter import Inverse, Space

STRENGTH = 1.0
"""Shrinkage, as a multiple of the mean squared distance of an example to the mean."""


class Lda(Base):
    """Mahalanobis distance to class means under the shrunk scatter within classes.

    With `P = (S + strength * I)^-1`, S the scatter of examples about their class's mean, and
    every class equally likely, the score is the log-likelihood up to a factor, less the amount
    by which the scatter of a mean of n_c examples is expected to inflate its own length (else a
    class of few examples would look farther away than it is):

        score_c(x) = x' P m_c - (m_c' P m_c - t / n_c) / 2,   t = trace(P S) / (n - C)

    With one example of every class S is zero and this is the nearest class mean. Leave-one-out
    is exact for the strength at hand: without row i of class c, S loses
    `n_c/(n_c-1) v v'`, `v = x_i - m_c` (Sherman-Morrison).
    """

    name = "lda"
    default = 0.12
    decay = 0.8

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
        self._inverse = Inverse(space, snapshot.counts, self.strength)
        self._means = space.means
        self._solved = self._inverse.apply(self._means)
        self._lengths = np.einsum("ij,ij->i", self._means, self._solved)
        self._weights = (self._solved / UNIT).astype(np.float32)
        inflation = self._inflation(np.array([self._inverse.trace]), np.array([0]))
        bias = -0.5 * (self._lengths - inflation / np.maximum(snapshot.counts, 1))
        self._bias = bias.astype(np.float32)

    def scores(self, features: NDArray[np.int16]) -> NDArray[np.float32]:
        """Scores `(n, C)` float32 of `(n, d)` int16 features."""
        scores = product(self._weights, features.astype(np.float32))
        scores += self._bias
        return scores

    def _inflation(
        self, trace: NDArray[np.float64], gone: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """`trace(P S) / (n - C)` from the trace of P, with `gone` degrees of freedom less."""
        freedom = self.snapshot.total - len(self.labels) - gone
        return (self.snapshot.dim - self.strength * trace) / np.maximum(freedom, 1)

    def _without(self, index: NDArray[np.intp]) -> NDArray[np.float64]:
        snapshot = self.snapshot
        each, y = np.arange(len(index)), snapshot.y[index]
        counts = snapshot.counts[y].astype(np.float64)
        only = counts == 1
        # Inner products in the metric of P of: x the row, v the row off its class's mean,
        # g a class mean, o the row's own class mean.
        vv = self._inverse.leverage(index)
        vg = self._inverse.rows(index) @ self._solved.T
        xg = vg + self._means[y] @ self._solved.T
        xv = vv + vg[each, y]
        # The same without the row; an only row was never part of the scatter.
        rest = np.maximum(counts - 1, 1)
        share = np.where(only, 0.0, counts / rest)
        gain = share / (1.0 - share * vv)
        xg += (gain * xv)[:, np.newaxis] * vg
        gg = self._lengths + gain[:, np.newaxis] * vg**2
        trace = self._inverse.trace + gain * self._inverse.squared(index)
        inflation = self._inflation(trace, np.where(only, 0, 1))
        scores: NDArray[np.float64] = xg - 0.5 * (gg - inflation[:, np.newaxis] / snapshot.counts)
        grown = 1.0 + gain * vv
        own = xg[each, y] - xv * grown / rest
        length = gg[each, y] - 2 * vg[each, y] * grown / rest + vv * grown / rest**2
        scores[each, y] = own - 0.5 * (length - inflation / rest)
        return scores
