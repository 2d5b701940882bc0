"""What pictures of nothing in particular say beforehand about a metric and its centre."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeinc.features import Background, Snapshot
from edgeinc.heads.space import Matrix

CENTRE = 40.0
"""Class means that the background's mean counts for at one shot; at k shots, a k-th of it."""

PICTURES = 50.0
"""Examples that the background's covariance counts for."""


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """A background's part in a head.

    The centre that class means and pictures are measured from is the mean of the class means
    and of `weight` times the background's; the scatter S of the examples has `PICTURES` times
    the background's covariance `U' diag(v) U` added, of which cards hold the leading part.

    Attributes:
        origin: `(d,)` the background's mean.
        weight: Class means that it counts for.
        vectors: `(k, d)` U, directions.
        values: `(k,)` `PICTURES * v`, their share of the scatter.
    """

    origin: Matrix
    weight: float
    vectors: Matrix
    values: Matrix

    @classmethod
    def of(cls, background: Background | None, snapshot: Snapshot) -> Prior | None:
        """The prior of a snapshot's heads, by the harmonic mean of its class sizes.

        None without a background.
        """
        if background is None:
            return None
        weight = CENTRE
        if len(snapshot.labels):
            weight *= float((1.0 / snapshot.counts).mean())
        vectors = background.vectors.astype(np.float64).reshape(-1, snapshot.dim)
        return cls(background.mean, weight, vectors, PICTURES * background.values)

    def shrunk(self, rows: Matrix, strength: float) -> Matrix:
        """`strength * (strength * I + U' diag(values) U)^-1` of rows `(n, d)` (Woodbury)."""
        share = self.values / (strength + self.values)
        return np.asarray(rows - ((rows @ self.vectors.T) * share) @ self.vectors)

    def kernel(self, rows: Matrix, products: Matrix, strength: float) -> Matrix:
        """Inner products `(n, n)` off the origin in that metric; `products` the plain ones."""
        across = rows @ self.origin
        off = products - across[:, np.newaxis] - across + self.origin @ self.origin
        along = (rows - self.origin) @ self.vectors.T
        off -= (along * (self.values / (strength + self.values))) @ along.T
        return np.asarray(off)

    def scatter(self) -> Matrix:
        """`U' diag(values) U` `(d, d)`."""
        return np.asarray((self.vectors.T * self.values) @ self.vectors)
