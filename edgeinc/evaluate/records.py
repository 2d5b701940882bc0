"""What an evaluation finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeinc.metrics import ReliabilityBin

__all__ = ["Evaluation", "StrangerEvaluation"]


@dataclass(frozen=True, slots=True)
class StrangerEvaluation:
    """How well pictures of enrolled classes and strangers are told apart.

    The first two look at the familiarity of each picture, whatever the thresholds; the next
    two at the answers, at the thresholds of each class.

    Attributes:
        n: Strangers looked at.
        known: Pictures of enrolled classes that they were compared with.
        auroc: How often a known picture is more familiar than a stranger, a tie counting half.
        fpr95: Share of strangers at least as familiar as the 95 % most familiar known pictures.
        accepted: Share of the known pictures that were taken for an enrolled class, whichever.
        rejected: Share of the strangers that were not.
        taken_for: How many strangers were taken for which enrolled class, most often first.
    """

    n: int
    known: int
    auroc: float
    fpr95: float
    accepted: float
    rejected: float
    taken_for: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Accuracy against pictures whose class is known.

    Attributes:
        n: Pictures evaluated.
        topk: Accuracy of the label ranking at 1..5, before any rejection.
        per_class: Top-1 accuracy of each class.
        confusion: `confusion[truth][answer]`, counts, of the label ranking.
        unknown_rate: Share of the pictures that were rejected as unknown.
        ece: Expected calibration error, 0 to 1, over all n pictures: how far the probability of
            the first label is from the share of first labels that are right.
        reliability: What it comes from: 15 bins of equal width, the lowest probabilities first.
        strangers: Where strangers were shown too.
        skipped: A sentence for each unreadable or other file that was left out.
        warnings: A sentence for each thing that makes the figures doubtful.
    """

    n: int
    topk: tuple[float, float, float, float, float]
    per_class: Mapping[str, float]
    confusion: Mapping[str, Mapping[str, int]]
    unknown_rate: float
    ece: float
    reliability: tuple[ReliabilityBin, ...]
    strangers: StrangerEvaluation | None = None
    skipped: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
