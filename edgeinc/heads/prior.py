"""What pictures of nothing in particular say beforehand about where the classes lie."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edgeinc.features import Background, Snapshot
from edgeinc.heads.space import Matrix

__all__ = ["Prior"]

CENTRE = 10.0
"""Class means that the background's mean counts for at one shot; at k shots, a k-th of it."""


class Prior(NamedTuple):
    """Where the classes' centre is thought to lie before any example is seen.

    The mean of very few class means is nobody's centre: of two it lies right between them, and
    tells nothing of what all pictures have in common. So the background's mean is one more.

    Attributes:
        origin: `(d,)` the background's mean.
        weight: Class means that it counts for.
    """

    origin: Matrix
    weight: float

    @classmethod
    def of(cls, background: Background | None, snapshot: Snapshot) -> Prior | None:
        """The prior for a snapshot, by the harmonic mean of its class sizes.

        None without a background.
        """
        if background is None:
            return None
        share = float((1.0 / snapshot.counts).mean()) if len(snapshot.labels) else 1.0
        return cls(background.mean, CENTRE * share)

    def kernel(self, rows: Matrix, products: Matrix) -> Matrix:
        """Inner products `(n, n)` of rows `(n, d)` off the origin; `products` the plain ones."""
        across = rows @ self.origin
        off = products - across[:, np.newaxis] - across
        off += self.origin @ self.origin
        return np.asarray(off)
