"""The backbone's own classes beside the enrolled ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgeinc.classifier import OwnClasses, join, likelihood, typical
from edgeinc.decision import Decision, Ranking, decide
from edgeinc.types import NEGATIVE

__all__ = ["Beside"]


class Enrolled(Protocol):
    """What is asked about the enrolled classes: a memory, or a learner."""

    @property
    def version(self) -> int:
        """Another number after every change."""

    def counts(self) -> Mapping[str, int]:
        """Examples of each class, by label."""

    def sum_of(self, label: str) -> NDArray[np.int64]:
        """Exact sum (d,) of a class's features, zeros when it has none."""


class Beside:
    """Answers among both kinds of classes. Threads may share one.

    Attributes:
        own: The backbone's classes, with their rows.
    """

    def __init__(self, own: OwnClasses, memory: Enrolled, *, nonnegative: bool) -> None:
        """Join the backbone's classes with what is enrolled; `nonnegative` as in its card."""
        self.own = own
        self._nonnegative = nonnegative
        self._memory = memory
        self._hidden = -1, np.zeros(0, np.bool_)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the own classes that no enrolled one has taken, in the network's order."""
        hidden = self._shadowed()
        return tuple(label for label, gone in zip(self.own.labels, hidden, strict=True) if not gone)

    def decide(self, ranking: Ranking, embedding: NDArray[np.generic]) -> Decision:
        """The answer for one picture: its ranking among the enrolled, and its `(d,)` embedding."""
        enrolled = decide(ranking)
        logits, hidden = self.own.logits(embedding), self._shadowed()
        odds = -np.inf
        # What is most like a negative is none of the enrolled.
        mine = ranking.labels and ranking.labels[int(ranking.probabilities.argmax())] != NEGATIVE
        if enrolled.candidates and mine and not hidden.all():
            total = self._memory.sum_of(enrolled.candidates[0].label)
            if total.any() and embedding.any():
                best = int(np.where(hidden, -np.inf, logits).argmax())
                usual = typical(total, embedding, nonnegative=self._nonnegative)
                lead = float(logits[best]) - self.own.logit(best, usual)
                odds = likelihood(ranking.odds, lead)
        return join(enrolled, self.own, logits, hidden, odds)

    def _shadowed(self) -> NDArray[np.bool_]:
        """`(C,)`: which own classes an enrolled one of the same name stands for."""
        version, hidden = self._hidden
        if version != (now := self._memory.version):
            hidden = self.own.shadowed(self._memory.counts())
            self._hidden = now, hidden
        return hidden
