"""What was answered, counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from edgeinc.evaluate.records import Evaluation
from edgeinc.metrics import expected_calibration_error, reliability

__all__ = ["TOP", "Answer", "summarise"]

TOP = 5


class Answer(NamedTuple):
    """One picture: its true label, the labels it was taken for, and how sure the first is."""

    truth: str
    ranking: Sequence[str]
    probability: float
    known: bool


def summarise(answers: Iterable[Answer]) -> Evaluation:
    """Counts answers, of which there is one at least."""
    hits = np.zeros(TOP)
    totals: dict[str, int] = {}
    confusion: dict[str, dict[str, int]] = {}
    probabilities, right = [], []
    n = unknown = 0
    for truth, ranking, probability, known in answers:
        n += 1
        unknown += not known
        totals[truth] = totals.get(truth, 0) + 1
        if truth in ranking:
            hits[ranking.index(truth) :] += 1
        answer = ranking[0] if ranking else ""
        row = confusion.setdefault(truth, {})
        row[answer] = row.get(answer, 0) + 1
        probabilities.append(probability)
        right.append(answer == truth)
    shares = [float(h) / n for h in hits]
    table = reliability(probabilities, right)
    return Evaluation(
        n=n,
        topk=(shares[0], shares[1], shares[2], shares[3], shares[4]),
        per_class={t: confusion[t].get(t, 0) / totals[t] for t in sorted(totals)},
        confusion={t: dict(sorted(confusion[t].items())) for t in sorted(confusion)},
        unknown_rate=unknown / n,
        ece=expected_calibration_error(table),
        reliability=table,
    )
