"""An immutable view of enrolled examples in canonical order."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

ROW = np.dtype("<i2")
"""How a row is written as bytes: the same on every processor, so that its order is too."""

CHUNK = 4096
"""Rows that are widened to float64 at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassBlock:
    """The examples of one class: `(row bytes, key)` in sorted order, and their exact sum.

    It is replaced, never changed, so views of it may be read from any thread.
    """

    entries: tuple[tuple[bytes, str], ...]
    total: NDArray[np.int64]


class Gram:
    """`sum over rows of x x'` as float64, exact, computed when first asked for, by any thread.

    Products of two features are below 2**30, so float64 sums over up to 2**23 rows are exact in
    any order and on any processor. Where a former Gram has been computed, only the rows that
    came and went since are multiplied.
    """

    def __init__(
        self,
        dim: int,
        blocks: Sequence[ClassBlock] = (),
        *,
        base: Gram | None = None,
        added: Sequence[bytes] = (),
        removed: Sequence[bytes] = (),
    ) -> None:
        """Take the rows of `blocks`, or a former Gram and what changed since."""
        self.dim = dim
        self._lock = threading.Lock()
        self._parts = (tuple(blocks), base, tuple(added), tuple(removed))
        self._value: NDArray[np.float64] | None = None

    @property
    def known(self) -> bool:
        """True once it has been computed."""
        return self._value is not None

    def value(self) -> NDArray[np.float64]:
        """The `(d, d)` float64 matrix, read-only."""
        with self._lock:
            if self._value is None:
                blocks, base, added, removed = self._parts
                total = np.zeros((self.dim, self.dim)) if base is None else base.value().copy()
                accumulate(total, [row for block in blocks for row, _ in block.entries], 1)
                accumulate(total, added, 1)
                accumulate(total, removed, -1)
                total.flags.writeable = False
                self._value = total
                # The rows and the former Gram are done with: let go of them.
                self._parts = ((), None, (), ())
            return self._value


def accumulate(total: NDArray[np.float64], rows: Sequence[bytes], sign: int) -> None:
    """Add `sign` times `X' X` of the rows to the `(d, d)` float64 matrix, in place, exactly."""
    for start in range(0, len(rows), CHUNK):
        x = matrix(rows[start : start + CHUNK], len(total)).astype(np.float64)
        total += sign * (x.T @ x)


def matrix(rows: Sequence[bytes], dim: int) -> NDArray[np.int16]:
    """Rows of bytes as one read-only `(n, d)` int16 array."""
    return np.frombuffer(b"".join(rows), dtype=ROW).reshape(len(rows), dim)


class Snapshot:
    """Enrolled examples at one moment: labels by code point, rows by (label, content, key).

    Two snapshots of the same examples are equal in every array, whatever the history. Everything
    but the labels is put together when first asked for; nothing ever changes, so a snapshot may
    be used from another thread while its `Examples` moves on.

    Attributes:
        dim: d, the length of a feature.
        labels: C labels, sorted by code point.
    """

    def __init__(self, dim: int, blocks: Sequence[tuple[str, ClassBlock]], gram: Gram) -> None:
        """Take C (label, block) pairs in canonical order and the Gram of all their rows."""
        self.dim = dim
        self.labels = tuple(label for label, _ in blocks)
        self._blocks = tuple(block for _, block in blocks)
        self._gram = gram

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """`(C,)` int64, examples of each class."""
        return np.array([len(block.entries) for block in self._blocks], np.int64)

    @property
    def total(self) -> int:
        """n, the number of examples."""
        return int(self.counts.sum())

    @cached_property
    def sums(self) -> NDArray[np.int64]:
        """`(C, d)` int64, exact sum of the rows of each class."""
        if not self._blocks:
            return np.zeros((0, self.dim), np.int64)
        return np.stack([block.total for block in self._blocks])

    @cached_property
    def rows(self) -> NDArray[np.int16]:
        """`(n, d)` int16, every example's feature; read-only."""
        return matrix([row for block in self._blocks for row, _ in block.entries], self.dim)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The n keys given with the rows, in the rows' order."""
        return tuple(key for block in self._blocks for _, key in block.entries)

    @cached_property
    def y(self) -> NDArray[np.intp]:
        """`(n,)` intp, index into `labels` of each row; ascending."""
        return np.repeat(np.arange(len(self.labels)), self.counts)

    @property
    def gram(self) -> NDArray[np.float64]:
        """`(d, d)` float64, exact sum of the rows' outer products, in units of UNIT squared."""
        return self._gram.value()
