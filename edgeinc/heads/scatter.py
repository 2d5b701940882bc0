"""Inner products in the metric of an inverse scatter matrix, by the cheaper of two routes.

For rows V, each an example off the mean of its group, `P = (V'V + strength * I)^-1`. Heads need
`<a, b> = a'Pb` between rows v of V and the class means g, taken off the mean c of the class
means. With fewer examples than dimensions, or with a kernel in place of the inner product, only
an n x n matrix is inverted: `P = (I - V'BV) / strength`, `B = (VV' + strength * I)^-1`
(push-through identity). Otherwise it is d x d and no row is needed but those held out.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgeinc.heads.space import Matrix, Sizes, Space, averages, inverse, off_average

CHUNK = 2048
"""Rows that are widened to float64 at a time where there may be very many."""


class Scatter(Protocol):
    """What both routes answer.

    Attributes:
        strength: The ridge, in the unit of a squared feature.
        lengths: `(C,)` `<g, g>` of each class.
        filled: `trace(P V'V)`, the degrees of freedom that the data fill.
    """

    strength: float
    lengths: Matrix
    filled: float

    def crossed(self, index: NDArray[np.intp]) -> Matrix:
        """`<v, g>` `(m, C)` of some rows of V and all classes."""
        ...

    def paired(self, y: NDArray[np.intp]) -> Matrix:
        """`<g_y, g>` `(m, C)` of some classes and all classes."""
        ...

    def mixed(self, weights: Matrix) -> Matrix:
        """`<g, w>` `(C,)` of all classes and `w`, the sum of `weights` `(C,)` times g."""
        ...

    def leverage(self, index: NDArray[np.intp]) -> Matrix:
        """`<v, v>` `(m,)` of some rows, 0 to 1."""
        ...

    def squared(self, index: NDArray[np.intp]) -> Matrix:
        """`v'PPv` `(m,)` of some rows."""
        ...

    def axes(self) -> tuple[Matrix, Matrix]:
        """`P g` `(C, d)` and `c'P g` `(C,)`."""
        ...


class Dual:
    """By pairs of examples; groups are runs of rows with these sizes."""

    def __init__(self, space: Space, sizes: Sizes, strength: float, degree: int = 1) -> None:
        """Invert; costs the cube of n."""
        self.strength = strength
        self._space = space
        self._sizes = sizes
        counts = space.snapshot.counts
        kernel = space.kernel(degree)
        inner = off_average(off_average(kernel, sizes).T, sizes)
        inner[np.diag_indices(len(inner))] += strength
        self._inverse = inverse(inner)
        self._diagonal: Matrix = self._inverse.diagonal().copy()
        # Products of the rows, and of the class means, with the class means off their mean.
        classes = max(len(counts), 1)
        rows_means = averages(kernel, counts).T
        self._centre: Matrix = rows_means.sum(axis=1) / classes
        rows_axes = rows_means - self._centre[:, np.newaxis]
        means_axes = averages(rows_axes, counts)
        axes_axes = means_axes - means_axes.sum(axis=0) / classes
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
        own -= own.sum(axis=0) / max(len(counts), 1)
        weights = (own - off_average(self._crossed, self._sizes).T) / self.strength
        return weights, weights @ self._centre

    def axes(self) -> tuple[Matrix, Matrix]:
        """See `Scatter`; for the plain inner product only."""
        weights, centre = self.coefficients()
        return weights @ self._space.rows, centre


class Primal:
    """By pairs of dimensions, from the exact Gram matrix and the sums."""

    def __init__(self, space: Space, sizes: Sizes, strength: float) -> None:
        """Invert; costs the cube of d."""
        self.strength = strength
        self._space = space
        # The groups are the classes, or one group of all.
        self._group = space.snapshot.y if len(sizes) == len(space.means) else None
        centres = space.means if self._group is not None else space.mean[np.newaxis]
        self._centres: Matrix = centres
        scaled = centres * np.sqrt(sizes)[:, np.newaxis]
        inner = space.gram - scaled.T @ scaled
        inner[np.diag_indices(len(inner))] += strength
        self._inverse = inverse(inner)
        self._centre: Matrix = space.means.mean(axis=0)
        self._axes: Matrix = space.means - self._centre
        self._solved: Matrix = self._axes @ self._inverse
        self.lengths: Matrix = np.einsum("ij,ij->i", self._axes, self._solved)
        self.filled = len(inner) - strength * float(np.trace(self._inverse))

    def crossed(self, index: NDArray[np.intp]) -> Matrix:
        """See `Scatter`."""
        result: Matrix = self._rows(index) @ self._solved.T
        return result

    def paired(self, y: NDArray[np.intp]) -> Matrix:
        """See `Scatter`."""
        result: Matrix = self._axes[y] @ self._solved.T
        return result

    def mixed(self, weights: Matrix) -> Matrix:
        """See `Scatter`."""
        result: Matrix = self._solved @ (weights @ self._axes)
        return result

    def leverage(self, index: NDArray[np.intp]) -> Matrix:
        """See `Scatter`."""
        return self._chunks(index, squared=False)

    def squared(self, index: NDArray[np.intp]) -> Matrix:
        """See `Scatter`."""
        return self._chunks(index, squared=True)

    def axes(self) -> tuple[Matrix, Matrix]:
        """See `Scatter`."""
        return self._solved, self._solved @ self._centre

    def _rows(self, index: NDArray[np.intp]) -> Matrix:
        own = self._centres[0] if self._group is None else self._centres[self._group[index]]
        return self._space.some(index) - own

    def _chunks(self, index: NDArray[np.intp], *, squared: bool) -> Matrix:
        parts = []
        for start in range(0, len(index), CHUNK):
            v = self._rows(index[start : start + CHUNK])
            solved = v @ self._inverse
            parts.append(np.einsum("ij,ij->i", solved, solved if squared else v))
        return np.concatenate([np.zeros(0), *parts])


def scatter(space: Space, sizes: Sizes, strength: float) -> Scatter:
    """The cheaper route for the plain inner product."""
    route = Dual if space.dual() else Primal
    return route(space, sizes, strength)
