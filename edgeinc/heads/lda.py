"""Linear discriminant analysis with one shrunk covariance for all classes."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import UNIT, Snapshot
from edgeinc.heads.linear import Linear
from edgeinc.heads.scatter import Scatter, scatter
from edgeinc.heads.space import Matrix, Space

__all__ = ["Lda"]

STRENGTH = 1.0
"""Shrinkage, as a multiple of the mean squared distance of an example to the mean."""


class Lda(Linear):
    """Mahalanobis distance to class means under the shrunk scatter within classes.

    With `P = (S + strength * I)^-1`, S the scatter of examples about their class's mean, z the
    mean of the class means and every class equally likely, the score is the log-likelihood up to
    a factor, less the amount by which the scatter of a mean of n_c examples is expected to
    inflate its own length (else a class of few examples would look farther away than it is):

        score_c(x) = (x - z)' P g_c - (g_c' P g_c - t / n_c) / 2,   g_c = m_c - z,
        t = trace(P S) / (n - C)

    With one example of every class S is zero and this is the nearest class mean. Leave-one-out
    is exact for the strength at hand, up to a number that is the same for all classes: without
    row i of class c, S loses `n_c/(n_c-1) v v'`, `v = x_i - m_c` (Sherman-Morrison).
    """

    name = "lda"
    default = 0.12
    decay = 0.8

    def __init__(
        self, snapshot: Snapshot, *, space: Space | None = None, strength: float = STRENGTH
    ) -> None:
        """Fit to a snapshot; `space`, where given, is the snapshot's."""
        super().__init__(snapshot)
        self._space = Space(snapshot) if space is None else space
        self.strength = strength * self._space.variance()
        weights, centre = self._scatter.axes()
        noise = self._scatter.filled / max(snapshot.total - len(self.labels), 1)
        self._weights = (weights / UNIT).astype(np.float32)
        bias = -0.5 * (self._scatter.lengths - noise / snapshot.counts) - centre
        self._bias = bias.astype(np.float32)

    @cached_property
    def _scatter(self) -> Scatter:
        """The metric of P."""
        return scatter(self._space, self.snapshot.counts, self.strength)

    def _without(self, index: NDArray[np.intp]) -> Matrix:
        snapshot = self.snapshot
        each, y = np.arange(len(index)), snapshot.y[index]
        counts = snapshot.counts[y].astype(np.float64)
        only = counts == 1
        # Inner products in the metric of P of: v the row off its class's mean, x the row and
        # g a class mean, both off the centre, o the row's own class mean.
        vg = self._scatter.crossed(index)
        vv = self._scatter.leverage(index)
        xg = vg + self._scatter.paired(y)
        xv = vv + vg[each, y]
        # The same without the row; an only row was never part of the scatter.
        rest = np.maximum(counts - 1, 1)
        share = np.where(only, 0.0, counts / rest)
        gain = share / (1.0 - share * vv)
        xg += (gain * xv)[:, np.newaxis] * vg
        gg = self._scatter.lengths + gain[:, np.newaxis] * vg**2
        filled = self._scatter.filled - self.strength * gain * self._scatter.squared(index)
        freedom = snapshot.total - len(self.labels) - np.where(only, 0, 1)
        noise = filled / np.maximum(freedom, 1)
        scores: Matrix = xg - 0.5 * (gg - noise[:, np.newaxis] / snapshot.counts)
        grown = 1.0 + gain * vv
        own = xg[each, y] - xv * grown / rest
        length = gg[each, y] - 2 * vg[each, y] * grown / rest + vv * grown / rest**2
        scores[each, y] = own - 0.5 * (length - noise / rest)
        return scores
