"""How far two sets of embeddings of the same pictures are apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["cosines", "nearest", "varies"]

# Of the largest number: below it float32 tells no two numbers apart.
_NOISE = 1e-6


def cosines(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """The cosine of each row of the one with that of the other, `(n,)`.

    A row of zeros is like another row of zeros, and like nothing else.

    >>> cosines(np.array([[3, 4], [0, 0], [0, 0]]), np.array([[6, 8], [0, 0], [1, 0]])).tolist()
    [1.0, 1.0, 0.0]
    """
    x, y = _unit(a), _unit(b)
    empty = ~x.any(axis=1) & ~y.any(axis=1)
    result: NDArray[np.float64] = np.where(empty, 1.0, np.clip((x * y).sum(axis=1), -1.0, 1.0))
    return result


def nearest(rows: NDArray[Any]) -> NDArray[np.intp]:
    """For each row, which other one has the greatest cosine with it, `(n,)`; n is 2 or more.

    >>> nearest(np.array([[1, 0], [0, 1], [9, 1]])).tolist()
    [2, 2, 0]
    """
    unit = _unit(rows)
    alike = unit @ unit.T
    np.fill_diagonal(alike, -np.inf)
    found: NDArray[np.intp] = alike.argmax(axis=1)
    return found


def varies(rows: NDArray[Any]) -> bool:
    """Whether any two rows differ by more than rounding; nothing is told by rows that do not.

    >>> varies(np.zeros((3, 2))), varies(np.ones((3, 2))), varies(np.eye(2))
    (False, False, True)
    """
    apart = np.abs(rows - rows[:1]).max(initial=0)
    return bool(apart > _NOISE * np.abs(rows).max(initial=0))


def _unit(rows: NDArray[Any]) -> NDArray[np.float64]:
    real = rows.astype(np.float64)
    norm = np.sqrt((real * real).sum(axis=1, keepdims=True))
    result: NDArray[np.float64] = real / np.where(norm == 0, 1.0, norm)
    return result
