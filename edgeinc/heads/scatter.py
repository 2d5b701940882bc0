"""Inner products in the metric of an inverse scatter matrix, by the cheaper of two routes.

For rows V, each an example off the mean of its group, `P = (V'V + strength * I)^-1`. Heads need
`<a, b> = a'Pb` between rows v of V and the class means g, taken off the mean c of the class
means. With fewer examples than dimensions, or with a kernel in place of the inner product, only
an n x n matrix is inverted: `P = (I - V'BV) / strength`, `B = (VV' + strength * I)^-1`
(push-through identity). Otherwise it is d x d and no row is needed but those held out.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import UNIT
from edgeinc.heads.base import means
from edgeinc.heads.space import Matrix, Sizes, Space, averages, inverse, off_average

PIECE = 128
"""Rows of a product that are worked on at a time. BLAS keeps its threads for the whole of one,
and a prediction on another thread may need them."""

WIDE = 1 << 19
"""Values of all class means up to which they are worked on in float64."""


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

    def axes(self) -> tuple[NDArray[Any], Matrix]:
        """`P g` `(C, d)`, float64 or float32, and `c'P g` `(C,)`."""
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
        """Invert; costs the cube of d, and C times its square."""
        self.strength = strength
        self._space = space
        self._last: tuple[bytes, Matrix] = (b"", np.zeros((2, 0)))
        snapshot = space.snapshot
        classes, dim = len(snapshot.labels), snapshot.dim
        # The groups are the classes, or one group of all.
        self._grouped = len(sizes) == classes
        inner = space.gram.copy()
        if not self._grouped:
            inner -= snapshot.total * np.outer(space.mean, space.mean)
        self._centre: Matrix = np.zeros(dim)
        for part, some in means(snapshot):
            self._centre += some.sum(axis=0)
            if self._grouped:
                scaled = some * np.sqrt(sizes[part, np.newaxis])
                inner -= scaled.T @ scaled
        self._centre /= max(classes, 1)
        inner[np.diag_indices(dim)] += strength
        self._inverse = inverse(inner)
        self.filled = dim - strength * float(np.trace(self._inverse))
        # Four bytes a value where there are very many classes: half the memory and half the time.
        kind = np.float64 if classes * dim <= WIDE else np.float32
        across = self._inverse.astype(kind)
        self._axes = np.empty((classes, dim), kind)
        self._solved = np.empty((classes, dim), kind)
        self.lengths: Matrix = np.zeros(classes)
        for part, some in means(snapshot):
            axes, solved = self._axes[part], self._solved[part]
            axes[:] = some - self._centre
            for start in range(0, len(axes), PIECE):
                piece = slice(start, start + PIECE)
                np.matmul(axes[piece], across, out=solved[piece])
            self.lengths[part] = np.einsum("ij,ij->i", axes, solved, dtype=np.float64)

    def crossed(self, index: NDArray[np.intp]) -> Matrix:
        """See `Scatter`."""
        return self._with_axes(self._rows(index))

    def paired(self, y: NDArray[np.intp]) -> Matrix:
        """See `Scatter`."""
        return self._with_axes(self._axes[y])

    def mixed(self, weights: Matrix) -> Matrix:
        """See `Scatter`."""
        mixture = weights.astype(self._axes.dtype) @ self._axes
        return np.asarray((self._solved @ mixture).astype(np.float64))

    def leverage(self, index: NDArray[np.intp]) -> Matrix:
        """See `Scatter`."""
        return self._by_inverse(index)[0]

    def squared(self, index: NDArray[np.intp]) -> Matrix:
        """See `Scatter`."""
        return self._by_inverse(index)[1]

    def axes(self) -> tuple[NDArray[Any], Matrix]:
        """See `Scatter`."""
        centre = self._centre.astype(self._solved.dtype)
        return self._solved, (self._solved @ centre).astype(np.float64)

    def _with_axes(self, rows: NDArray[Any]) -> Matrix:
        """`<row, g>` of rows `(m, d)` and all classes, `(m, C)`."""
        result: Matrix = np.empty((len(rows), len(self._solved)))
        rows = rows.astype(self._solved.dtype, copy=False)
        for start in range(0, len(self._solved), PIECE):
            result[:, start : start + PIECE] = rows @ self._solved[start : start + PIECE].T
        return result

    def _rows(self, index: NDArray[np.intp]) -> Matrix:
        rows = self._space.some(index)
        if not self._grouped:
            return rows - self._space.mean
        snapshot = self._space.snapshot
        y = snapshot.y[index]
        return rows - snapshot.sums_of(y) / (UNIT * snapshot.counts[y, np.newaxis])

    def _by_inverse(self, index: NDArray[np.intp]) -> tuple[Matrix, Matrix]:
        """`v'Pv` and `v'PPv` `(m,)` of some rows; both are asked for, of the same ones."""
        key = index.tobytes()
        if self._last[0] != key:
            both = np.empty((2, len(index)))
            for start in range(0, len(index), PIECE):
                v = self._rows(index[start : start + PIECE])
                solved = v @ self._inverse
                both[0, start : start + PIECE] = np.einsum("ij,ij->i", solved, v)
                both[1, start : start + PIECE] = np.einsum("ij,ij->i", solved, solved)
            self._last = key, both
        return self._last[1][0], self._last[1][1]


def scatter(space: Space, sizes: Sizes, strength: float) -> Scatter:
    """The cheaper route for the plain inner product."""
    route = Dual if space.dual() else Primal
    return route(space, sizes, strength)
