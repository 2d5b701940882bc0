"""Inner products in the metric of an inverse scatter matrix, by pairs of examples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeinc.heads.prior import Prior
from edgeinc.heads.space import Matrix, Sizes, Space, averages, inverse, off_average

__all__ = ["Dual"]


class Dual:
    """See `Scatter`; groups are runs of rows with these sizes."""

    def __init__(
        self,
        space: Space,
        sizes: Sizes,
        strength: float,
        degree: int = 1,
        prior: Prior | None = None,
    ) -> None:
        """Invert; costs the cube of n. A prior is for the plain inner product only."""
        self.strength = strength
        self._space = space
        self._sizes = sizes
        self._prior = prior
        counts = space.snapshot.counts
        kernel = space.kernel(degree)
        if prior is not None:
            kernel = prior.kernel(space.rows, kernel)
        inner = off_average(off_average(kernel, sizes).T, sizes)
        inner[np.diag_indices(len(inner))] += strength
        self._inverse = inverse(inner)
        self._diagonal: Matrix = self._inverse.diagonal().copy()
        # Products of the rows, and of the class means, with the class means off their mean.
        self._members = max(len(counts), 1) + (0.0 if prior is None else prior.weight)
        rows_means = averages(kernel, counts).T
        # The background's mean is the origin, and adds nothing to this sum.
        self._centre: Matrix = rows_means.sum(axis=1) / self._members
        rows_axes = rows_means - self._centre[:, np.newaxis]
        means_axes = averages(rows_axes, counts)
        axes_axes = means_axes - means_axes.sum(axis=0) / self._members
        own = off_average(rows_axes, sizes)
        self._crossed: Matrix = self._inverse @ own
        self._paired: Matrix = (axes_axes - own.T @ self._crossed) / strength
        self.lengths: Matrix = self._paired.diagonal().copy()
        self.filled = len(inner) - strength * float(self._diagonal.sum())

    def crossed(self, index: NDArray[np.intp]) -> Matrix:
        """See `Scatter`."""
        return self._crossed[index]

    def paired(self, y: NDArray[np.intp]) -> Matrix:
        """See `Scatter`."""
        return self._paired[y]

    def mixed(self, weights: Matrix) -> Matrix:
        """See `Scatter`."""
        result: Matrix = self._paired @ weights
        return result

    def leverage(self, index: NDArray[np.intp]) -> Matrix:
        """See `Scatter`."""
        result: Matrix = 1.0 - self.strength * self._diagonal[index]
        return result

    def squared(self, index: NDArray[np.intp]) -> Matrix:
        """See `Scatter`."""
        b = self._inverse[index]
        result: Matrix = self._diagonal[index] - self.strength * np.einsum("ij,ij->i", b, b)
        return result

    def coefficients(self) -> tuple[Matrix, Matrix]:
        """`P g` `(C, n)` as weights of the examples, and `c'P g` `(C,)`."""
        counts = self._space.snapshot.counts
        own = np.repeat(np.eye(len(counts)) / np.maximum(counts, 1), counts, axis=1)
        own -= own.sum(axis=0) / self._members
        weights = (own - off_average(self._crossed, self._sizes).T) / self.strength
        return weights, weights @ self._centre

    def axes(self) -> tuple[Matrix, Matrix]:
        """See `Scatter`; for the plain inner product only."""
        weights, centre = self.coefficients()
        if self._prior is None:
            return weights @ self._space.rows, centre
        origin = self._prior.origin
        solved = weights @ (self._space.rows - origin)
        return solved, centre + solved @ origin
