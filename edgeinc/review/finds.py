"""Wrong labels, outliers and classes that are taken for each other, by what left-out rows say."""

from __future__ import annotations

from math import log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import Background, Snapshot
from edgeinc.heads import Proto
from edgeinc.review.judge import Judged
from edgeinc.review.sample import Index

__all__ = ["ODDS", "Confusion", "confusions", "outliers", "suspects"]

ODDS = 20.0
"""How many times more probable another class must be than an example's own, so that the label
is suspected. docs/check.md has the shares of wrong and right labels that are flagged."""

LEAST = 3
"""Examples that a class must have for one of them to be suspected: of two, nobody knows which."""

MANY = 5
"""The same for an outlier, which is one by the scatter of the others."""

SHARE = 0.2
"""Cosine to the mean of the others, off the background, below which an example is an outlier, as
a share of the class's median."""

DEVIATIONS = 3.0
"""Without a background: how many deviations below the class's median, the deviation being
1.4826 times the median absolute one."""

LIKE = 0.3
"""Likeness from which on two classes are named as a pair."""

CHUNK = 256


class Confusion(NamedTuple):
    """Two classes, and how much they are taken for each other, 0 to 1."""

    first: int
    second: int
    likeness: float


def suspects(judged: Judged, snapshot: Snapshot) -> Index:
    """Positions in `judged` of examples whose label is suspected, worst first."""
    enough = judged.held & (snapshot.counts[judged.truth] >= LEAST)
    found = np.flatnonzero(enough & (judged.lead < -log(ODDS)))
    return found[np.argsort(judged.lead[found], kind="stable")]


def confusions(judged: Judged, snapshot: Snapshot, least: float = LIKE) -> list[Confusion]:
    """Pairs of classes by how much left-out examples of either are taken for the other.

    Likeness is twice the mean probability that one gives to the other, averaged over both
    directions as far as both have examples that can be left out, and at most 1.
    """
    classes = len(snapshot.labels)
    truth, others = judged.truth[judged.held], judged.others[judged.held]
    if not others.size:
        return []
    counts = np.bincount(truth, minlength=classes)
    keys = (truth[:, np.newaxis] * classes + others).ravel()
    found, where = np.unique(keys, return_inverse=True)
    sums = np.bincount(where.ravel(), weights=judged.shares[judged.held].ravel())
    shares = sums / counts[found // classes]
    directed = dict(zip(found.tolist(), shares.tolist(), strict=True))
    pairs = {(min(k // classes, k % classes), max(k // classes, k % classes)) for k in directed}
    result = []
    for a, b in sorted(pairs):
        known = [(x, y) for x, y in ((a, b), (b, a)) if counts[x]]
        both = sum(directed.get(x * classes + y, 0.0) for x, y in known) / len(known)
        if 2 * both >= least:
            result.append(Confusion(a, b, min(1.0, 2 * both)))
    return sorted(result, key=lambda pair: (-pair.likeness, pair.first, pair.second))


def outliers(
    snapshot: Snapshot, rows: Index, background: Background | None
) -> tuple[Index, NDArray[np.float64], NDArray[np.float64]]:
    """Rows of some unlike the others of their class, worst first.

    Returns:
        Positions in `rows`, their cosines to the mean of the others, and the class's medians.
    """
    proto = Proto(snapshot, background)
    parts = [proto.own(rows[i : i + CHUNK]) for i in range(0, len(rows), CHUNK)]
    cosines = np.concatenate([np.zeros(0), *parts])
    usual = np.zeros(len(rows))
    found = np.zeros(len(rows), bool)
    truth = snapshot.y[rows]
    for c in np.unique(truth):
        own = np.flatnonzero(truth == c)
        if len(own) < MANY:
            continue
        usual[own] = middle = np.median(cosines[own])
        if background is not None:
            found[own] = cosines[own] < SHARE * middle
        else:
            deviation = 1.4826 * np.median(np.abs(cosines[own] - middle))
            # Where more than half are the same to rounding, there is no scatter to go by.
            found[own] = cosines[own] < middle - DEVIATIONS * max(float(deviation), 1e-3)
    at = np.flatnonzero(found)
    at = at[np.argsort(cosines[at] - usual[at], kind="stable")]
    return at, cosines[at], usual[at]
