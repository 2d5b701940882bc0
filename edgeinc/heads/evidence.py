"""From closeness to the odds of being known: what own pictures reach, and what strangers reach."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeinc.heads.base import CELLS, CLASSES, HELD_OUT
from edgeinc.heads.closeness import Closeness
from edgeinc.heads.levels import Numbers, different, expected, greater, greatest, spread_of
from edgeinc.heads.means import Means
from edgeinc.heads.near_duplicates import UNSEEN, NearDuplicates, near_duplicates

__all__ = ["Evidence"]

PAIR = 2.4
"""Mean cosine of two pictures of one class, where no class has two: so many times the metric's
`spread`, beyond its `strangers`."""

DEVIATION = 1.7
"""Standard deviation of a picture's closeness to its class, in multiples of the same, where
examples are few."""

STRANGER_DEVIATION = 1.2
"""The same of strangers' closeness to the class that they are taken for."""

DISTANCE_DEVIATION = 0.25
"""Standard deviation of the squared distances that closeness has a share of."""

PAIR_WEIGHT = 4.0
"""Examples beyond the first that the prior mean counts for, for all classes and for each."""

WEIGHT = 10.0
"""Held-out examples that the prior mean and deviation count for."""

FEW = 0.5
"""Share by which the deviation grows for one example, halved for two: with few, the mean lies
anywhere."""

ACCEPTED = 1.8
"""Deviations below what is expected of its own pictures above which no class's threshold lies:
some 5 to 10 in 100 of them lie farther below."""

REFUSED = 0.84
"""Deviations above what strangers reach with any one class below which no threshold lies, where
the background says what they reach: four in five pictures of nothing in particular lie lower."""

LEAST_SLOPE = 0.5
"""Log-odds for each deviation at least, so that the closer is always the more familiar."""


class Scale(NamedTuple):
    """How closeness becomes log-odds, class by class: `slope * (closeness - middle)`.

    Attributes:
        middle: `(C,)` closeness that own pictures and strangers are equally likely to reach.
        slope: `(C,)`, above 0.
        threshold: `(C,)` log-odds from which on a picture is taken for known.
    """

    middle: Numbers
    slope: Numbers
    threshold: Numbers


class Evidence:
    """What closeness of one sort says about being known.

    Attributes:
        closeness: How close pictures are to the class means.
    """

    def __init__(self, means: Means, *, narrow: bool) -> None:
        """Within the kind of the classes, or among pictures of anything."""
        self.closeness = Closeness(means, narrow=narrow)
        self._metric = means.metric
        self._snapshot = means.snapshot
        self._narrow = narrow

    def odds(self, closeness: NDArray[np.floating], columns: NDArray[np.intp]) -> Numbers:
        """Log-odds `(n,)` by closeness `(n,)` to the classes of these columns."""
        scale = self.scale
        return np.asarray(scale.slope[columns] * (closeness - scale.middle[columns]))

    def odds_of(self, closeness: float, column: int) -> float:
        """The same of one picture and one class."""
        scale = self.scale
        return float(scale.slope[column]) * (closeness - float(scale.middle[column]))

    @cached_property
    def scale(self) -> Scale:
        """How closeness becomes familiarity, for each class.

        What a class's own pictures reach, a with the deviation s, follows from the mean cosine
        of two of its examples, which the exact sums give, drawn towards that of all classes and
        that towards a fixed one; s is the scatter of held-out rows about it. What strangers
        reach, b with the deviation t, is what rows reach with the nearest class that is not
        their own, drawn towards what the background says. As both are told by the class that is
        closest, the greater of both numbers stands for the first. Two normal distributions whose
        deviations are u on average have the log-odds `(a - b) / u^2 (closeness - middle)`; the
        middle is where both go wrong equally often.

        The threshold is the middle, but not so high that more than a few of the own pictures
        were refused, and not so low that most pictures of nothing in particular were known.
        """
        return self._scale(self._pairs, self._shots)

    def scale_of(self, count: int, total: NDArray[np.int64]) -> Scale:
        """The same for a class that the snapshot has not, from its count and its sum `(d,)`."""
        counts = np.array([count], np.float64)
        totals = total[np.newaxis]
        shots = different(self.closeness.alike(counts, totals), counts, self._between)
        return self._scale(self.closeness.pairs(counts, totals), shots)

    @cached_property
    def _pairs(self) -> Numbers:
        """`(C,)` mean cosine of two different examples of each class, 0 to 1."""
        result = self._each(self.closeness.pairs)
        result[self._near.columns] = self.closeness.pairs(self._near.counts, self._near.sums)
        return result

    @cached_property
    def _near(self) -> NearDuplicates:
        """Examples that are nearly one picture."""
        return near_duplicates(self._snapshot, self.closeness.centre, self._between, self._alike)

    @cached_property
    def _alike(self) -> Numbers:
        """`(C,)` mean cosine of two examples of each class outside of the metric, 0 to 1."""
        return self._each(self.closeness.alike)

    def _each(self, cosines: Callable[[Numbers, NDArray[np.int64]], Numbers]) -> Numbers:
        """Something `(C,)` of each class's count and exact sum, some classes at a time."""
        snapshot = self._snapshot
        result = np.zeros(len(snapshot.labels))
        for start in range(0, len(result), CLASSES):
            part = slice(start, min(start + CLASSES, len(result)))
            counts = snapshot.counts[part].astype(np.float64)
            result[part] = cosines(counts, snapshot.sums_of(range(part.start, part.stop)))
        return result

    @cached_property
    def _shots(self) -> Numbers:
        """`(C,)` how many different examples each class has."""
        counts = self._snapshot.counts.astype(np.float64)
        result = different(self._alike, counts, self._between)
        result[self._near.columns] = self._near.shots
        return result

    @property
    def _between(self) -> float:
        """Mean cosine of pictures of two classes: no less than that of unrelated ones."""
        return max(self._metric.strangers, self.closeness.between)

    @cached_property
    def _common(self) -> float:
        """Mean cosine of two examples of a class, drawn towards a fixed one."""
        prior = self._metric.strangers + PAIR * self._metric.spread
        more = self._shots - 1.0
        return float((PAIR_WEIGHT * prior + more @ self._pairs) / (PAIR_WEIGHT + more.sum()))

    def _drawn(self, pairs: Numbers, counts: Numbers) -> Numbers:
        """Mean cosine of two examples of each class, drawn towards that of all classes."""
        more = counts - 1.0
        return np.asarray((PAIR_WEIGHT * self._common + more * pairs) / (PAIR_WEIGHT + more))

    def _awaited(self, pairs: Numbers, counts: Numbers) -> Numbers:
        """Closeness that own pictures reach, with the mean of `counts` others."""
        distance = (1.0 - pairs) * (1.0 + 1.0 / np.maximum(counts, 1.0)) * self.closeness.size
        return np.asarray(expected(pairs, counts) - self.closeness.weight * distance)

    @cached_property
    def _rows(self) -> NDArray[np.intp]:
        """Rows `(m,)` that are looked at: evenly spaced in canonical order where there are many."""
        step = max(1, -(-self._snapshot.total // self._most))
        return np.flatnonzero(self._near.groups[::step] != UNSEEN) * step

    @property
    def _most(self) -> int:
        """Rows of classes, and negatives, that are looked at at most."""
        return max(1, min(HELD_OUT, CELLS // max(len(self._snapshot.labels), 1)))

    @cached_property
    def _usual(self) -> float:
        """Variance of closeness that comes with the distances in it."""
        return (self.closeness.weight * self.closeness.size * DISTANCE_DEVIATION) ** 2

    @cached_property
    def _held_out(self) -> tuple[float, float]:
        """How far above what is awaited held-out pictures' closeness is, and its deviation."""
        counts, y = self._snapshot.counts.astype(np.float64), self._snapshot.y
        # What is left out of a burst of frames would be found again by its like: they all are.
        counts[self._near.columns] = self._near.shots
        rows = self._rows[counts[y[self._rows]] > 1]
        awaited = self._awaited(self._drawn(self._pairs, self._shots), counts - 1.0)
        weights = ((self._shots - 1.0) / np.maximum(counts - 1.0, 1.0))[y[rows]]
        weights /= self._near.size(rows)
        many = WEIGHT + float(weights.sum())
        misses = self.closeness.own(rows, self._near) - awaited[y[rows]]
        shift = float(weights @ misses) / many
        misses -= shift
        variance = WEIGHT * ((DEVIATION * self._metric.spread) ** 2 + self._usual)
        return shift, float(np.sqrt((variance + weights @ misses**2) / many))

    def _unrelated(self, cosine: float, counts: Numbers) -> Numbers:
        """Closeness of pictures that have this cosine to the mean of `counts` of one class."""
        length = spread_of(np.full(len(counts), self._common), counts)
        distance = (1.0 + length - 2.0 * cosine * np.sqrt(length)) * self.closeness.size
        return np.asarray(cosine - self.closeness.weight * distance)

    @cached_property
    def _strangers(self) -> tuple[float, float]:
        """Mean and standard deviation of strangers' closeness to the class they are taken for."""
        snapshot = self._snapshot
        classes = len(snapshot.labels)
        shots = np.array([snapshot.total / max(classes, 1)])
        cosine = float(expected(np.array([self._metric.strangers]), shots)[0])
        cosine += greatest(classes) * self._metric.spread
        reached = np.zeros(0)
        if self._narrow and classes:
            reached = self.closeness.reached(self._rows, self._most)
        prior = WEIGHT * float(self._unrelated(cosine, shots)[0])
        mean = (prior + float(reached.sum())) / (WEIGHT + len(reached))
        variance = WEIGHT * ((STRANGER_DEVIATION * self._metric.spread) ** 2 + self._usual)
        variance += float(np.square(reached - mean).sum())
        return mean, float(np.sqrt(variance / (WEIGHT + len(reached))))

    def _scale(self, pairs: Numbers, counts: Numbers) -> Scale:
        """From mean cosines `(C,)`, and from how many different examples there are."""
        strange, other = self._strangers
        shift, deviation = self._held_out
        own = (1.0 + FEW / counts) * deviation
        # One scale for classes of so many examples: pictures of strangers are closer, too, to
        # classes whose pictures differ little. The threshold is each class's own.
        common = np.full(len(counts), self._common)
        usual, spread = greater(self._awaited(common, counts) + shift, own, strange, other)
        middle = (usual * other + strange * spread) / (spread + other)
        mean = (spread + other) / 2
        slope = np.maximum((usual - strange) / mean, LEAST_SLOPE) / mean
        awaited = self._awaited(self._drawn(pairs, counts), counts) + shift
        awaited, spread = greater(awaited, own, strange, other)
        cosine = float(expected(np.array([self._metric.strangers]), np.ones(1))[0])
        floor = self._unrelated(cosine + REFUSED * self._metric.spread, counts)
        least = np.maximum(np.minimum(middle, awaited - ACCEPTED * spread), floor)
        return Scale(middle, slope, slope * (least - middle))
