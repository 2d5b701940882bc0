"""What a second look finds; plain records without numpy, so that they can be printed or sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["ClassLook", "Outlier", "Pair", "Review", "Suspect", "Twin"]


@dataclass(frozen=True, slots=True)
class Suspect:
    """An example that may have the wrong label: without it, its class loses it.

    Attributes:
        id: The example's, 32 hexadecimal digits.
        label: Its class.
        rival: The class that it is taken for when it is left out.
        odds: How many times more probable the rival is than its own class, at most 1e6.
        source: Where the example came from, where that is known.
    """

    id: str
    label: str
    rival: str
    odds: float
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Twin:
    """An example that adds nothing, because another of its class is nearly the same.

    Attributes:
        id: The example's.
        label: The class of both.
        other: Id of the other.
        similarity: Cosine of the two feature vectors.
        source: Where the example came from, where that is known.
        other_source: The same of the other.
    """

    id: str
    label: str
    other: str
    similarity: float
    source: str | None = None
    other_source: str | None = None


@dataclass(frozen=True, slots=True)
class Outlier:
    """An example unlike the others of its class, whatever other classes there are.

    Attributes:
        id: The example's.
        label: Its class.
        similarity: Cosine to the mean of the others, off the backbone's background if it has one.
        usual: The median of the same over the class.
        source: Where the example came from, where that is known.
    """

    id: str
    label: str
    similarity: float
    usual: float
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two classes that are taken for each other.

    Attributes:
        first: The one, before the other by code point.
        second: The other.
        likeness: 0 when they are told apart for certain, 1 when it is a toss of a coin, or
            worse: twice the probability that left-out examples of either give to the other.
        advice: What would tell them apart, in words.
    """

    first: str
    second: str
    likeness: float
    advice: str


@dataclass(frozen=True, slots=True)
class ClassLook:
    """One class: its examples, and the share of those left out that it gets back.

    `accuracy` is None where there is no telling: one example, or no other class.
    """

    label: str
    examples: int
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Review:
    """A second look at new examples, or at all.

    Each list is sorted, worst first, and has 100 entries at most; `found` has the whole numbers.

    Attributes:
        examples: Examples that count, negatives not among them.
        judged: How many of them were looked at; fewer than all in a large store.
        accuracy: Share of those left out in turn that their class gets back; None where there
            is no telling (fewer than two classes, or no class of two examples).
        before: The same without the new examples; None too when all were looked at.
        gain: How much higher the accuracy of twice as many examples is awaited to be; None
            where there is no telling.
        enough: The answer to "have I shown enough?", one sentence.
        suspects: Examples that may have the wrong label.
        twins: Examples that add nothing.
        outliers: Examples unlike their class.
        pairs: Classes that are taken for each other.
        classes: Classes, those first that get the least of their own back.
        confusion: `confusion[truth][answer]`, counts, of the judged examples that can be left out.
        found: How many of each of these lists there are, by its name.
        warnings: What else a person should look at, in words.
    """

    examples: int
    judged: int
    accuracy: float | None
    before: float | None
    gain: float | None
    enough: str
    suspects: tuple[Suspect, ...] = ()
    twins: tuple[Twin, ...] = ()
    outliers: tuple[Outlier, ...] = ()
    pairs: tuple[Pair, ...] = ()
    classes: tuple[ClassLook, ...] = ()
    confusion: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    found: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
