"""Which examples are looked at: all of a small store, some of each class of a large one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import MARK, UNIT, Examples, Snapshot

__all__ = ["Index", "even", "nearest_classes", "part", "quota", "sample"]

Index = NDArray[np.intp]


def quota(counts: NDArray[np.int64], most: int) -> int:
    """Examples that are taken of a class, so that all classes together give `most` at most.

    At least one is taken of each, so that many classes give more.

    >>> quota(np.array([2, 10, 10]), 12)
    5
    """
    low, high = 1, max(int(counts.max(initial=1)), 1)
    while low < high:
        middle = (low + high + 1) // 2
        if np.minimum(counts, middle).sum() <= most:
            low = middle
        else:
            high = middle - 1
    return low


def sample(snapshot: Snapshot, most: int, classes: Index, first: Index | None = None) -> Index:
    """Rows of some classes, ascending: `most` of all together, as evenly as classes allow.

    Args:
        snapshot: The examples.
        most: How many at most; more only where there are more classes.
        classes: The classes to take, ascending.
        first: Rows that are taken before others of their class.
    """
    each = quota(snapshot.counts[classes], most)
    ends = np.cumsum(snapshot.counts)
    taken = [np.zeros(0, np.intp)]
    for c in classes:
        rows = np.arange(ends[c] - snapshot.counts[c], ends[c])
        if len(rows) > each and first is not None:
            new = even(first[(first >= rows[0]) & (first <= rows[-1])], each)
            rows = np.concatenate([new, even(np.setdiff1d(rows, new), each - len(new))])
        taken.append(np.sort(even(rows, each)))
    return np.concatenate(taken).astype(np.intp)


def even(rows: Index, most: int) -> Index:
    """At most so many of some rows, evenly spaced."""
    if len(rows) <= most:
        return rows
    return rows[np.arange(most) * len(rows) // max(most, 1)]


def nearest_classes(snapshot: Snapshot, classes: Index, most: int) -> Index:
    """These classes and those whose means are nearest to theirs, ascending, `most` at most."""
    if len(snapshot.labels) <= most:
        return np.arange(len(snapshot.labels))
    classes = even(classes, most // 2)
    here = directions(snapshot, classes)
    closest = np.empty(len(snapshot.labels))
    for start in range(0, len(closest), 256):
        some = np.arange(start, min(start + 256, len(closest)))
        closest[some] = (directions(snapshot, some) @ here.T).max(axis=1, initial=-1.0)
    closest[classes] = np.inf
    return np.sort(np.argsort(-closest, kind="stable")[:most])


def directions(snapshot: Snapshot, classes: Index) -> NDArray[np.float64]:
    """`(k, d)` means of classes at unit length."""
    sums = snapshot.sums_of(classes) / UNIT
    length = np.sqrt(np.einsum("ij,ij->i", sums, sums))[:, np.newaxis]
    return np.asarray(sums / np.maximum(length, 1e-9))


def part(snapshot: Snapshot, rows: Index) -> Snapshot:
    """A snapshot of some rows, ascending, in the same order and with the same marks."""
    examples = Examples(snapshot.dim)
    features = snapshot.some(rows)
    classes = snapshot.statistics()
    starts = np.cumsum(snapshot.counts) - snapshot.counts
    y = snapshot.y[rows]
    for c in np.unique(y):
        label, marks, _ = classes[c]
        at = np.flatnonzero(y == c)
        own = [marks[MARK * i : MARK * (i + 1)] for i in rows[at] - starts[c]]
        examples.add(label, features[at], own)
    return examples.snapshot()
