"""Small frozen records that pass between rooms and out to the caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from edgeinc.devices import Placement

__all__ = [
    "NEGATIVE",
    "Candidate",
    "ClassInfo",
    "EnrollReport",
    "Evaluation",
    "LogEntry",
    "Match",
    "MergeReport",
    "Prediction",
    "ReliabilityBin",
    "SampleInfo",
    "StrangerEvaluation",
]

NEGATIVE = ""
"""In store, examples and snapshots: the class of examples that are none of the enrolled classes.
No class can have this label. Callers say None instead, and are told None."""


class Candidate(NamedTuple):
    """One label that a picture may have.

    A named tuple, as is `Prediction`: one is made for every picture, in a tenth of the time.

    Attributes:
        label: The class.
        score: Its probability, 0 to 1.
        base: True for one of the backbone's own classes, False for an enrolled one.
    """

    label: str
    score: float
    base: bool = False


class Prediction(NamedTuple):
    """What one picture was taken for.

    Attributes:
        label: The class, or None when the picture is of none that is known.
        score: Probability of the best candidate, 0 to 1 (0 when there is none).
        known: False when the picture was taken for a stranger.
        candidates: Up to five best candidates, best first, also for a stranger.
        device: The device that really ran the backbone, in its runtime's own words.
        ms: Time from picture to answer, milliseconds.
        source: Path of the picture where there is one.
        placement: The device asked for, and how much of the network `device` ran.
        familiarity: How surely the picture is of the best enrolled candidate rather than of
            none, 0 to 1; it is known from the class's threshold on. 0 where nothing is enrolled.
    """

    label: str | None
    score: float
    known: bool
    candidates: tuple[Candidate, ...]
    device: str
    ms: float
    source: str | None = None
    placement: Placement | None = None
    familiarity: float = 0.0


@dataclass(frozen=True, slots=True)
class Match:
    """A stored example that resembles a picture.

    Attributes:
        id: The example's random id, 32 hexadecimal digits.
        label: Its class; None for a negative.
        similarity: Cosine of the two feature vectors, -1 to 1.
        source: Where the example came from, where that is known.
    """

    id: str
    label: str | None
    similarity: float
    source: str | None


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """An enrolled class: its label, how many examples count, and its threshold.

    `threshold` is the least familiarity at which a picture is taken for known; None while the
    class has no example. `automatic` is False where a person set it.
    """

    label: str
    examples: int
    threshold: float | None = None
    automatic: bool = True


@dataclass(frozen=True, slots=True)
class SampleInfo:
    """A stored example: id (32 hexadecimal digits), class, source, and Unix time in seconds.

    The class of a negative is None.
    """

    id: str
    label: str | None
    source: str | None
    time: float


@dataclass(frozen=True, slots=True)
class EnrollReport:
    """What an enrolment did.

    Attributes:
        added: Examples that were committed.
        skipped: Pictures that were not: duplicates and unreadable ones, and in a folder also
            files that are no pictures and folders that cannot be listed.
        unreadable: How many of the skipped ones were no duplicates.
        classes: Every enrolled class with the number of its examples, after the operation.
        warnings: One sentence for each thing that a person should look at.
        ids: Ids of the examples that were added, in the order given.
        negatives: How many negatives there are, after the operation; they are in no class.
    """

    added: int
    skipped: int
    classes: Mapping[str, int]
    unreadable: int = 0
    warnings: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    negatives: int = 0


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What a merge did.

    Attributes:
        added: Examples that count now and did not before.
        removed: Examples that counted and do not: taken out elsewhere, or given another label,
            under which they are among the added.
    """

    added: int
    removed: int


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line of a store's journal.

    Attributes:
        number: Its number, from 1.
        time: Unix time in seconds.
        operation: `enroll`, `forget`, `purge`, `rename`, `threshold`, `undo`, `merge` or
            `repair`.
        detail: What it did, in words.
        tool: The edgeinc version that did it.
        undone: True when it has been undone.
        source: Where the examples that it enrolled came from, as far as that is known and has
            not been purged.
    """

    number: int
    time: float
    operation: str
    detail: str
    tool: str
    undone: bool = False
    source: str | None = None


class ReliabilityBin(NamedTuple):
    """Answers of about the same probability.

    Attributes:
        answers: How many.
        confidence: Mean probability of the labels that were answered, 0 to 1.
        accuracy: Share of these that were right.
    """

    answers: int
    confidence: float
    accuracy: float


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
    skipped: tuple[str, ...] = field(default=())
    warnings: tuple[str, ...] = field(default=())
