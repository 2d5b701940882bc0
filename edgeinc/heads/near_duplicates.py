"""Examples that are nearly one picture: frames that a camera took one after another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import UNIT, Snapshot
from edgeinc.heads.base import CLASSES
from edgeinc.heads.levels import Numbers

__all__ = ["ALONE", "UNSEEN", "NearDuplicates", "near_duplicates"]

JOINED = 0.6
"""Mean cosine from which on examples of a class are nearly one picture, as a share of the way to 1
from that of pictures of two classes."""

ROWS = 1024
"""Examples that are looked at at most, of all classes."""

EACH = 64
"""Examples of one class that are looked at at most."""

LEAST = 4
"""Of each class at least as many: of thousands of classes not all are looked at."""

ALONE, UNSEEN = -1, -2

GONE = -2.0
"""In place of the cosines of what has been joined."""


class NearDuplicates(NamedTuple):
    """Which examples are nearly one picture, in the classes that have such.

    Attributes:
        columns: `(k,)` these classes.
        counts: `(k,)` how many different pictures there are among those that were looked at.
        sums: `(k, d)` int64 sums of these, each as long as a feature.
        shots: `(k,)` how many there are among all examples of each, as far as these tell.
        groups: `(n,)` the group that an example is nearly one picture with; `ALONE`, or `UNSEEN`
            where a class has more examples than are looked at.
        means: `(g, d)` float32 mean feature of each group.
        sizes: `(g,)` its examples, as far as those that were looked at tell.
    """

    columns: NDArray[np.intp]
    counts: Numbers
    sums: NDArray[np.int64]
    shots: Numbers
    groups: NDArray[np.intp]
    means: NDArray[np.float32]
    sizes: Numbers

    def size(self, index: NDArray[np.intp]) -> Numbers:
        """How many examples `(m,)` are nearly one picture with each of some, itself too."""
        result = np.ones(len(index))
        grouped = self.groups[index] >= 0
        result[grouped] = self.sizes[self.groups[index[grouped]]]
        return result


def near_duplicates(
    snapshot: Snapshot, centre: NDArray[np.float32], between: float, pairs: Numbers
) -> NearDuplicates:
    """Finds examples that are nearly one picture.

    Args:
        snapshot: Examples of classes.
        centre: `(d,)` what angles are measured at.
        between: Mean cosine there of pictures of two classes, below 1.
        pairs: `(C,)` that of two examples of each class.
    """
    groups = np.full(snapshot.total, ALONE)
    columns: list[int] = []
    counts: list[int] = []
    shots: list[float] = []
    sums: list[NDArray[np.int64]] = []
    means = [np.zeros((0, snapshot.dim), np.float32)]
    sizes = [np.zeros(0)]
    met = 0
    least = JOINED + (1.0 - JOINED) * between
    for column, index, rows, cosines in _looked_at(snapshot, centre, pairs):
        if cosines.max() < least:
            continue
        members = _members(cosines, least)
        size = members.sum(axis=1)
        mean = members @ rows / size[:, np.newaxis]
        lengths = np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-9)
        total = (mean * (UNIT / lengths)).sum(axis=0, dtype=np.float64)
        columns.append(column)
        counts.append(len(members))
        sums.append(np.rint(total).astype(np.int64))
        count, start, several = int(snapshot.counts[column]), int(index[0]), size > 1
        each = count / len(index)
        # Of a moment there are more frames among the others, of what is alone more pictures.
        shots.append(float(several.sum() + each * (~several).sum()))
        groups[start : start + count] = UNSEEN if len(index) < count else ALONE
        number = np.where(several, met + np.cumsum(several) - 1, ALONE)
        groups[index] = number[members.argmax(axis=0)]
        met += int(several.sum())
        means.append(mean[several])
        sizes.append(size[several] * each)
    return NearDuplicates(
        np.array(columns, np.intp),
        np.array(counts, np.float64),
        np.array(sums, np.int64).reshape(-1, snapshot.dim),
        np.array(shots, np.float64),
        groups,
        np.concatenate(means),
        np.concatenate(sizes),
    )


def _looked_at(
    snapshot: Snapshot, centre: NDArray[np.float32], pairs: Numbers
) -> Iterator[tuple[int, NDArray[np.intp], NDArray[np.float32], NDArray[np.float32]]]:
    """Classes of several examples: column, index `(m,)` and rows `(m, d)` of what is looked at.

    And the cosines of any two, `(m, m)`, below -1 for each with itself.
    """
    most = max(LEAST, min(EACH, ROWS // max(len(snapshot.labels), 1)))
    starts = np.cumsum(snapshot.counts) - snapshot.counts
    several = np.flatnonzero(snapshot.counts > 1)
    # Where not all can be looked at, those whose examples are most alike.
    several = np.sort(several[np.argsort(-pairs[several], kind="stable")[: ROWS // most]])
    # Many classes are read at once, where rows lie in a store.
    for first in range(0, len(several), CLASSES):
        part = several[first : first + CLASSES]
        bounds = zip(starts[part].tolist(), snapshot.counts[part].tolist(), strict=True)
        indices = [at + _spread(count, min(count, most)) for at, count in bounds]
        rows = snapshot.some(np.concatenate(indices)).astype(np.float32)
        off = rows - UNIT * centre
        off /= np.maximum(np.linalg.norm(off, axis=1, keepdims=True), 1e-9)
        ends = np.cumsum([len(index) for index in indices])
        for column, index, end in zip(part.tolist(), indices, ends.tolist(), strict=True):
            at = slice(end - len(index), end)
            cosines = off[at] @ off[at].T
            np.fill_diagonal(cosines, GONE)
            yield column, index, rows[at], cosines


def _spread(count: int, most: int) -> NDArray[np.intp]:
    """So many of the numbers below `count`, evenly spaced, from 0 on."""
    return np.arange(most) * count // most


def _members(near: NDArray[np.float32], least: float) -> NDArray[np.float32]:
    """Which of m rows are of each of k groups, by their cosines: `(k, m)`, 1 or 0.

    The two groups that are most alike are joined, one by one, while the mean cosine of their rows
    is `least` or more (average linkage, Sokal & Michener 1958).
    """
    members, sizes = np.eye(len(near), dtype=np.float32), np.ones(len(near), np.float32)
    while True:
        one, other = divmod(int(near.argmax()), len(near))
        if near[one, other] < least:
            return members[sizes > 0]
        both = (sizes[one] * near[one] + sizes[other] * near[other]) / (sizes[one] + sizes[other])
        both[near[one] < -1.0] = GONE
        near[one] = near[:, one] = both
        near[one, one] = near[other] = near[:, other] = GONE
        members[one] += members[other]
        sizes[one], sizes[other] = sizes[one] + sizes[other], 0.0
