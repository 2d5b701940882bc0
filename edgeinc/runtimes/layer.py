"""The last layer of a classifier: rows of integers that turn an embedding into logits."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinc.errors import ModelFormatError

__all__ = ["Layer", "no_classifier"]

_HEAD = struct.Struct("<8sIIi")
_MAGIC = b"edgeincL"
_MOST_CLASSES = 1 << 16
_MOST_BYTES = 1 << 28


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A quantised dense layer behind an embedding, as a network's file has it.

    The logit of class c for the embedding's integers q (zero point taken off) is
    `scale[c] * (bias[c] + sum over i of (rows[c, i] - zero) * q[i])`.

    Attributes:
        rows: `(C, d)` int8; what a file has as uint8 is 128 less here, and `zero` too.
        zero: The integer that stands for a weight of zero.
        bias: `(C,)` int32.
        scale: `(C,)` float64, above zero: the row's scale times the embedding's.
    """

    rows: NDArray[np.int8]
    zero: int
    bias: NDArray[np.int32]
    scale: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        weights: NDArray[np.generic],
        zero: int,
        bias: NDArray[np.int32],
        scale: NDArray[np.float64],
    ) -> Layer:
        """A layer from `(C, d)` uint8 or int8 weights; `scale` `(C,)` or `(1,)`.

        Raises:
            ModelFormatError: The parts do not fit, or no number can come of them.
        """
        if weights.dtype == np.uint8:
            weights = (weights.astype(np.int16) - 128).astype(np.int8)
            zero -= 128
        sound = weights.dtype == np.int8 and weights.ndim == 2 and -128 <= zero <= 127
        classes = len(weights)
        sound = sound and 2 <= classes <= _MOST_CLASSES and 0 < weights.nbytes <= _MOST_BYTES
        sound = sound and bias.shape == (classes,) and scale.shape in ((1,), (classes,))
        if not sound or not bool(np.isfinite(scale).all() and (scale > 0).all()):
            raise no_classifier("its layer is no quantised dense one of two classes or more")
        every = np.broadcast_to(scale, (classes,)).astype("<f8")
        rows = np.ascontiguousarray(weights, np.int8)
        return cls(rows, int(zero), bias.astype("<i4"), every)

    def pack(self) -> bytes:
        """The layer as bytes: the same for the same layer, whatever file it was read from."""
        head = _HEAD.pack(_MAGIC, *self.rows.shape, self.zero)
        return head + self.scale.tobytes() + self.bias.tobytes() + self.rows.tobytes()

    @classmethod
    def unpack(cls, content: bytes) -> Layer:
        """What `pack` gave.

        Raises:
            ModelFormatError: It is something else.
        """
        if len(content) >= _HEAD.size:
            magic, classes, dim, zero = _HEAD.unpack_from(content)
            wanted = _HEAD.size + classes * (8 + 4 + dim)
            if magic == _MAGIC and len(content) == wanted and classes and dim:
                scale = np.frombuffer(content, "<f8", classes, _HEAD.size)
                bias = np.frombuffer(content, "<i4", classes, _HEAD.size + 8 * classes)
                rows = np.frombuffer(content, np.int8, offset=_HEAD.size + 12 * classes)
                return cls.of(rows.reshape(classes, dim), zero, bias, scale)
        raise ModelFormatError("These are no rows of a classifier; make them again.")


def no_classifier(why: str) -> ModelFormatError:
    """The error for a network without a classifier whose rows can be taken out."""
    return ModelFormatError(
        f"There is no classifier of quantised rows behind the embedding: {why}; use the network "
        "without its own classes."
    )
