"""Heads: closed forms that turn features into scores, fitted from exact sums, no gradients.

`fit` makes a `Scorer` from a snapshot; it is a pure function of the snapshot's content.
"""

from __future__ import annotations

from edgeinc.heads.base import Scorer
from edgeinc.heads.choice import NAMES, fit
from edgeinc.heads.head import Head
from edgeinc.heads.knn import Knn
from edgeinc.heads.lda import Lda
from edgeinc.heads.proto import Proto, direction_of
from edgeinc.heads.ridge import Ridge
from edgeinc.heads.similarity import ClassSimilarity

__all__ = [
    "NAMES",
    "ClassSimilarity",
    "Head",
    "Knn",
    "Lda",
    "Proto",
    "Ridge",
    "Scorer",
    "direction_of",
    "fit",
]
