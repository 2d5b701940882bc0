"""Whether more examples would help: the learning curve, from halves of what there is."""

from __future__ import annotations

import numpy as np

from edgeinc.features import Background, Snapshot
from edgeinc.review.judge import Judged, Single, yardstick
from edgeinc.review.sample import part

__all__ = ["gain"]

USUAL = 0.75
"""Errors that are left when examples are doubled, as a share, where nothing is known. (On
Tiny-ImageNet classes, MobileNet V2, 2 to 17 classes of 3 to 20 shots, 0.7 to 0.9.)"""

WEIGHT = 5.0
"""Errors of half the examples that this counts for."""

BEST = 0.4
"""The least share that is believed."""


def gain(
    snapshot: Snapshot, judged: Judged, background: Background | None, space: Single
) -> float | None:
    """By how much twice as many examples would raise the share of right answers.

    Each half of the examples of every class is fitted alone and tried on the other. With E1
    errors of all examples, each left out in turn, and E2 errors of the halves, doubling is taken
    to leave the same share of errors again (a power law; Cortes et al. 1994, drawn towards the
    usual one): `E1 / n * (1 - (E1 + 5 * 0.75) / (E2 + 5))`.

    Args:
        snapshot: Examples, all of them left out in `judged`.
        judged: By a head fitted to all.
        background: The backbone's, where it has one.
        space: The inner products of all.

    Returns:
        0 to 1, or None where fewer than two classes have two examples.
    """
    usable = np.flatnonzero(snapshot.counts >= 2)
    if len(usable) < 2:
        return None
    rows = np.flatnonzero(np.isin(snapshot.y, usable))
    starts = np.cumsum(snapshot.counts) - snapshot.counts
    # Rows of a class are in the order of digests, which is as good as drawn by lot.
    odd = (rows - starts[snapshot.y[rows]]) % 2 == 1
    halves = rows[~odd], rows[odd]
    missed = 0
    for learned, asked in (halves, halves[::-1]):
        products = space.products(learned)
        scorer, _ = yardstick(part(snapshot, learned), background, products)
        answers = scorer.scores(snapshot.some(asked)).argmax(axis=1)
        missed += int(np.sum(usable[answers] != snapshot.y[asked]))
    wrong = judged.first != judged.truth
    errors = int(wrong[rows].sum())
    left = min(max((errors + WEIGHT * USUAL) / (missed + WEIGHT), BEST), 1.0)
    return errors / len(rows) * (1.0 - left)
