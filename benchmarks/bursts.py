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
"""Of a burst, some 7 % brighter or darker each."""

SIDES = {"narrow": (58, 63), "wide": (46, 63)}
"""What a frame shows of the picture's 64 pixels, anywhere in it: at least, and less than."""

NOISE = 3.0
"""Standard deviation of a frame's noise, grey values."""

WAYS = {
    "one": "one picture",
    "a burst": "frames of one picture",
    "a wide burst": "frames of one picture, moved by up to 18 pixels",
    "two": "two pictures",
    "two bursts": "frames of two pictures",
    "two wide bursts": "frames of two pictures, moved by up to 18 pixels",
    "at random": "different pictures",
}


def bursts(draws: int = 20) -> Iterator[Figure]:
    """A burst of each class, beside one shot and as many shots at random."""
    for backbone in (V2, PEBBLE):
        for way, words in WAYS.items():
            shares = [_shares(way, backbone, seed) for seed in range(draws)]
            accepted, rejected = ([share[i] for share in shares] for i in (0, 1))
            count = {"one": 1, "two": 2}.get(way, FRAMES * (1 + way.startswith("two")))
            yield Figure(
                f"{KNOWN} classes of Tiny-ImageNet, {count} shots ({words}), {draws} draws, "
                f"{backbone}: known accepted; pictures of the other classes rejected",
                f"{spread(accepted)}; {spread(rejected)}",
            )


def _shares(way: str, backbone: str, seed: int) -> tuple[float, float]:
    """Shares of known pictures that are accepted, and of strangers that are rejected."""
    pictures, number, kind = _world(backbone)
    few = np.random.default_rng(seed).permutation(len(pictures.names))[:KNOWN]
    ours = np.isin(pictures.labels, few)
    shown = number < 2  # the two pictures of each class that its bursts show
    chosen = number < (2 if way.startswith("two") else 1)
    still = kind == "still"
    if way == "at random":
        enrolled = _drawn(pictures, still & ~shown, seed)
    elif "burst" in way:
        enrolled = chosen & (kind == ("wide" if "wide" in way else "narrow"))
    else:
        enrolled = chosen & still
    left = still & ~shown & ~enrolled
    asked = [pictures.features[part & left] for part in (ours, ~ours)]
    known, others = verdicts(pictures, enrolled & ours, asked)
    return float(known.known.mean()), float(1 - others.known.mean())


def _drawn(pictures: Pictures, among: NDArray[np.bool_], seed: int) -> NDArray[np.bool_]:
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(pictures.labels), bool)
    for c in range(len(pictures.names)):
        chosen[rng.permutation(np.flatnonzero(among & (pictures.labels == c)))[:FRAMES]] = True
    return chosen


@cache
def _world(backbone: str) -> tuple[Pictures, NDArray[np.int64], NDArray[np.str_]]:
    """The pictures of the classes, then bursts of the first two of each.

    And of each row which picture of its class it shows, and whether as `still`, `narrow`, `wide`.
    """
    found, names = pictures_of(held_out()), held_out()
    labels = np.array([names.index(name) for name, _ in found])
    starts = np.searchsorted(labels, np.arange(len(names)))
    number = np.arange(len(labels)) - starts[labels]
    rng = np.random.default_rng(0)
    frames, rows, kinds = [], [], ["still"] * len(found)
    for kind, sides in SIDES.items():
        for i in np.flatnonzero(number < 2):
            frames += [_frame(read_image(found[i][1]), sides, rng) for _ in range(FRAMES)]
            rows += [i] * FRAMES
            kinds += [kind] * FRAMES
    embeddings, features = embed(backbone, [*(path for _, path in found), *frames])
    labels = np.concatenate([labels, labels[rows]])
    number = np.concatenate([number, number[rows]])
    background = load_background(find_card(backbone))
    pictures = Pictures(embeddings, features, labels, names, number == 0, background)
    return pictures, number, np.array(kinds)


def _frame(
    image: NDArray[np.uint8], sides: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The picture as a camera would have it a moment later."""
    side = int(rng.integers(*sides))
    top, left = rng.integers(0, len(image) - side + 1, 2)
    part = image[top : top + side, left : left + side].astype(np.float64)
    part = part * rng.uniform(0.93, 1.07) + rng.normal(0.0, NOISE, part.shape)
    return np.asarray(np.clip(np.rint(part), 0, 255), np.uint8)
