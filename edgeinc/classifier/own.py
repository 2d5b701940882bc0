"""What the backbone's own classifier says of an embedding: exact, whatever is enrolled."""

from __future__ import annotations

from collections.abc import Container, Sequence

import numpy as np
from numpy.typing import NDArray

from edgeinc.runtimes.layer import Layer

__all__ = ["OwnClasses"]

BLOCK = 512
"""Values of an embedding that are multiplied at a time. Integers up to 255 times integers up to
128, 512 of them, stay below 2**24: float32 holds every sum of them exactly, in any order."""


class OwnClasses:
    """The rows of a classifier. Immutable; threads may share one.

    Attributes:
        labels: C names, in the network's order; two classes may have one name.
    """

    def __init__(self, layer: Layer, labels: Sequence[str]) -> None:
        """Take a layer and the C names of its rows."""
        self.labels = tuple(labels)
        self._scale, self._zero = layer.scale, layer.zero
        self._bias = layer.bias.astype(np.float64)
        self._rows = layer.rows
        classes, self._dim = layer.rows.shape
        count = -(-self._dim // BLOCK)
        wide = -(-self._dim // count)
        padded = np.zeros((classes, count * wide), np.float32)
        padded[:, : self._dim] = layer.rows
        blocks = padded.reshape(classes, count, wide).transpose(1, 0, 2)
        self._blocks = np.ascontiguousarray(blocks)

    def logits(self, embedding: NDArray[np.generic]) -> NDArray[np.float64]:
        """Logits `(C,)` of one picture.

        They are worked out as one block of fixed shape, from sums of integers that are exact:
        bit for bit the same for the same embedding, on any processor. The network rounds its own
        to a step of its output; these are within half of such a step.

        Args:
            embedding: `(d,)` quantised, zero point taken off, -255 to 255.
        """
        count, _, wide = self._blocks.shape
        padded = np.zeros(count * wide, np.float32)
        padded[: self._dim] = embedding
        parts = np.matmul(self._blocks, padded.reshape(count, wide, 1))
        total = parts[:, :, 0].sum(axis=0, dtype=np.float64)
        total -= self._zero * float(embedding.sum(dtype=np.int64))
        return np.asarray((total + self._bias) * self._scale)

    def logit(self, column: int, embedding: NDArray[np.float64]) -> float:
        """One logit, for an embedding that need not be of whole numbers, `(d,)`."""
        total = self._rows[column].astype(np.float64) @ embedding - self._zero * embedding.sum()
        return float((total + self._bias[column]) * self._scale[column])

    def shadowed(self, enrolled: Container[str]) -> NDArray[np.bool_]:
        """`(C,)`: True for each class whose name is among the enrolled ones."""
        return np.array([label in enrolled for label in self.labels], np.bool_)
