"""Examples that add nothing, because another of their class is nearly the same."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edgeinc.features import UNIT, Snapshot
from edgeinc.review.sample import Index

__all__ = ["Near", "twins"]

SAME = 0.96
"""Cosine from which on two examples are nearly the same, however alike their class is. Of 800
pictures of 40 Tiny-ImageNet classes, no two of a class came so near, with MobileNet V2 (0.875 at
most) or pebble (0.955)."""

SHARE = 0.4
"""The same as a distance, 1 less the cosine, over the class's median distance to the nearest
example. It catches copies by backbones that spread pictures far."""

SOME = 8
"""Examples from which on that median is worth something."""


class Near(NamedTuple):
    """A row, the nearest of its class, and their cosine."""

    row: int
    other: int
    cosine: float


def twins(snapshot: Snapshot, rows: Index, new: Index | None = None) -> list[Near]:
    """Of rows of one class those that are nearly another of them, nearest first.

    Of two that are nearest to each other only the later one is named, or the new one.

    Args:
        snapshot: The examples.
        rows: `(m,)` rows of one class; costs their square.
        new: Only these are looked at; all by default.
    """
    if len(rows) < 2:
        return []
    wide = snapshot.some(rows).astype(np.float32)
    wide /= UNIT
    cosines = wide @ wide.T
    np.fill_diagonal(cosines, -1.0)
    nearest = cosines.argmax(axis=1)
    best = cosines[np.arange(len(rows)), nearest]
    bound = SAME
    if len(rows) >= SOME:
        bound = min(bound, 1.0 - SHARE * max(0.0, 1.0 - float(np.median(best))))
    fresh = np.ones(len(rows), bool) if new is None else np.isin(rows, new)
    found = []
    for i in np.flatnonzero(fresh & (best >= bound)):
        j = int(nearest[i])
        mutual = nearest[j] == i and fresh[j]
        if not (mutual and i < j):
            found.append(Near(int(rows[i]), int(rows[j]), min(float(best[i]), 1.0)))
    return sorted(found, key=lambda near: (-near.cosine, near.row))
