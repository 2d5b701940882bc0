"""Leave-one-out on what is enrolled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from edgeinc.between import against_negatives
from edgeinc.decision import Decision, Ranking, decide, overruled, softmax
from edgeinc.engine import Engine
from edgeinc.errors import InputError
from edgeinc.evaluate.answers import Answer, summarise
from edgeinc.evaluate.records import Evaluation
from edgeinc.learner import Fitted
from edgeinc.types import NEGATIVE

__all__ = ["evaluate_loo"]

CELLS = 4_000_000
"""Scores, or similarities to examples, that are worked out at a time at most."""


def evaluate_loo(engine: Engine) -> Evaluation:
    """Leave-one-out accuracy of the enrolled examples, in closed form; no picture is read.

    Classes of one example are left out, because without it they are unknown; negatives are no
    class, and are not asked about. Scores and familiarity are those without the example; the
    thresholds by which it is taken for known or not, and the temperature that makes
    probabilities of scores, are those of all examples, itself among them. The calibration error
    flatters a little therefore.

    Raises:
        InputError: No class has two examples.
    """
    fitted = engine.fitted()
    labels, counts, truth = fitted.snapshot.labels, fitted.snapshot.counts, fitted.snapshot.y
    first = labels[:1].count(NEGATIVE)
    held = np.flatnonzero((counts[truth] > 1) & (truth >= first))
    if not len(held):
        raise InputError("No class has two examples; enrol more before leave-one-out.")
    fixed = {
        info.label: info.threshold
        for info in engine.classes()
        if not info.automatic and info.threshold is not None
    }
    # Some at a time: all scores of a large store take more memory than a small computer has.
    step = max(1, CELLS // max(len(labels), len(truth)))
    answers = []
    for start in range(0, len(held), step):
        rows = held[start : start + step]
        for row, said in zip(rows, _decisions(fitted, rows, first, fixed), strict=True):
            ranking = [candidate.label for candidate in said.candidates]
            answers.append(Answer(labels[truth[row]], ranking, said.score, said.known))
    fitted.scorer.release()
    return summarise(answers)


def _decisions(
    fitted: Fitted, rows: NDArray[np.intp], first: int, fixed: Mapping[str, float]
) -> Iterator[Decision]:
    """What a prediction would have said of each of these rows, had it not been enrolled.

    Args:
        fitted: The head, and what goes with it.
        rows: `(m,)` of the snapshot, none a negative nor alone in its class.
        first: How many labels are before those of classes: that of negatives, if any.
        fixed: Thresholds that a person set.
    """
    snapshot, similarity = fitted.snapshot, fitted.similarity
    scores = fitted.scorer.held_out(rows)
    # Of equals the first, as predictions have it.
    taken = scores[:, first:].argmax(axis=1)
    among_classes = rows - int(snapshot.counts[:first].sum())
    familiarity = similarity.held_out(among_classes, taken)
    thresholds = similarity.thresholds[taken]
    for row, known, least in zip(scores, familiarity.tolist(), thresholds.tolist(), strict=True):
        probabilities = softmax(row, fitted.scorer.temperature)
        known = against_negatives(snapshot.labels, probabilities, known)
        yield decide(overruled(Ranking(snapshot.labels, probabilities, known, least), fixed))
