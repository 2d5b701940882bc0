"""What a network puts out, as the integers that are stored and summed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinc.cards import Quantization
from edgeinc.errors import InferenceError

__all__ = ["Integers", "dequantize", "pooled", "to_integers", "unit_length"]

Integers = NDArray[np.uint8] | NDArray[np.int16]

FIXED_POINT = 32767


def to_integers(
    output: NDArray[Any], quantization: Quantization | None, nonnegative: bool
) -> Integers:
    """The embedding as integers that stand for real values up to one positive factor.

    A quantised output gives `q - zero_point`: uint8 where the card says that it is never
    negative, else int16. A float output gives each value over the largest magnitude, times
    32767, rounded: int16. The factor cancels in every feature.

    Args:
        output: Of any shape, uint8, int8 or float32; `quantization` None for float32.
        quantization: Of the output.
        nonnegative: The card's word that no value is ever below zero.

    Returns:
        A flat array.

    Raises:
        InferenceError: A float output holds NaN or infinity.

    >>> to_integers(np.array([-128, 0, 127], np.int8), Quantization(0.1, -128), True)
    array([  0, 128, 255], dtype=uint8)
    >>> to_integers(np.array([[0.5, -1.0]], np.float32), None, False)
    array([ 16384, -32767], dtype=int16)
    """
    flat = output.reshape(-1)
    if quantization is None:
        return _fixed_point(flat.astype(np.float64), nonnegative)
    if not nonnegative:
        wide: NDArray[np.int16] = flat.astype(np.int16) - np.int16(quantization.zero_point)
        return wide
    signed = flat.dtype.kind == "i"
    if quantization.zero_point == (-128 if signed else 0):
        # One bit apart from what is wanted; no arithmetic, and no copy for uint8.
        bits: NDArray[np.uint8] = flat.view(np.uint8)
        return bits ^ np.uint8(128) if signed else bits
    shifted = flat.astype(np.int16) - np.int16(quantization.zero_point)
    never: NDArray[np.uint8] = np.maximum(shifted, 0).astype(np.uint8)
    return never


def _fixed_point(real: NDArray[np.float64], nonnegative: bool) -> NDArray[np.int16]:
    if nonnegative:
        real = np.maximum(real, 0)
    most = np.abs(real).max(initial=0.0)
    if not np.isfinite(most):
        raise InferenceError(
            "The network put out NaN or infinity; check the card's normalisation and the weights."
        )
    return np.rint(real * FIXED_POINT / (most or 1.0)).astype(np.int16)


def pooled(rows: Sequence[Integers]) -> Integers:
    """The mean of embeddings `(d,)` of one picture, rounded, halves up; of their type.

    Sums of integers and one exact division: the same on every processor, in any order.

    >>> pooled([np.array([1, 7], np.uint8), np.array([2, 9], np.uint8)])
    array([2, 8], dtype=uint8)
    """
    n = len(rows)
    total = np.stack(rows).sum(axis=0, dtype=np.int64)
    mean: Integers = ((2 * total + n) // (2 * n)).astype(rows[0].dtype)
    return mean


def dequantize(output: NDArray[Any], quantization: Quantization | None) -> NDArray[np.float32]:
    """Real values of an output, in its own shape: `scale * (q - zero_point)`."""
    if quantization is None:
        return output.astype(np.float32)
    shifted = output.astype(np.float32) - np.float32(quantization.zero_point)
    return shifted * np.float32(quantization.scale)


def unit_length(integers: Integers) -> NDArray[np.float32]:
    """Embeddings for a caller: `(n, d)` integers to `(n, d)` float32, each row of L2 norm 1.

    The quantisation's scale cancels. A row of zeros stays zero.

    >>> unit_length(np.array([[3, 4]], np.uint8))
    array([[0.6, 0.8]], dtype=float32)
    """
    real = integers.astype(np.float64)
    norm = np.sqrt((real * real).sum(axis=1, keepdims=True))
    return (real / np.where(norm == 0, 1.0, norm)).astype(np.float32)
