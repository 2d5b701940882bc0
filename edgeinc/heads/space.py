"""The inner products of a snapshot's rows, made once and shared by the heads fitted to it."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import UNIT, Snapshot

__all__ = ["Matrix", "Sizes", "Space", "averages", "inverse", "off_average"]

Matrix = NDArray[np.float64]
Sizes = NDArray[np.int64]

SMALLEST = 1e-3
"""Least variance of an example, on the scale where a feature has length 1."""

BLOCK = 128
"""Size below which LAPACK inverts a matrix as fast as it is divided."""


class Space:
    """A snapshot on the scale where a feature has length 1.

    Attributes:
        snapshot: The examples, n of them in C classes.
        mean: `(d,)` mean of all rows; zeros when there is none.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        """Take the examples to be worked on."""
        self.snapshot = snapshot
        self.mean: Matrix = snapshot.sum / (UNIT * max(snapshot.total, 1))

    @cached_property
    def rows(self) -> Matrix:
        """Every row, `(n, d)` float64; for few examples only."""
        return self.snapshot.rows.astype(np.float64) / UNIT

    def some(self, index: NDArray[np.intp]) -> Matrix:
        """Some rows, `(m, d)` float64."""
        return self.snapshot.some(index).astype(np.float64) / UNIT

    @cached_property
    def between(self) -> Matrix:
        """`XX'`, `(n, n)`: products of integers, exact before the one division."""
        wide = self.snapshot.rows.astype(np.float64)
        return np.asarray(wide @ wide.T) / UNIT**2

    @cached_property
    def gram(self) -> Matrix:
        """`X'X`, `(d, d)`."""
        return self.snapshot.gram / UNIT**2

    def kernel(self, degree: int) -> Matrix:
        """`(x'y)**degree` of all pairs of rows, `(n, n)`."""
        return self.between if degree == 1 else self.between**degree

    def variance(self, degree: int = 1) -> float:
        """Mean squared distance of an example to the mean of all, at least `SMALLEST`."""
        n = max(self.snapshot.total, 1)
        if self.dual(degree):
            products = self.kernel(degree)
            spread = float(np.trace(products)) / n - float(products.sum()) / n**2
        else:
            spread = float(np.trace(self.gram)) / n - float(self.mean @ self.mean)
        return max(spread, SMALLEST)

    def dual(self, degree: int = 1) -> bool:
        """True when work goes by pairs of examples, not by pairs of dimensions."""
        return degree > 1 or self.snapshot.total < self.snapshot.dim


def averages(rows: Matrix, sizes: Sizes) -> Matrix:
    """Means `(k, ...)` of runs of rows with these sizes; runs of none are left out."""
    sizes = sizes[sizes > 0]
    if not len(sizes):
        return np.zeros((0, *rows.shape[1:]))
    starts = np.cumsum(sizes) - sizes
    total: Matrix = np.add.reduceat(rows, starts, axis=0)
    total /= sizes[:, np.newaxis]
    return total


def off_average(rows: Matrix, sizes: Sizes) -> Matrix:
    """Rows, each less the mean of its run."""
    return rows - np.repeat(averages(rows, sizes), sizes[sizes > 0], axis=0)


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
