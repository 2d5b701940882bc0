"""What every head answers to, and the few steps that they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import UNIT, Snapshot
from edgeinc.heads.temperature import best_factor

__all__ = [
    "CELLS",
    "CLASSES",
    "HELD_OUT",
    "LEAST",
    "Base",
    "Scorer",
    "evidence_rows",
    "means",
    "product",
    "spread",
]

HELD_OUT = 2000
"""Rows that are held out to choose a head and a temperature; no more where there are more."""

LEAST = 3
"""Examples that a class must have for its rows to be judged: with one of two held out, the other
alone stands against classes of two and is at a disadvantage that no new picture will meet."""

CELLS = 500_000
"""Scores that are computed for it at most."""


CLASSES = 256
"""Classes whose means are worked on at a time."""


class Scorer(Protocol):
    """A fitted head: immutable, a function of a snapshot's content (and a background) only."""

    @property
    def name(self) -> str:
        """`proto`, `ridge`, `lda`, `knn`, or `cubic`, which only `auto` takes."""
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

    def held_out(self, index: NDArray[np.intp]) -> NDArray[np.float32]:
        """The rows `index` `(m,)` of `loo`, `(m, C)` float32."""
        ...

    def scores(self, features: NDArray[np.int16]) -> NDArray[np.float32]:
        """Scores `(n, C)` float32 of `(n, d)` int16 features; higher is better, never NaN."""
        ...

    def release(self) -> None:
        """Let go of what only leave-one-out needs; it is made again when asked for."""
        ...


class Base(ABC):
    """What the heads have in common: labels, leave-one-out, temperature.

    Attributes:
        name: The head's.
        default: Temperature at one shot, in units of the scores' `scale`, as measured on pictures
            that are used for nothing else.
        decay: How it falls with the shots: `default * shots**-decay`.
        labels: C labels in canonical order, the columns of the scores.
        snapshot: The examples that it is fitted to.
    """

    name: ClassVar[str]
    default: ClassVar[float]
    decay: ClassVar[float]

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
    def evidence(self) -> NDArray[np.float32]:
        """`loo` `(m, C)` at the rows of `evidence_rows(snapshot)`."""
        rows = evidence_rows(self.snapshot)
        whole = len(rows) == self.snapshot.total or "loo" in self.__dict__
        return self.loo[rows] if whole else self.held_out(rows)

    @cached_property
    def temperature(self) -> float:
        """See `Scorer`: the default for so many shots, and what held-out rows say against it."""
        if not len(self.labels):
            return self.default
        shots, first = self.shots, self.default * self.scale
        rows = evidence_rows(self.snapshot)
        if not len(rows):
            return first * float(shots**-self.decay)
        y = self.snapshot.y[rows]
        weights = 1.0 / self.snapshot.counts[y]
        # Held-out rows were scored with one example less.
        before = first * float(max(shots - 1, 1.0) ** -self.decay)
        factor = best_factor(self.evidence, y, weights, before)
        return first * float(shots**-self.decay) * factor

    def release(self) -> None:
        """See `Scorer`."""
        for made in ("loo", "evidence"):
            self.__dict__.pop(made, None)

    @cached_property
    def usual(self) -> float:
        """The default temperature for so many shots, whatever held-out rows say."""
        if not len(self.labels):
            return self.default
        return self.default * self.scale * float(self.shots**-self.decay)

    @property
    def scale(self) -> float:
        """How large differences of scores are, beyond what shots and examples say."""
        return 1.0

    @cached_property
    def shots(self) -> float:
        """Harmonic mean of the class sizes: what the scatter of a class mean goes by."""
        return len(self.labels) / float((1.0 / self.snapshot.counts).sum())


def evidence_rows(snapshot: Snapshot) -> NDArray[np.intp]:
    """Rows `(m,)` by which heads are judged: those of classes of `LEAST` examples or more.

    Where they are very many, only some, evenly spaced in canonical order; none for one class.
    """
    if len(snapshot.labels) < 2:
        return np.zeros(0, np.intp)
    rows = np.flatnonzero(snapshot.counts[snapshot.y] >= LEAST)
    most = max(1, min(HELD_OUT, CELLS // len(snapshot.labels)))
    return rows[:: max(1, -(-len(rows) // most))]


def product(weights: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """`rows @ weights.T`, `(n, C)`; a single row goes the cheaper way of matrix and vector."""
    if len(rows) == 1:
        return np.asarray(weights @ rows[0])[np.newaxis]
    return np.asarray(rows @ weights.T)


def spread(snapshot: Snapshot, centre: NDArray[np.float64] | None = None) -> float:
    """Variance of the examples over their mean squared distance to a centre, 0.001 to 1.

    Cosines of examples that all resemble each other differ by little.
    """
    n = max(snapshot.total, 1)
    mean = snapshot.sum / (UNIT * n)
    middle = np.zeros(snapshot.dim) if centre is None else centre
    # Features have length 1, so that their mean square is known without looking at them.
    square = 1.0 - 2.0 * float(mean @ middle) + float(middle @ middle)
    return float(np.clip((1.0 - mean @ mean) / max(square, 1e-3), 1e-3, 1.0))


def means(snapshot: Snapshot) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Class means on the scale where a feature has length 1: `(k, d)` float64, k at a time."""
    for start in range(0, len(snapshot.labels), CLASSES):
        part = slice(start, min(start + CLASSES, len(snapshot.labels)))
        sums = snapshot.sums_of(range(part.start, part.stop))
        yield part, sums / (UNIT * snapshot.counts[part, np.newaxis])
