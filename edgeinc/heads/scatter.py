"""Inverses of regularised scatter matrices, by the cheaper of two routes, and what they give.

For rows V `(n, d)`, each taken off the mean of its group, `P = (V'V + strength * I)^-1`. With
n < d only an n x n matrix is inverted: `P = (I - V'BV) / strength`, `B = (VV' + strength * I)^-1`
(the push-through identity). All else needs no rows but only the exact Gram matrix.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import UNIT, Snapshot

Matrix = NDArray[np.float64]

CHUNK = 2048
"""Rows that are widened to float64 at a time where there may be very many."""

SMALLEST = 1e-3
"""Least variance of an example, on the scale where a feature has length 1."""

BLOCK = 128
"""Size below which LAPACK inverts a matrix as fast as it is divided."""


class Space:
    """A snapshot's rows and their inner products, made once and shared by heads.

    Attributes:
        snapshot: The examples.
        dual: True when there are fewer examples than dimensions.
        mean: `(d,)` mean of all rows, zeros when there is none.
        means: `(C, d)` class means.
        variance: Mean squared distance of an example to `mean`; at least `SMALLEST`.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        """Take the examples to be worked on."""
        self.snapshot = snapshot
        self.dual = snapshot.total < snapshot.dim
        total = max(snapshot.total, 1)
        self.mean: Matrix = snapshot.sums.sum(axis=0) / (UNIT * total)
        self.means: Matrix = snapshot.sums / (UNIT * snapshot.counts[:, np.newaxis])
        spread = self.squares / total - float(self.mean @ self.mean)
        self.variance = max(spread, SMALLEST)

    def rows(self, index: NDArray[np.intp]) -> Matrix:
        """Rows `(m, d)` float64 on the scale where a feature has length 1."""
        return self.snapshot.rows[index].astype(np.float64) / UNIT

    @cached_property
    def all_rows(self) -> Matrix:
        """Every row, `(n, d)` float64; only for the dual route."""
        return self.snapshot.rows.astype(np.float64) / UNIT

    @cached_property
    def products(self) -> Matrix:
        """`XX'` `(n, n)` on the dual route, `X'X` `(d, d)` otherwise."""
        if self.dual:
            wide = self.snapshot.rows.astype(np.float64)
            return (wide @ wide.T) / UNIT**2
        return self.snapshot.gram / UNIT**2

    @cached_property
    def squares(self) -> float:
        """Sum of the rows' squared lengths."""
        return float(np.trace(self.products))


class Inverse:
    """`P = (V'V + strength * I)^-1` for rows taken off the mean of their group.

    Args of the constructor: the space; the groups, as their sizes in the order of the rows (one
    group of n for the total scatter, the class counts for the scatter within classes); and the
    ridge, in the unit of a squared feature.
    """

    def __init__(self, space: Space, sizes: NDArray[np.int64], strength: float) -> None:
        """Invert; the cost is the cube of the smaller of n and d."""
        self._space = space
        self._sizes = sizes
        self.strength = strength
        self._centres = space.means if len(sizes) == len(space.means) else space.mean[np.newaxis]
        self._group = np.repeat(np.arange(len(sizes)), sizes)
        if space.dual:
            inner = centred(space.products, sizes)
        else:
            scaled = self._centres * np.sqrt(sizes)[:, np.newaxis]
            inner = space.products - scaled.T @ scaled
        inner[np.diag_indices(len(inner))] += strength
        self._inverse = inverse(inner)

    def rows(self, index: NDArray[np.intp]) -> Matrix:
        """V's rows `(m, d)`."""
        return self._space.rows(index) - self._centres[self._group[index]]

    def apply(self, vectors: Matrix) -> Matrix:
        """`P v` for each row v of `(k, d)`, as `(k, d)`."""
        if not self._space.dual:
            return vectors @ self._inverse
        v = self._all
        return (vectors - ((vectors @ v.T) @ self._inverse) @ v) / self.strength

    def leverage(self, index: NDArray[np.intp]) -> Matrix:
        """`v'Pv` `(m,)` of V's rows, 0 to 1."""
        if self._space.dual:
            known: Matrix = self._inverse.diagonal()[index]
            return 1.0 - self.strength * known
        parts = [
            np.einsum("ij,ij->i", v @ self._inverse, v)
            for v in map(self.rows, np.split(index, range(CHUNK, len(index), CHUNK)))
        ]
        return np.concatenate(parts)

    def squared(self, index: NDArray[np.intp]) -> Matrix:
        """`v'PPv` `(m,)` of V's rows."""
        if self._space.dual:
            b = self._inverse[index]
            known: Matrix = self._inverse.diagonal()[index]
            known -= self.strength * np.einsum("ij,ij->i", b, b)
            return known
        parts = [
            np.square(v @ self._inverse).sum(axis=1)
            for v in map(self.rows, np.split(index, range(CHUNK, len(index), CHUNK)))
        ]
        return np.concatenate(parts)

    @cached_property
    def trace(self) -> float:
        """Trace of P."""
        known = float(np.trace(self._inverse))
        if self._space.dual:
            return known + (self._space.snapshot.dim - len(self._inverse)) / self.strength
        return known

    @cached_property
    def _all(self) -> Matrix:
        return self._space.all_rows - self._centres[self._group]


def centred(products: Matrix, sizes: NDArray[np.int64]) -> Matrix:
    """Inner products `(n, n)` of rows, each taken off the mean of its (contiguous) group."""
    if not len(products):
        return products.copy()
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    means = np.add.reduceat(products, starts, axis=0) / sizes[:, np.newaxis]
    both = np.add.reduceat(means, starts, axis=1) / sizes
    group = np.repeat(np.arange(len(sizes)), sizes)
    means -= 0.5 * both[:, group]
    result = products - means[group]
    result -= means[group].T
    return result


def inverse(matrix: Matrix) -> Matrix:
    """Inverse of a symmetric positive definite matrix, by halves (Schur complements).

    Nearly all of it is matrix products, three times faster than LAPACK's general inverse, which
    is the only one that numpy offers.
    """
    n = len(matrix)
    if n <= BLOCK:
        return np.linalg.inv(matrix).astype(np.float64, copy=False)
    half = n // 2
    first = inverse(matrix[:half, :half])
    across = first @ matrix[:half, half:]
    last = inverse(matrix[half:, half:] - matrix[half:, :half] @ across)
    corner = across @ last
    result = np.empty_like(matrix)
    result[:half, :half] = first + corner @ across.T
    result[:half, half:] = -corner
    result[half:, :half] = -corner.T
    result[half:, half:] = last
    return result
