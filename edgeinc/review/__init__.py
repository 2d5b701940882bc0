"""A second look at what was enrolled: wrong labels, copies, conflicts, and whether it suffices.

review_new    examples that were just enrolled, in a fraction of a second
review_all    a whole store
sentences     what was found, for people
"""

from __future__ import annotations

from edgeinc.review.look import review_all, review_new
from edgeinc.review.records import ClassLook, Outlier, Pair, Review, Suspect, Twin
from edgeinc.review.words import sentences

__all__ = [
    "ClassLook",
    "Outlier",
    "Pair",
    "Review",
    "Suspect",
    "Twin",
    "review_all",
    "review_new",
    "sentences",
]
