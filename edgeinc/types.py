"""Small frozen records that pass between rooms and out to the caller; and counts, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from edgeinc.devices import Placement

__all__ = [
    "NEGATIVE",
    "Candidate",
    "ClassInfo",
    "EnrollReport",
    "LogEntry",
    "Match",
    "MergeReport",
    "Prediction",
    "SampleInfo",
    "counted",
]

NEGATIVE = ""
"""In store, examples and snapshots: the class of examples that are none of the enrolled classes.
No class can have this label. Callers say None instead, and are told None."""


def counted(n: int, things: str) -> str:
    """How many of something there are, in words; it is named in the plural.

    >>> counted(1, "examples"), counted(2, "examples"), counted(1, "classes"), counted(1, "purged")
    ('1 example', '2 examples', '1 class', '1 purged')
    """
    one = things.removesuffix("es" if things.endswith("sses") else "s")
    return f"{n} {one if n == 1 else things}"


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
            none, 0 to 1.
        threshold: The familiarity from which on it is known, unless it is more like a negative;
            both are 0 where nothing is enrolled.
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
    threshold: float = 0.0


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
