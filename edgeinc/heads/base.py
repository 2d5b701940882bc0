"""What every head answers to, and the few steps that they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import UNIT, Snapshot
from edgeinc.heads.temperature import from_held_out

HELD_OUT = 2000
"""Rows that are held out to choose a head and a temperature; no more where there are more."""

CELLS = 4_000_000
"""Scores that are computed for it at most."""


class Scorer(Protocol):
    """A fitted head: immutable, a function of a snapshot's content (and a background) only."""

    @property
    def name(self) -> str:
        """`proto`, `ridge`, `lda` or `knn`."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """C labels in canonical order, the columns of the scores."""
        ...

    @property
    def temperature(self) -> float:
        """Divisor that makes `softmax(scores / temperature)` a probability."""
        ...

    @property
    def loo(self) -> NDArray[np.float32]:
        """Scores `(n, C)` that each of the snapshot's rows would get from a head without it.

        In closed form, computed when first asked for. Where a row is the only one of its class,
        that class's column is -inf: without the row there is no such class.
        """
        ...

    def scores(self, features: NDArray[np.int16]) -> NDArray[np.float32]:
        """Scores `(n, C)` float32 of `(n, d)` int16 features; higher is better, never NaN."""
        ...


class Base(ABC):
    """What the heads have in common: labels, leave-one-out, temperature.

    Attributes:
        name: The head's.
        default: Temperature where examples are too few to tell.
        labels: C labels in canonical order, the columns of the scores.
        snapshot: The examples that it is fitted to.
    """

    name: ClassVar[str]
    default: ClassVar[float]

    def __init__(self, snapshot: Snapshot) -> None:
        """Remember the examples."""
        self.snapshot = snapshot
        self.labels = snapshot.labels

    @abstractmethod
    def scores(self, features: NDArray[np.int16]) -> NDArray[np.float32]:
        """Scores `(n, C)` float32 of `(n, d)` int16 features; higher is better, never NaN."""

    @abstractmethod
    def _without(self, index: NDArray[np.intp]) -> NDArray[np.float64]:
        """Scores `(m, C)` of rows of the snapshot (n at least 2), each from a fit without it.

        The own column of an only row of a class may hold anything.
        """

    def held_out(self, index: NDArray[np.intp]) -> NDArray[np.float32]:
        """The rows `index` `(m,)` of `loo`, `(m, C)` float32."""
        y = self.snapshot.y[index]
        if self.snapshot.total > 1:
            result = self._without(index).astype(np.float32)
        else:
            result = np.zeros((len(index), len(self.labels)), np.float32)
        only = np.flatnonzero(self.snapshot.counts[y] == 1)
        result[only, y[only]] = -np.inf
        return result

    @cached_property
    def loo(self) -> NDArray[np.float32]:
        """See `Scorer`."""
        return self.held_out(np.arange(self.snapshot.total))

    @cached_property
    def sample(self) -> NDArray[np.float32]:
        """`loo` at the rows of `sample_rows(snapshot)`."""
        rows = sample_rows(self.snapshot)
        return self.loo if len(rows) == self.snapshot.total else self.held_out(rows)

    @cached_property
    def temperature(self) -> float:
        """See `Scorer`."""
        rows = sample_rows(self.snapshot)
        counts = self.snapshot.counts[self.snapshot.y[rows]]
        return from_held_out(self.sample, self.snapshot.y[rows], counts, self.default)


def sample_rows(snapshot: Snapshot) -> NDArray[np.intp]:
    """Rows `(m,)` that stand for all in leave-one-out: all, or evenly spaced in canonical order."""
    most = max(1, min(HELD_OUT, CELLS // max(len(snapshot.labels), 1)))
    step = -(-snapshot.total // most)
    return np.arange(0, snapshot.total, max(step, 1))


def product(weights: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """`rows @ weights.T`, `(n, C)`; a single row goes the cheaper way of matrix and vector."""
    if len(rows) == 1:
        return np.asarray(weights @ rows[0])[np.newaxis]
    return np.asarray(rows @ weights.T)


def means(snapshot: Snapshot) -> NDArray[np.float64]:
    """Class means `(C, d)` float64 on the scale where a feature has length 1."""
    return snapshot.sums / (UNIT * snapshot.counts[:, np.newaxis])
