"""Inner products in the metric of an inverse scatter matrix, by pairs of dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import UNIT
from edgeinc.heads.base import means
from edgeinc.heads.prior import Prior
from edgeinc.heads.space import Matrix, Sizes, Space, inverse

__all__ = ["Primal"]

PIECE = 128
"""Rows of a product that are worked on at a time. BLAS keeps its threads for the whole of one,
and a prediction on another thread may need them."""

WIDE = 1 << 19
"""Values of all class means up to which they are worked on in float64."""


class Primal:
    """See `Scatter`; from the exact Gram matrix and the sums."""

    def __init__(
        self, space: Space, sizes: Sizes, strength: float, prior: Prior | None = None
    ) -> None:
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
        members = float(max(classes, 1))
        if prior is not None:
            self._centre += prior.weight * prior.origin
            members += prior.weight
        self._centre /= members
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
        """`leverage` and `squared` `(m,)`; both are asked for, of the same rows."""
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
