"""Thresholds where a class was shown by frames of one moment, which are nearly one picture.

Enrolled are classes of Tiny-ImageNet on which no constant was chosen (`benchmarks.tiny.held_out`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import spread
from benchmarks.common import V2, Figure, Pictures, embed
from benchmarks.embedded import PEBBLE
from benchmarks.tiny import held_out, pictures_of
from benchmarks.trials import verdicts
from edgeinc.images import read_image
from edgeinc.weights import find_card, load_background

__all__ = ["bursts"]

KNOWN = 8
"""Classes that are enrolled."""

FRAMES = 6
"""Of a burst: 58 to 62 of the picture's 64 pixels, anywhere in it, some 7 % brighter or darker."""

NOISE = 3.0
"""Standard deviation of a frame's noise, grey values."""

WAYS = {
    "a burst": "frames of one picture",
    "one": "one picture",
    "at random": "different pictures",
}


def bursts(draws: int = 20) -> Iterator[Figure]:
    """A burst of each class, beside one shot and as many shots at random."""
    for backbone in (V2, PEBBLE):
        for way, words in WAYS.items():
            shares = [_shares(way, backbone, seed) for seed in range(draws)]
            accepted, rejected = ([share[i] for share in shares] for i in (0, 1))
            count = 1 if way == "one" else FRAMES
            yield Figure(
                f"{KNOWN} classes of Tiny-ImageNet, {count} shots ({words}), {draws} draws, "
                f"{backbone}: known accepted; pictures of the other classes rejected",
                f"{spread(accepted)}; {spread(rejected)}",
            )


def _shares(way: str, backbone: str, seed: int) -> tuple[float, float]:
    """Shares of known pictures that are accepted, and of strangers that are rejected."""
    pictures, of_burst = _world(backbone)
    few = np.random.default_rng(seed).permutation(len(pictures.names))[:KNOWN]
    ours = np.isin(pictures.labels, few)
    first = pictures.first & ~of_burst
    if way == "a burst":
        enrolled = of_burst
    elif way == "one":
        enrolled = first
    else:
        enrolled = _drawn(pictures, ~of_burst & ~first, seed)
    # The first picture of a class is the one that its burst shows.
    left = ~of_burst & ~first & ~enrolled
    shown = [pictures.features[part & left] for part in (ours, ~ours)]
    known, others = verdicts(pictures, enrolled & ours, shown)
    return float(known.known.mean()), float(1 - others.known.mean())


def _drawn(pictures: Pictures, among: NDArray[np.bool_], seed: int) -> NDArray[np.bool_]:
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(pictures.labels), bool)
    for c in range(len(pictures.names)):
        chosen[rng.permutation(np.flatnonzero(among & (pictures.labels == c)))[:FRAMES]] = True
    return chosen


@cache
def _world(backbone: str) -> tuple[Pictures, NDArray[np.bool_]]:
    """The pictures of the classes, then a burst of the first of each; which are of a burst."""
    found, names = pictures_of(held_out()), held_out()
    labels = np.array([names.index(name) for name, _ in found])
    first = np.array([i == 0 or labels[i] != labels[i - 1] for i in range(len(labels))])
    rng = np.random.default_rng(0)
    frames = [
        _frame(read_image(found[i][1]), rng) for i in np.flatnonzero(first) for _ in range(FRAMES)
    ]
    embeddings, features = embed(backbone, [*(path for _, path in found), *frames])
    labels = np.concatenate([labels, np.repeat(labels[first], FRAMES)])
    of_burst = np.arange(len(labels)) >= len(found)
    first = np.concatenate([first, np.zeros(len(frames), bool)])
    background = load_background(find_card(backbone))
    return Pictures(embeddings, features, labels, names, first, background), of_burst


def _frame(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The picture as a camera would have it a moment later."""
    side = int(rng.integers(58, 63))
    top, left = rng.integers(0, len(image) - side + 1, 2)
    part = image[top : top + side, left : left + side].astype(np.float64)
    part = part * rng.uniform(0.93, 1.07) + rng.normal(0.0, NOISE, part.shape)
    return np.asarray(np.clip(np.rint(part), 0, 255), np.uint8)
