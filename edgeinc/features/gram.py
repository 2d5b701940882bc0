"""The exact sum of the rows' outer products, computed when it is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["SETTLED", "Batches", "Gram", "accumulate"]

CHUNK = 256
"""Rows that are widened to float64 at a time. One product of many more would keep the threads of
BLAS, which a prediction may need, to itself for too long."""

SETTLED = 1024
"""Rows that may have come or gone since a known Gram before the next is computed unasked."""

Batches = Callable[[], Iterator[NDArray[np.int16]]]
"""All rows, some at a time."""


class Gram:
    """`sum over rows of x x'` as float64, exact, computed when first asked for, by any thread.

    Products of two features are below 2**30, so float64 sums over up to 2**23 rows are exact in
    any order and on any processor. Where a former Gram has been computed, only the rows that
    came and went since are multiplied.
    """

    def __init__(
        self,
        dim: int,
        rows: Batches | None = None,
        *,
        base: Gram | None = None,
        added: Sequence[NDArray[np.int16]] = (),
        removed: Sequence[NDArray[np.int16]] = (),
    ) -> None:
        """Take all rows, or a former Gram and what changed since, arrays of `(k, d)` rows."""
        self.dim = dim
        self._lock = threading.Lock()
        self._parts = (rows, base, tuple(added), tuple(removed))
        self._value: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, value: NDArray[np.float64]) -> Gram:
        """One that is known: `(d, d)` float64."""
        gram = cls(len(value))
        value.flags.writeable = False
        gram._value = value
        return gram

    @property
    def known(self) -> bool:
        """True once it has been computed."""
        return self._value is not None

    def value(self) -> NDArray[np.float64]:
        """The `(d, d)` float64 matrix, read-only."""
        with self._lock:
            if self._value is None:
                rows, base, added, removed = self._parts
                total = np.zeros((self.dim, self.dim)) if base is None else base.value().copy()
                for batch in () if rows is None else rows():
                    accumulate(total, batch, 1)
                for batch in _joined(added):
                    accumulate(total, batch, 1)
                for batch in _joined(removed):
                    accumulate(total, batch, -1)
                total.flags.writeable = False
                self._value = total
                # The rows and the former Gram are done with: let go of them.
                self._parts = (None, None, (), ())
            return self._value

    def settle(self) -> None:
        """Compute it where a former one is known and many rows changed since; else leave it.

        Where nobody asks for it the rows would pile up. No row is fetched.
        """
        _, base, added, removed = self._parts
        if base is not None and sum(map(len, (*added, *removed))) >= SETTLED:
            self.value()


def _joined(changes: Iterable[NDArray[np.int16]]) -> Iterator[NDArray[np.int16]]:
    """The same rows, `CHUNK` or more at a time: one row takes as long to add as `CHUNK` do."""
    held: list[NDArray[np.int16]] = []
    many = 0
    for rows in changes:
        held.append(rows)
        many += len(rows)
        if many >= CHUNK:
            yield np.concatenate(held)
            held, many = [], 0
    if held:
        yield np.concatenate(held)


def accumulate(total: NDArray[np.float64], rows: NDArray[np.int16], sign: int) -> None:
    """Add `sign` times `X' X` of `(n, d)` rows to the `(d, d)` matrix, in place, exactly."""
    for start in range(0, len(rows), CHUNK):
        x = rows[start : start + CHUNK].astype(np.float64)
        if sign > 0:
            total += x.T @ x
        else:
            total -= x.T @ x
