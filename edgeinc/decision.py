"""From scores to an answer: a label with its probability, or a stranger.

"Which of mine is it" and "is it any of mine at all" are two questions. The head's
probabilities answer the first; how familiar the picture is to the class that won answers
the second, see docs/strangers.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeinc.types import NEGATIVE, Candidate

__all__ = ["CANDIDATES", "Decision", "Ranking", "decide", "most_probable", "overruled", "softmax"]

CANDIDATES = 5
FEW = 64


class Decision(NamedTuple):
    """The answer for one picture; the fields are those of `Prediction`."""

    label: str | None
    score: float
    known: bool
    candidates: tuple[Candidate, ...]


class Ranking(NamedTuple):
    """What is known about one picture before the decision.

    Attributes:
        labels: C labels.
        probabilities: (C,) float32, sum 1.
        familiarity: How surely the picture is of the most probable class rather than of none,
            0 to 1; negatives are no class.
        threshold: The least familiarity at which that class is taken for known.
    """

    labels: tuple[str, ...]
    probabilities: NDArray[np.float32]
    familiarity: float
    threshold: float

    @property
    def best(self) -> str | None:
        """The most probable class; None where there is none."""
        return most_probable(self.labels, self.probabilities)

    @property
    def odds(self) -> float:
        """Familiarity as log-odds, nats; within 21 of 0."""
        bounded = min(max(self.familiarity, 1e-9), 1.0 - 1e-9)
        return log(bounded / (1.0 - bounded))


def softmax(scores: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Probabilities `exp(s/T) / sum exp(s/T)`.

    Args:
        scores: (C,) float32, C >= 1.
        temperature: T > 0, in units of the scores.

    Returns:
        (C,) float32 that sum to 1.
    """
    shifted = np.exp((scores - scores.max()) / np.float32(temperature))
    result: NDArray[np.float32] = shifted / shifted.sum()
    return result


def overruled(ranking: Ranking, thresholds: Mapping[str, float]) -> Ranking:
    """The ranking with the threshold that a person set for its most probable class, if one did."""
    if not thresholds or not ranking.labels:
        return ranking
    best = ranking.best
    if best is None or best not in thresholds:
        return ranking
    return ranking._replace(threshold=thresholds[best])


def most_probable(labels: tuple[str, ...], probabilities: NDArray[np.float32]) -> str | None:
    """The most probable class; negatives are none, and without a class there is none."""
    if not labels:
        return None
    best = labels[int(probabilities.argmax())]
    if best != NEGATIVE:
        return best
    # Negatives come first in canonical order.
    rest = probabilities[1:]
    return labels[1 + int(rest.argmax())] if len(rest) else None


def decide(ranking: Ranking) -> Decision:
    """Turns a ranking into an answer with up to five candidates; negatives are none of them."""
    labels, probabilities = ranking.labels, ranking.probabilities
    among_mine = True
    if NEGATIVE in labels:
        at = labels.index(NEGATIVE)
        among_mine = int(probabilities.argmax()) != at
        labels, probabilities = labels[:at] + labels[at + 1 :], np.delete(probabilities, at)
        probabilities = probabilities / max(probabilities.sum(), np.finfo(np.float32).tiny)
    if not labels:
        return Decision(None, 0.0, False, ())
    if len(labels) > FEW:
        # At thousands of classes a full sort costs more than the head; equals of the last
        # place stay in, so that the order of the labels decides among them.
        last = np.partition(probabilities, -CANDIDATES)[-CANDIDATES]
        some = np.flatnonzero(probabilities >= last).tolist()
    else:
        some = list(range(len(labels)))
    values = probabilities.tolist()
    # Sorting keeps equals in their order, and so does sorting in reverse.
    order = sorted(some, key=values.__getitem__, reverse=True)[:CANDIDATES]
    candidates = tuple(Candidate(labels[i], values[i]) for i in order)
    known = among_mine and ranking.familiarity >= ranking.threshold
    top = candidates[0]
    return Decision(top.label if known else None, top.score, known, candidates)
