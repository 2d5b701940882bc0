"""Lengths and angles where it is asked whether a picture is known at all."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import Background

__all__ = ["LEADING", "Metric", "Projected"]

SHRINKAGE = 4.0
"""What is added to every variance of the background, in multiples of their mean."""

LEADING = 64
"""Directions of a background that are looked at at most: each is read for every picture, and twice
as many tell strangers no better."""

PLAIN_SPREAD = 0.05
"""Standard deviation of the cosine of two pictures of different things, without a background."""

PLAIN_STRANGERS = 0.62
"""Its mean."""

CENTRED_SPREAD = 0.08
"""Standard deviation after the background's mean is taken off, its variances not being known."""


class Projected(NamedTuple):
    """Rows, and their shares in a metric's leading directions.

    Both are linear: what is made of projected rows is projected, without another product.

    Attributes:
        rows: `(n, d)` float32.
        leading: `(n, k)` float32.
    """

    rows: NDArray[np.float32]
    leading: NDArray[np.float32]

    def less(self, other: Projected) -> Projected:
        """The rows less others, as many or one."""
        return Projected(self.rows - other.rows, self.leading - other.leading)

    def replaced(
        self, index: NDArray[np.intp], others: Projected, taken: NDArray[np.intp]
    ) -> Projected:
        """With the rows `taken` of others in place of the rows `index`."""
        rows, leading = self.rows.copy(), self.leading.copy()
        rows[index], leading[index] = others.rows[taken], others.leading[taken]
        return Projected(rows, leading)

    def times(self, factors: NDArray[np.float32]) -> Projected:
        """The rows times factors `(n, 1)`."""
        return Projected(self.rows * factors, self.leading * factors)


class Metric:
    """Inner products in the metric of `P = (T + s I)^-1`, T the background's covariance.

    Directions in which all pictures differ say little about any class, and are shrunk. The card
    has T's leading directions v_i with their variances; the variance beyond the first `most` of
    them is spread evenly over the others. P is scaled to leave these as they are: it is the
    identity plus `gain_i v_i v_i'`, gain_i from -1 to 0. Without a background it is the plain
    inner product.

    Attributes:
        centre: `(d,)` float64, what is taken off features: the background's mean, or zeros.
        directions: `(k, d)` float32, the v_i.
        gain: `(k,)` float32.
        floor: Variance of the even rest, with what is added.
        share: Mean squared length of the background's pictures off its mean, over the plain one.
        length: The same itself.
        strangers: Mean cosine of two unrelated pictures.
        spread: Standard deviation of it.
    """

    def __init__(self, dim: int, background: Background | None, most: int = LEADING) -> None:
        """For features of length `dim`, by at most so many of a background's directions."""
        self.centre = np.zeros(dim) if background is None else background.mean
        self.directions = np.zeros((0, dim), np.float32)
        variances = values = np.zeros(0)
        if background is not None and len(background.values):
            self.directions, values = background.vectors[:most], background.values
            variances = values[:most]
        total = max(1.0 - float(self.centre @ self.centre), 1e-6)
        others = dim - len(variances)
        even = max(total - float(variances.sum()), 0.0) / max(others, 1)
        added = SHRINKAGE * total / dim
        weights = np.minimum((even + added) / (variances + added), 1.0)
        self.gain = (weights - 1.0).astype(np.float32)
        rest = max(total - float(values.sum()), 0.0) / max(dim - len(values), 1)
        left = np.concatenate(
            [variances * weights, values[most:], np.full(dim - len(values), rest)]
        )
        self.floor = even + added
        self.length = max(float(left.sum()), 1e-6)
        self.share = self.length / total
        self.strangers = PLAIN_STRANGERS if background is None else 0.0
        if len(variances):
            self.spread = float(np.sqrt(left @ left)) / self.length
        else:
            self.spread = PLAIN_SPREAD if background is None else CENTRED_SPREAD

    def project(self, rows: NDArray[np.float32]) -> Projected:
        """Rows `(n, d)` with their shares in the leading directions."""
        return Projected(rows, np.asarray(rows @ self.directions.T))

    def inner(self, one: Projected, other: Projected) -> NDArray[np.float64]:
        """Inner products `(n,)` of rows with others, pair by pair."""
        plain = np.einsum("ij,ij->i", one.rows, other.rows).astype(np.float64)
        return np.asarray(plain + np.einsum("ij,ij->i", one.leading * self.gain, other.leading))

    def squares(self, rows: Projected) -> NDArray[np.float64]:
        """Squared lengths `(n,)` of rows, above 0."""
        return np.maximum(self.inner(rows, rows), 1e-12)
