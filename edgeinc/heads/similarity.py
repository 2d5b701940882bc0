"""How close a picture must be to a class's mean to be taken for known."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import UNIT, Background, Snapshot
from edgeinc.heads.base import CLASSES, HELD_OUT
from edgeinc.heads.proto import Proto

PAIR = 0.72
"""Mean cosine between two pictures of one class, where no class has two."""

PAIR_CENTRED = 0.3
"""The same after the background's mean is taken off."""

DEVIATION = 0.05
"""Standard deviation of a picture's cosine to its class's mean, where examples are few."""

DEVIATION_CENTRED = 0.12
"""The same after the background's mean is taken off."""

PAIR_WEIGHT = 4.0
"""Examples beyond the first that the prior mean counts for, for all classes and for each."""

DEVIATION_WEIGHT = 10.0
"""Held-out examples that the prior deviation counts for."""

DEVIATIONS = 2.0
"""How far below what is expected of its own pictures a class's threshold lies."""

FEW = 0.5
"""Share by which that distance grows for one example, halved for two: with few, the mean lies
anywhere. On Tiny-ImageNet classes of one shot, MobileNet V2 accepted 0.84-0.91 of their other
pictures without it and 0.93-0.98 with it."""

CHUNK = 256
"""Rows worked on at a time."""


class ClassSimilarity:
    """How close pictures are to a class's mean: "do I know it at all", whoever it is.

    Attributes:
        proto: The class means, whose cosines these are.
    """

    def __init__(self, snapshot: Snapshot, background: Background | None = None) -> None:
        """Measure a snapshot; `background` as for `Proto`."""
        self.proto = Proto(snapshot, background)
        self._snapshot = snapshot
        self._centred = background is not None

    def cosine(self, features: NDArray[np.int16]) -> NDArray[np.float32]:
        """Cosines `(n, C)` float32 of `(n, d)` int16 features to the class means."""
        return self.proto.scores(features)

    @cached_property
    def held_out(self) -> NDArray[np.bool_]:
        """`(n,)`: False for the only row of its class, which has no mean without it."""
        return np.asarray(self._snapshot.counts[self._snapshot.y] > 1)

    @cached_property
    def loo(self) -> NDArray[np.float32]:
        """`(n,)` cosine of each row to its class's mean without it; 0 where not `held_out`."""
        return self._own(np.arange(self._snapshot.total))

    @cached_property
    def thresholds(self) -> NDArray[np.float64]:
        """`(C,)` the least cosine to a class's mean at which a picture is taken for known.

        If two pictures of a class have the cosine r on average, a picture's cosine to the mean of
        k others is about `r / sqrt(r + (1 - r) / k)`. r comes from the exact sums, drawn towards
        the mean of all classes and that towards a fixed one; the threshold lies
        `DEVIATIONS * (1 + FEW / k)` standard deviations below, by the scatter of the held-out
        rows of all classes together.
        """
        return self._thresholds(self._pairs, self._snapshot.counts.astype(np.float64))

    def threshold(self, count: int, total: NDArray[np.int64]) -> float:
        """The same for a class that the snapshot has not, from its count and its sum `(d,)`."""
        counts = np.array([count], np.float64)
        return float(self._thresholds(self._pair(counts, total[np.newaxis]), counts)[0])

    @cached_property
    def _pairs(self) -> NDArray[np.float64]:
        """`(C,)` mean cosine of two different examples of each class, 0 to 1."""
        snapshot = self._snapshot
        result = np.zeros(len(snapshot.labels))
        for start in range(0, len(result), CLASSES):
            part = slice(start, min(start + CLASSES, len(result)))
            counts = snapshot.counts[part].astype(np.float64)
            result[part] = self._pair(counts, snapshot.sums_of(range(part.start, part.stop)))
        return result

    def _pair(self, counts: NDArray[np.float64], totals: NDArray[np.int64]) -> NDArray[np.float64]:
        # Sums over all rows, and over all pairs of rows, of inner products off the centre.
        sums = totals / UNIT
        centre = self.proto.centre
        squares = counts * (1.0 + centre @ centre) - 2.0 * (sums @ centre)
        sums -= counts[:, np.newaxis] * centre
        pairs = np.einsum("ij,ij->i", sums, sums) - squares
        cosines = pairs / np.maximum((counts - 1.0) * squares, 1e-9)
        return np.asarray(np.clip(cosines, 0.0, 1.0))

    @cached_property
    def _common(self) -> float:
        """Mean cosine of two examples of a class, drawn towards a fixed one."""
        prior = PAIR_CENTRED if self._centred else PAIR
        more = self._snapshot.counts - 1.0
        return float((PAIR_WEIGHT * prior + more @ self._pairs) / (PAIR_WEIGHT + more.sum()))

    @cached_property
    def _deviation(self) -> float:
        """Standard deviation of a held-out picture's cosine to its class's mean."""
        snapshot = self._snapshot
        counts = snapshot.counts.astype(np.float64)
        spread = DEVIATION_CENTRED if self._centred else DEVIATION
        rows = np.flatnonzero(self.held_out)
        rows = rows[:: max(1, -(-len(rows) // HELD_OUT))]
        awaited = expected(self._drawn(self._pairs, counts), counts - 1.0)
        misses = self._own(rows) - awaited[snapshot.y[rows]]
        variance = DEVIATION_WEIGHT * spread**2 + float(misses @ misses)
        return float(np.sqrt(variance / (DEVIATION_WEIGHT + len(rows))))

    def _drawn(
        self, pairs: NDArray[np.float64], counts: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Mean cosine of two examples of each class, drawn towards that of all classes."""
        more = counts - 1.0
        return np.asarray((PAIR_WEIGHT * self._common + more * pairs) / (PAIR_WEIGHT + more))

    def _thresholds(
        self, pairs: NDArray[np.float64], counts: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        awaited = expected(self._drawn(pairs, counts), counts)
        return np.asarray(awaited - DEVIATIONS * (1.0 + FEW / counts) * self._deviation)

    def _own(self, index: NDArray[np.intp]) -> NDArray[np.float32]:
        parts = [self.proto.own(index[i : i + CHUNK]) for i in range(0, len(index), CHUNK)]
        return np.concatenate([np.zeros(0), *parts]).astype(np.float32)


def expected(pair: NDArray[np.float64], count: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosine of a picture to the mean of `count` others, if it is `pair` to each on average."""
    pair = np.maximum(pair, 1e-6)
    return np.asarray(pair / np.sqrt(pair + (1.0 - pair) / np.maximum(count, 1.0)))
