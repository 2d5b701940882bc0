"""An immutable view of enrolled examples in canonical order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgeinc.features.gram import Gram
from edgeinc.features.marks import CONTENT, MARK

__all__ = ["FETCHED", "ROW", "ClassBlock", "Fetch", "Snapshot", "matrix"]

ROW = np.dtype("<i2")
"""How a row is written as bytes."""

FETCHED = 1024
"""Rows that are fetched at a time."""

Fetch: TypeAlias = Callable[[Sequence[bytes]], NDArray[np.int16]]
"""Rows `(n, d)` by their n marks, from wherever they are kept."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassBlock:
    """The examples of one class: their sorted marks, exact sum and, unless fetched, rows.

    It is replaced, never changed, so views of it may be read from any thread.
    """

    marks: bytes
    total: NDArray[np.int32] | NDArray[np.int64]
    rows: tuple[bytes, ...] | None

    def __len__(self) -> int:
        return len(self.marks) // MARK

    def mark(self, i: int) -> bytes:
        """The i-th mark."""
        return self.marks[MARK * i : MARK * (i + 1)]


def matrix(rows: Sequence[bytes], dim: int) -> NDArray[np.int16]:
    """Rows of bytes as one read-only `(n, d)` int16 array."""
    return np.frombuffer(b"".join(rows), dtype=ROW).reshape(len(rows), dim)


class Snapshot:
    """Enrolled examples at one moment: labels by code point, rows by (label, mark).

    Two snapshots of the same examples are equal in every array, whatever the history. Everything
    but the labels is put together when first asked for; nothing ever changes, so a snapshot may
    be used from another thread while its `Examples` moves on.

    Where rows are not held in memory they are fetched; that fails with whatever the `Fetch`
    raises, such as `SampleNotFoundError` for an example that has been destroyed since.

    Attributes:
        dim: d, the length of a feature.
        labels: C labels, sorted by code point.
    """

    def __init__(
        self,
        dim: int,
        blocks: Sequence[tuple[str, ClassBlock]],
        gram: Gram,
        fetch: Fetch | None = None,
    ) -> None:
        """Take C (label, block) pairs in canonical order and the Gram of all their rows."""
        self.dim = dim
        self.labels = tuple(label for label, _ in blocks)
        self._blocks = tuple(block for _, block in blocks)
        self._gram = gram
        self._fetch = fetch
        # The rows asked for last: a fit asks for the same ones again and again.
        self._last: tuple[bytes, NDArray[np.int16]] = (b"", np.zeros((0, dim), ROW))

    def without(self, label: str) -> Snapshot:
        """The same examples but for those of one class; itself where there is no such class."""
        if label not in self.labels:
            return self
        blocks = [b for b in zip(self.labels, self._blocks, strict=True) if b[0] != label]
        y = self.labels.index(label)
        left = np.flatnonzero(self.y != y)
        gram = Gram(self.dim, lambda: self._batches(left))
        return Snapshot(self.dim, blocks, gram, self._fetch)

    def _batches(self, index: NDArray[np.intp]) -> Iterator[NDArray[np.int16]]:
        """The rows `index`, some at a time."""
        for start in range(0, len(index), FETCHED):
            yield self._some(index[start : start + FETCHED])

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """`(C,)` int64, examples of each class."""
        return np.array([len(block) for block in self._blocks], np.int64)

    @cached_property
    def total(self) -> int:
        """n, the number of examples."""
        return int(self.counts.sum())

    @property
    def sums(self) -> NDArray[np.int64]:
        """`(C, d)` int64, exact sum of the rows of each class; put together at each call."""
        return self.sums_of(range(len(self._blocks)))

    def sums_of(self, classes: Iterable[int]) -> NDArray[np.int64]:
        """`(k, d)` int64, the sums of some classes."""
        totals = [self._blocks[c].total for c in classes]
        return np.stack(totals).astype(np.int64) if totals else np.zeros((0, self.dim), np.int64)

    @cached_property
    def sum(self) -> NDArray[np.int64]:
        """`(d,)` int64, exact sum of all rows."""
        total = np.zeros(self.dim, np.int64)
        for block in self._blocks:
            total += block.total
        return total

    @cached_property
    def rows(self) -> NDArray[np.int16]:
        """`(n, d)` int16, every example's feature; read-only. 2 bytes a value."""
        rows = self._some(np.arange(self.total))
        rows.flags.writeable = False
        return rows

    def some(self, index: NDArray[np.intp]) -> NDArray[np.int16]:
        """`(m, d)` int16, the rows `index` `(m,)`; no others are fetched."""
        if "rows" in self.__dict__:
            return self.rows[index]
        key = index.tobytes()
        last = self._last
        if last[0] != key:
            last = self._last = (key, self._some(index))
        return last[1]

    def release(self) -> None:
        """Let go of rows that were put together; they are again when asked for."""
        self.__dict__.pop("rows", None)
        self._last = (b"", np.zeros((0, self.dim), ROW))

    def statistics(self) -> list[tuple[str, bytes, NDArray[Any]]]:
        """Label, sorted marks and exact sum (int32 or int64) of each class."""
        blocks = zip(self.labels, self._blocks, strict=True)
        return [(label, block.marks, block.total) for label, block in blocks]

    def key(self, i: int) -> str:
        """What the i-th example is known by: the second half of its mark, hexadecimal."""
        c = int(np.searchsorted(self._ends, i, side="right"))
        return self._blocks[c].mark(i - self._start(c))[CONTENT:].hex()

    @property
    def keys(self) -> tuple[str, ...]:
        """The n keys, in the rows' order."""
        return tuple(self.key(i) for i in range(self.total))

    @cached_property
    def y(self) -> NDArray[np.intp]:
        """`(n,)` intp, index into `labels` of each row; ascending."""
        return np.repeat(np.arange(len(self.labels)), self.counts)

    @property
    def gram(self) -> NDArray[np.float64]:
        """`(d, d)` float64, exact sum of the rows' outer products, in units of UNIT squared."""
        return self._gram.value()

    def settle(self) -> None:
        """Compute the Gram if that is due, so that later ones start from it; see `Gram.settle`."""
        self._gram.settle()

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        """`(C,)`, for each class the index of the row after its last."""
        return np.cumsum(self.counts)

    def _start(self, c: int) -> int:
        return int(self._ends[c]) - len(self._blocks[c])

    def _some(self, index: NDArray[np.intp]) -> NDArray[np.int16]:
        held: list[bytes] = []
        wanted: list[bytes] = []
        classes = np.searchsorted(self._ends, index, side="right")
        for i, c in zip(index.tolist(), classes.tolist(), strict=True):
            block, at = self._blocks[c], i - self._start(c)
            if block.rows is None:
                wanted.append(block.mark(at))
            else:
                held.append(block.rows[at])
        if self._fetch is None:
            return matrix(held, self.dim)
        rows = np.empty((len(wanted), self.dim), ROW)
        for start in range(0, len(wanted), FETCHED):
            part = wanted[start : start + FETCHED]
            rows[start : start + len(part)] = self._fetch(part)
        return rows
