"""A second look at what was enrolled: wrong labels, copies, conflicts, and whether it suffices.

review_new    examples that were just enrolled, in a fraction of a second
review_all    a whole store
found_again   how many are found again, in words
sentences     what was found, for people
layout        a map of the classes
"""

from __future__ import annotations

from edgeinc.review.layout import Layout, layout
from edgeinc.review.look import review_all, review_new
from edgeinc.review.records import ClassLook, Outlier, Pair, Review, Suspect, Twin
from edgeinc.review.words import found_again, sentences

__all__ = [
    "ClassLook",
    "Layout",
    "Outlier",
    "Pair",
    "Review",
    "Suspect",
    "Twin",
    "found_again",
    "layout",
    "review_all",
    "review_new",
    "sentences",
]
