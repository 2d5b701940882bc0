"""What was found, in sentences for people."""

from __future__ import annotations

from collections.abc import Sequence

from edgeinc.features import Snapshot
from edgeinc.review.finds import Confusion
from edgeinc.review.records import Review
from edgeinc.types import counted

__all__ = ["advice", "enough", "found_again", "sentences"]

SHOWN = 10
"""Lines of each kind at most."""

FEW = 5
"""Examples below which a class is told to need more."""

UNEVEN = 3
"""How many times more examples the one of a pair must have, so that the other needs more."""

LITTLE = 0.01
"""Gain below which more examples are not worth the showing."""

GOOD = 0.9
"""Accuracy from which on that is called enough."""

MANY = 0.5
"""Share of copies from which on leave-one-out tells nothing."""

SAME = 0.9
"""Likeness from which on two classes may be one thing by two names."""


def advice(snapshot: Snapshot, pair: Confusion) -> str:
    """What would tell two classes apart."""
    (few, lesser), (many, _) = sorted(
        (int(snapshot.counts[c]), snapshot.labels[c]) for c in (pair.first, pair.second)
    )
    if pair.likeness >= SAME and few >= FEW:
        return (
            f"if they are one thing by two names, forget {lesser!r}; else show both from the same "
            "sides, and near to what tells them apart"
        )
    if few == many < FEW:
        return f"show more of both, which have only {few} each"
    if few < FEW or few * UNEVEN <= many:
        return f"show more of {lesser!r}, which has only {few}"
    return (
        "show both from the same sides, in the same light and before the same background, and "
        "near to what tells them apart"
    )


def enough(
    counts: Sequence[int],
    accuracy: float | None,
    gain: float | None,
    weakest: str | None,
    copies: float = 0.0,
) -> str:
    """The answer to "have I shown enough?", one sentence.

    Args:
        counts: Examples of each class.
        accuracy: Of leave-one-out.
        gain: Awaited of twice as many examples.
        weakest: The class that gets the least of its own back.
        copies: Share of the examples that are judged that are reported as copies.
    """
    if not counts:
        return "Nothing is enrolled yet: show each thing from three sides or more."
    if len(counts) == 1:
        return "There is one class only: enrol what it could be mistaken for, to know more."
    if accuracy is None or gain is None:
        return "It is too early to tell: show each class at least three times."
    if copies >= MANY:
        return (
            f"It is too early to tell: {copies:.0%} are copies of others, by which they are found "
            "again; show other sides."
        )
    if accuracy == 1.0 and min(counts) < FEW:
        return (
            "So far, yes: every example is found again when it is left out; but fewer than "
            f"{FEW} of a class tell little."
        )
    if accuracy == 1.0:
        return "Yes, enough: every example is found again when it is left out."
    awaited = f"twice as many would get about {accuracy + gain:.3f} right instead of"
    if gain < LITTLE and accuracy >= GOOD:
        return f"Yes, enough: {awaited} {accuracy:.3f}."
    if gain < LITTLE:
        return (
            f"{accuracy:.3f} are right, and more of the same would help little: see to suspected "
            "labels and conflicts, or show other sides."
        )
    begin = "" if weakest is None else f", beginning with {weakest!r}"
    return f"No, more would help: {awaited} {accuracy:.3f}; show more{begin}."


def found_again(review: Review) -> str:
    """How many examples are found again when they are left out, and how many were before."""
    if review.accuracy is None:
        return counted(review.examples, "examples")
    before = "" if review.before is None else f", {review.before:.3f} before"
    return (
        f"{review.judged} of {counted(review.examples, 'examples')} judged; left out in turn, "
        f"{review.accuracy:.3f} are found again{before}"
    )


def sentences(review: Review) -> list[str]:
    """Every finding, no more than ten of a kind; the names of files stand in them as they are."""
    lines = [*review.warnings]
    lines += _some(
        "wrong labels",
        review,
        "suspects",
        [
            f"wrong label? {_name(s.source, s.id)} in {s.label!r} is {s.odds:.0f} times more "
            f"probably {_rival(s.rival)} ({s.id})"
            for s in review.suspects
        ],
    )
    lines += _some(
        "outliers",
        review,
        "outliers",
        [
            f"unlike the others of {o.label!r}: {_name(o.source, o.id)}, {o.similarity:.2f} where "
            f"{o.usual:.2f} is usual ({o.id})"
            for o in review.outliers
        ],
    )
    lines += _some(
        "examples that add nothing",
        review,
        "twins",
        [
            f"adds nothing: {_name(t.source, t.id)} in {t.label!r} is {t.similarity:.3f} like "
            f"{_name(t.other_source, t.other)} ({t.id})"
            for t in review.twins
        ],
    )
    lines += _some(
        "pairs",
        review,
        "pairs",
        [
            f"conflict: {p.first!r} is {p.likeness:.2f} like {p.second!r}; {p.advice}"
            for p in review.pairs
        ],
    )
    return lines


def _some(what: str, review: Review, kind: str, lines: list[str]) -> list[str]:
    whole = review.found.get(kind, len(lines))
    more = whole - min(len(lines), SHOWN)
    return lines[:SHOWN] + ([f"... and {more} more {what}"] if more else [])


def _name(source: str | None, id: str) -> str:
    return f"example {id[:8]}" if source is None else source


def _rival(label: str) -> str:
    return repr(label) if label else "none of yours"
