"""From the integers of a backbone to a unit vector in fixed point."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinc.errors import InputError

__all__ = ["UNIT", "to_features"]

UNIT = 32767
"""The integer that stands for 1.0 in a feature."""


def to_features(embeddings: NDArray[Any], *, nonnegative: bool) -> NDArray[np.int16]:
    """Map integer embeddings to fixed-point features of unit length.

    A non-negative embedding is square-rooted element by element (Tukey's ladder, power 0.5)
    and brought to unit length; because the squared length of `sqrt(x)` is the sum of `x`, an
    exact integer, the whole map is `round(UNIT * sqrt(x / sum(x)))`. A signed embedding is only
    brought to unit length: `round(UNIT * x / sqrt(sum(x * x)))`. Every step is an exact integer
    operation or one correctly rounded IEEE 754 operation in float64, so the result is the same
    on every processor. The scale of the embedding cancels.

    Args:
        embeddings: `(n, d)` integers with the zero point subtracted, at most 16 bits wide
            (uint8 or int16), d at most 2**22.
        nonnegative: True when the backbone never puts out a negative value.

    Returns:
        `(n, d)` int16; a row of zeros stays a row of zeros.

    Raises:
        InputError: Not two-dimensional, not such integers, or negative where none may be.

    >>> to_features(np.array([[0, 1, 3]], np.uint8), nonnegative=True)
    array([[    0, 16384, 28377]], dtype=int16)
    >>> to_features(np.array([[0, -3, 4]], np.int16), nonnegative=False)
    array([[     0, -19660,  26214]], dtype=int16)
    """
    if embeddings.ndim != 2 or embeddings.dtype.kind not in "iu" or embeddings.dtype.itemsize > 2:
        raise InputError(
            "Embeddings must be a two-dimensional array of uint8 or int16, not "
            f"{embeddings.ndim}-dimensional {embeddings.dtype}; pass the backbone's own integers."
        )
    x = embeddings.astype(np.float64)
    if nonnegative:
        if embeddings.dtype.kind == "i" and embeddings.size and embeddings.min() < 0:
            raise InputError(
                "A negative value in an embedding declared non-negative; correct `nonnegative` "
                "in the backbone's card."
            )
        # Sums of integers below 2**53 are exact in float64, in any order.
        total = x.sum(axis=1, keepdims=True)
        x /= np.maximum(total, 1.0)
        np.sqrt(x, out=x)
        x *= UNIT
    else:
        length = np.sqrt(np.einsum("ij,ij->i", x, x))[:, np.newaxis]
        x *= UNIT
        x /= np.maximum(length, 1.0)
    return np.rint(x, out=x).astype(np.int16)
