"""One head by name, or the one that its own examples speak for."""

from __future__ import annotations

import numpy as np

from edgeinc.errors import InputError
from edgeinc.features import Background, Snapshot
from edgeinc.heads.base import LEAST, Base, Scorer, evidence_rows
from edgeinc.heads.knn import Knn
from edgeinc.heads.lda import Lda
from edgeinc.heads.prior import Prior
from edgeinc.heads.proto import Proto
from edgeinc.heads.ridge import Cubic, Ridge
from edgeinc.heads.space import Space
from edgeinc.heads.temperature import losses

__all__ = ["NAMES", "fit"]

NAMES = ("auto", "proto", "ridge", "lda", "knn")

MANY = 2_000
"""Examples beyond which `auto` does not try `cubic`, whose cost is their cube."""

JUDGED = 0.75
"""Share of the classes that must be judged by their examples, or `auto` takes `ridge`: examples of
the large classes say nothing of how a head treats the small ones beside them."""

LARGE = 20_000
"""Examples beyond which `auto` takes `ridge` without a choice."""


def fit(name: str, snapshot: Snapshot, background: Background | None = None) -> Scorer:
    """Fit a head.

    Args:
        name: `proto`, `ridge`, `lda`, `knn`, or `auto` for what does best on its own examples,
            each left out in turn; the result's `name` tells what: `ridge`, `cubic` (ridge on
            products of features), `knn` or `proto`.
        snapshot: The examples; none and a single class are fine.
        background: The backbone's, where it has one.

    Raises:
        InputError: No head has that name.
    """
    if name == "auto":
        return choose(snapshot, background)
    if name == "proto":
        return Proto(snapshot, background)
    if name == "ridge":
        return Ridge(snapshot, Prior.of(background, snapshot))
    if name == "lda":
        return Lda(snapshot)
    if name == "knn":
        return Knn(snapshot)
    raise InputError(f"There is no head {name!r}; choose one of {', '.join(NAMES)}.")


def choose(snapshot: Snapshot, background: Background | None = None) -> Scorer:
    """`ridge`, unless another head makes held-out examples clearly more probable.

    Compared is the log-likelihood of the true class over examples left out in turn, each head
    at its own temperature and each class counting the same. Another head is taken when it gains
    more than one standard error of the paired difference over `ridge` (the rule of one standard
    error, Breiman et al. 1984); of several, the one that gains most beyond it. Where many classes
    have fewer than three examples there is no telling, and with more than `LARGE` examples no need.

    Tried besides are `cubic`, which wins from a dozen examples a class, `knn`, and `proto` where
    there is a background; `lda` never won where these had not.
    """
    space = Space(snapshot)
    first = Ridge(snapshot, Prior.of(background, snapshot), space=space)
    rows = evidence_rows(snapshot)
    if not len(rows) or snapshot.total > LARGE:
        return first
    if float((snapshot.counts >= LEAST).mean()) < JUDGED:
        return first
    y = snapshot.y[rows]
    shares = 1.0 / snapshot.counts[y]
    shares /= shares.sum()
    reference = losses(first.evidence, y, first.temperature)
    best: Base = first
    most = 0.0
    others: list[Base] = [Knn(snapshot, space=space)]
    if snapshot.total <= MANY:
        others.append(Cubic(snapshot, space=space))
    if background is not None:
        others.append(Proto(snapshot, background))
    for head in others:
        gains = reference - losses(head.evidence, y, head.temperature)
        gain = float(shares @ gains)
        error = float(np.sqrt(np.square(shares) @ np.square(gains - gain)))
        if gain - error > most:
            best, most = head, gain - error
    return best
