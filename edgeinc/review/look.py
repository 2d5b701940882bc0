"""The second look: at examples that were just enrolled, or at a whole store."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from edgeinc.errors import InputError
from edgeinc.features import CONTENT, MARK, Background, Snapshot
from edgeinc.heads import Scorer
from edgeinc.review.curve import gain
from edgeinc.review.judge import judge, yardstick
from edgeinc.review.listing import Listing, Source
from edgeinc.review.records import Review
from edgeinc.review.sample import Index, even, nearest_classes, part, sample
from edgeinc.review.twins import twins

__all__ = ["review_all", "review_new"]

NEW = 600
"""Examples by which a look at new ones judges: those of their classes and of the nearest."""

NEAR = 100
"""Classes of which these are, and of which the learning curve is."""

ALL = 20_000
"""Examples that a look at a whole store judges."""

ALIKE = 1_000
"""Examples of a class among which those that add nothing are looked for."""

TOUCHED = 20
"""Classes of new examples in which they are."""


def review_new(
    snapshot: Snapshot, ids: Collection[str], background: Background | None, source: Source
) -> Review:
    """A look at new examples, by ridge regression on at most `NEW` of all, them among these.

    Args:
        snapshot: Everything enrolled.
        ids: Of the new ones; ids of no example that counts, and negatives, are passed over.
        background: The backbone's, where it has one.
        source: Where an example came from, by its id.
    """
    new = rows_of(snapshot, ids)
    touched = np.unique(snapshot.y[new])
    classes = named(snapshot, nearest_classes(snapshot, touched, NEAR))
    rows = sample(snapshot, NEW, classes, new)
    small, fresh = part(snapshot, rows), np.isin(rows, new)
    scorer, space = yardstick(small, background)
    judged = judge(scorer, small, np.arange(len(rows)))
    before = None
    if fresh.any() and not fresh.all():
        kept = np.flatnonzero(~fresh)
        former = part(small, kept)
        measure, _ = yardstick(former, background, space.products(kept))
        before = judge(measure, former, np.arange(len(kept))).accuracy
    listing = Listing(small, judged, source, fresh)
    listing.examples(background)
    by_class = (sample(snapshot, ALIKE, np.array([c]), new) for c in touched[:TOUCHED])
    listing.twins(snapshot, [near for rows in by_class for near in twins(snapshot, rows, new)])
    listing.classes(snapshot)
    return listing.review(snapshot, before, gain(small, judged, background, space))


def review_all(
    snapshot: Snapshot, scorer: Scorer, background: Background | None, source: Source
) -> Review:
    """A look at everything enrolled, by the head that is in use; at most `ALL` are judged.

    Args:
        snapshot: Everything enrolled.
        scorer: The head fitted to it.
        background: The backbone's, where it has one.
        source: Where an example came from, by its id.
    """
    classes = named(snapshot, np.arange(len(snapshot.labels)))
    judged = judge(scorer, snapshot, sample(snapshot, ALL, classes))
    some = named(snapshot, nearest_classes(snapshot, classes, NEAR))
    small = part(snapshot, sample(snapshot, NEW, some))
    measure, space = yardstick(small, background)
    more = gain(small, judge(measure, small, np.arange(small.total)), background, space)
    listing = Listing(snapshot, judged, source)
    listing.examples(background)
    by_class = (even(judged.rows[judged.truth == c], ALIKE) for c in classes)
    listing.twins(snapshot, [near for rows in by_class for near in twins(snapshot, rows)])
    listing.classes(snapshot)
    return listing.review(snapshot, None, more)


def rows_of(snapshot: Snapshot, ids: Collection[str]) -> Index:
    """Rows of the examples with these ids, negatives not among them, ascending.

    Raises:
        InputError: One is no id.
    """
    try:
        wanted = {bytes.fromhex(id) for id in ids}
    except (TypeError, ValueError) as exc:
        raise InputError("An id has 32 hexadecimal digits; take them from samples().") from exc
    found: list[int] = []
    start = 0
    for label, marks, _ in snapshot.statistics() if wanted else ():
        n = len(marks) // MARK
        if label:
            own = (marks[MARK * i + CONTENT : MARK * (i + 1)] for i in range(n))
            found += [start + i for i, id in enumerate(own) if id in wanted]
        start += n
    return np.array(found, np.intp)


def named(snapshot: Snapshot, classes: Index) -> Index:
    """Classes without that of the negatives, whose label is empty."""
    return np.array([c for c in classes if snapshot.labels[c]], np.intp)
