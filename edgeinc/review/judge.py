"""Leaving examples out in turn, by the closed forms of the heads, and what comes of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import UNIT, Background, Snapshot
from edgeinc.heads import Ridge, Scorer
from edgeinc.heads.prior import Prior
from edgeinc.heads.space import Space
from edgeinc.review.sample import Index

__all__ = ["Judged", "Single", "judge", "yardstick"]

CELLS = 4_000_000
"""Scores, or similarities to examples, that are worked out at a time at most."""

LEAST = 64
"""Examples that are left out at a time at least, if their scores are not too many: what a head
works out for each lot costs as much for one."""

OTHERS = 5
"""Other classes that are remembered of each example."""


class Judged(NamedTuple):
    """What m examples would have been taken for without themselves.

    Attributes:
        rows: `(m,)` their rows in the snapshot.
        truth: `(m,)` their classes.
        held: `(m,)` whether their class goes on without them; of the others nothing is known.
        lead: `(m,)` by how many nats their own class is more probable than the best other one;
            infinite where there is no other.
        first: `(m,)` the class that comes first.
        others: `(m, k)` the best other classes, best first.
        shares: `(m, k)` their probabilities.
    """

    rows: Index
    truth: Index
    held: NDArray[np.bool_]
    lead: NDArray[np.float64]
    first: Index
    others: Index
    shares: NDArray[np.float64]

    @property
    def accuracy(self) -> float | None:
        """Share of the held-out examples that their class gets back; None for none of them."""
        if not self.held.any() or not self.others.shape[1]:
            return None
        return float(np.mean(self.first[self.held] == self.truth[self.held]))


class Single(Space):
    """A `Space` in single precision: a third of the time, and the same answers to 1e-4.

    Attributes:
        between: `XX'`, `(n, n)` float32, where work goes by pairs of examples.
    """

    def __init__(self, snapshot: Snapshot, between: NDArray[Any] | None = None) -> None:
        """Take few examples, and their inner products where they are known."""
        super().__init__(snapshot)
        wide: NDArray[Any] = snapshot.rows.astype(np.float32)
        wide /= UNIT
        self.__dict__["rows"] = wide
        # Else it goes by pairs of dimensions, and nobody asks for it.
        if self.dual():
            self.__dict__["between"] = wide @ wide.T if between is None else between

    def products(self, rows: Index) -> NDArray[Any] | None:
        """Inner products `(m, m)` of some rows, where those of all were worked out."""
        known = self.__dict__.get("between")
        return None if known is None else np.asarray(known[np.ix_(rows, rows)])


def yardstick(
    snapshot: Snapshot, background: Background | None, between: NDArray[Any] | None = None
) -> tuple[Scorer, Single]:
    """The head `ridge` fitted in single precision, and the inner products of its examples."""
    space, prior = Single(snapshot, between), Prior.of(background, snapshot)
    if prior is not None:
        prior = prior._replace(origin=prior.origin.astype(np.float32))
    return Ridge(snapshot, prior, space=space), space


def judge(scorer: Scorer, snapshot: Snapshot, rows: Index) -> Judged:
    """Leave out rows `(m,)` of the snapshot that a head was fitted to, each in turn.

    A head that knows nothing of negatives, the class "" that comes before all others, counts
    its rows without them.
    """
    missing = len(snapshot.labels) - len(scorer.labels)
    shift = int(snapshot.counts[:missing].sum())
    columns, wanted = len(scorer.labels), min(OTHERS, len(scorer.labels) - 1)
    truth = snapshot.y[rows]
    held = np.asarray(snapshot.counts[truth] > 1)
    lead = np.full(len(rows), np.inf)
    first = truth.copy()
    others = np.zeros((len(rows), max(wanted, 0)), np.intp)
    shares = np.zeros(others.shape)
    step = max(1, min(CELLS // max(columns, 1), max(LEAST, CELLS // max(snapshot.total, 1))))
    for start in range(0, len(rows) if wanted > 0 else 0, step):
        piece = slice(start, start + step)
        logits = scorer.held_out(rows[piece] - shift).astype(np.float64) / scorer.temperature
        logits -= logits.max(axis=1, keepdims=True)
        each, own = np.arange(len(logits)), truth[piece] - missing
        first[piece] = logits.argmax(axis=1) + missing
        mine = logits[each, own]
        total = np.exp(logits).sum(axis=1, keepdims=True)
        logits[each, own] = -np.inf
        best = np.argpartition(-logits, wanted - 1, axis=1)[:, :wanted]
        values = np.take_along_axis(logits, best, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        values = np.take_along_axis(values, order, axis=1)
        others[piece] = np.take_along_axis(best, order, axis=1) + missing
        shares[piece] = np.exp(values) / total
        lead[piece] = mine - values[:, 0]
    scorer.release()
    return Judged(rows, truth, held, lead, first, others, shares)
