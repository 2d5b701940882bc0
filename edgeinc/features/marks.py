"""Marks: what examples are told apart and ordered by; and sums in few bytes."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CONTENT", "MARK", "content_of", "find", "narrow"]

MARK = 32
"""Bytes of a mark: 16 that belong to an example's content, then 16 that belong to it alone."""

CONTENT = 16


def content_of(row: NDArray[np.int16]) -> bytes:
    """The first half of a mark where nobody gives another: a digest of the feature `(d,)`."""
    return hashlib.blake2b(row.astype("<i2").tobytes(), digest_size=CONTENT).digest()


def find(marks: bytes, mark: bytes, low: int) -> int:
    """The first place, from `low` on, of sorted marks at which a mark is not less.

    >>> find(b"a" * 32 + b"c" * 32, b"b" * 32, 0)
    1
    """
    high = len(marks) // MARK
    while low < high:
        middle = (low + high) // 2
        if marks[MARK * middle : MARK * (middle + 1)] < mark:
            low = middle + 1
        else:
            high = middle
    return low


def narrow(total: NDArray[Any]) -> NDArray[np.int32] | NDArray[np.int64]:
    """A sum of integers in four bytes a value where they hold it: of up to 65,538 rows at least."""
    fits = bool(np.abs(total).max(initial=0) <= np.iinfo(np.int32).max)
    return total.astype(np.int32) if fits else total.astype(np.int64, copy=False)
