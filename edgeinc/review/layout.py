"""A map of the classes in two dimensions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import UNIT, Snapshot
from edgeinc.review.sample import Index, even, sample

__all__ = ["Layout", "layout"]

CLASSES = 500
"""Classes that the axes are laid through, and that are shown, at most."""

POINTS = 2_000
"""Examples that are shown at most, but for one of each class."""

TINY = 1e-9
"""Variance along an axis, where a feature has length 1, below which there is no such axis."""


class Layout(NamedTuple):
    """Places on the map.

    Attributes:
        labels: C classes.
        means: `(C, 2)` where their means lie.
        points: `(m, 2)` where examples lie.
        y: `(m,)` their classes.
    """

    labels: tuple[str, ...]
    means: NDArray[np.float64]
    points: NDArray[np.float64]
    y: Index


def layout(snapshot: Snapshot) -> Layout:
    """Lays the examples out along the two axes on which the class means differ most.

    These are the principal components of the class means (Pearson 1901), each pointing to where
    its largest number is positive, so that the same examples give the same map. With one class
    or two, what is missing is the direction in which the examples differ most besides.
    """
    named = np.array([c for c, label in enumerate(snapshot.labels) if label], np.intp)
    classes = even(named, CLASSES)
    rows = sample(snapshot, POINTS, classes)
    counts = snapshot.counts[classes, np.newaxis]
    means = snapshot.sums_of(classes) / (UNIT * counts)
    centre = means.mean(axis=0) if len(means) else np.zeros(snapshot.dim)
    means -= centre
    points = snapshot.some(rows) / UNIT - centre
    axes = _principal(means, 2)
    rest = points[:: max(1, -(-len(points) // CLASSES))]
    rest = rest - rest @ axes.T @ axes
    axes = np.concatenate([axes, _principal(rest, 2 - len(axes))])
    axes = np.pad(axes, ((0, 2 - len(axes)), (0, 0)))
    y = np.searchsorted(classes, snapshot.y[rows])
    labels = tuple(snapshot.labels[c] for c in classes)
    return Layout(labels, means @ axes.T, points @ axes.T, y)


def _principal(rows: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """`(k, d)` directions of length 1 in which rows off their mean differ most, k at most."""
    if not len(rows) or not most:
        return np.zeros((0, rows.shape[1]))
    rows = rows - rows.mean(axis=0)
    values, vectors = np.linalg.eigh(rows @ rows.T)
    found = [i for i in np.argsort(-values, kind="stable")[:most] if values[i] > TINY * len(rows)]
    axes = (rows.T @ vectors[:, found] / np.sqrt(values[found])).T
    peaks = axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)]
    return np.asarray(axes * np.sign(peaks)[:, np.newaxis])
