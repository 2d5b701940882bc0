"""Whether a picture is known at all, whoever it is: familiarity, and a threshold for each class.

The head's probabilities say which class a picture is of, if it is of one. This says how likely it
is that it is of that class rather than of none. See docs/strangers.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import exp

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import UNIT, Background, Snapshot
from edgeinc.heads.evidence import Evidence
from edgeinc.heads.levels import Numbers, sigmoid
from edgeinc.heads.means import Means, chunks

__all__ = ["ClassSimilarity"]


class ClassSimilarity:
    """How familiar pictures are: "do I know it at all", whoever it is.

    Familiarity is the probability that a picture is of the class rather than of none, where
    either is as likely: against pictures of anything, and against others of the same kind as the
    classes. `1 / familiarity - 1` is the sum of the odds against it of these two.

    Attributes:
        labels: C labels in canonical order. Negatives are no class, but say what strangers reach.
        proto: The class means, and before them that of the negatives, if there are any.
    """

    def __init__(self, snapshot: Snapshot, background: Background | None = None) -> None:
        """Measure a snapshot; `background` as for `Proto`."""
        self._means = Means(snapshot, background)
        self.proto, self.labels = self._means.proto, self._means.labels
        self._column = {label: c for c, label in enumerate(self.labels)}
        self._snapshot = self._means.snapshot
        kin = self._means.of_kind(background)
        self._evidence = (Evidence(self._means, narrow=False), Evidence(kin, narrow=True))

    def release(self) -> None:
        """Let go of rows that were looked at; they are looked at again when asked for."""
        self._snapshot.release()

    @cached_property
    def thresholds(self) -> Numbers:
        """`(C,)` the least familiarity at which a picture is taken for known, 0 to 1."""
        return joined([e.scale.threshold for e in self._evidence])

    def threshold_of(self, label: str) -> float:
        """The same of one class."""
        return float(self.thresholds[self._column[label]])

    def threshold(self, count: int, total: NDArray[np.int64]) -> float:
        """The same for a class that the snapshot has not, from its count and its sum `(d,)`."""
        return float(joined([e.scale_of(count, total).threshold for e in self._evidence])[0])

    def familiarity(self, features: NDArray[np.int16], columns: NDArray[np.intp]) -> Numbers:
        """Familiarity `(n,)`, 0 to 1, of `(n, d)` int16 features to the classes of columns."""
        means = self._means.mean(columns)
        odds = [e.odds(e.closeness.to_means(features, means), columns) for e in self._evidence]
        return joined(odds)

    def to_class(self, features: NDArray[np.int16], label: str) -> float:
        """Familiarity of one `(1, d)` int16 feature to one class, without the others."""
        column = self._column[label]
        row = self._evidence[0].closeness.off(features)[0]
        odds = [e.odds_of(e.closeness.to_column(row, column), column) for e in self._evidence]
        # As `joined`; beyond these bounds it is 0 all the same.
        return 1.0 / (1.0 + sum(exp(min(-one, 700.0)) for one in odds))

    def to_sum(self, features: NDArray[np.int16], count: int, total: NDArray[np.int64]) -> float:
        """The same to a class that the snapshot has not, from its count and its sum `(d,)`."""
        mean = (total / (UNIT * count) - self._means.metric.centre).astype(np.float32)[np.newaxis]
        odds = []
        for evidence in self._evidence:
            scale = evidence.scale_of(count, total)
            closeness = evidence.closeness.to_means(features, mean)
            odds.append(scale.slope * (closeness - scale.middle))
        return float(joined(odds)[0])

    def held_out(self, index: NDArray[np.intp], columns: NDArray[np.intp]) -> Numbers:
        """Familiarity `(m,)` of rows to the classes of columns, to their own without them.

        `index` counts the rows of classes, in canonical order; a row that is the only one of its
        class has none without it, and is judged by a closeness of 0.
        """
        parts = [np.zeros(0)]
        for at in chunks(np.arange(len(index))):
            rows, taken = index[at], columns[at]
            found = self.familiarity(self._snapshot.some(rows), taken)
            mine = np.flatnonzero(self._snapshot.y[rows] == taken)
            own = [e.odds(e.closeness.own(rows[mine]), taken[mine]) for e in self._evidence]
            found[mine] = joined(own)
            parts.append(found)
        return np.concatenate(parts)


def joined(odds: Sequence[Numbers]) -> Numbers:
    """Probability against several alternatives from the log-odds against each."""
    return sigmoid(-np.logaddexp(-odds[0], -odds[1]))
