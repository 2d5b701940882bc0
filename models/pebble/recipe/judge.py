"""Accuracy of embeddings on labelled pictures, through the SDK's own features and heads.

Flowers-17 judges the finished network and is never used to choose anything. Its Coral split: per
class, files sorted by name, the first quarter is the test (20 of 80), the rest is enrolled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from data import list_pictures
from numpy.typing import NDArray
from settings import RecipeError

from edgeinc.errors import ImageError
from edgeinc.features import Background, Examples, to_features
from edgeinc.heads import fit
from edgeinc.images import read_image
from edgeinc.images.prepare import crop, shrink

LEAST = 10
Embed = Callable[[NDArray[np.uint8]], NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Pictures:
    """Squares (n, s, s, 3) uint8 RGB and their labels' numbers (n,)."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Figure:
    """Mean accuracy, and the standard deviation over draws (0 for a fixed split)."""

    mean: float
    spread: float = 0.0

    def __str__(self) -> str:
        """Per cent."""
        spread = f" ± {100 * self.spread:.1f}" if self.spread else ""
        return f"{100 * self.mean:.1f}{spread}"


def judged(folder: Path) -> list[str]:
    """The classes of a folder of folders that can judge: those of ten pictures or more.

    Raises `RecipeError` where there are not two.
    """
    counts = Counter(label for label, _ in list_pictures(folder))
    names = sorted(label for label, n in counts.items() if n >= LEAST)
    if len(names) < 2:
        raise RecipeError(
            f"{folder} has fewer than two classes of {LEAST} pictures; judge with another folder."
        )
    return names


def read_squares(folder: Path, names: list[str], size: int) -> Pictures:
    """The readable pictures of these classes, their centre squares at `size` pixels.

    Raises `RecipeError` where there is none.
    """
    pixels, labels = [], []
    for label, path in list_pictures(folder):
        shown = as_on_a_device(path, size) if label in names else None
        if shown is not None:
            pixels.append(shown)
            labels.append(names.index(label))
    if not pixels:
        raise RecipeError(f"{folder} has no readable picture of its classes; look at its files.")
    return Pictures(np.stack(pixels), np.array(labels, np.int64))


def as_on_a_device(path: Path, size: int) -> NDArray[np.uint8] | None:
    """The centre of a picture as the SDK shows it to a network, RGB; None for no picture."""
    try:
        image = read_image(path, least=size)
    except ImageError:
        return None
    return np.ascontiguousarray(shrink(crop(image, size, size), size, size)[:, :, ::-1])


def features(embed: Embed, pictures: Pictures) -> NDArray[np.int16]:
    """(n, d) int16 features of non-negative embeddings."""
    rows = np.concatenate([np.asarray(embed(picture)) for picture in pictures.pixels])
    return to_features(rows, nonnegative=True)


def coral(
    rows: NDArray[np.int16], labels: NDArray[np.int64], head: str, background: Background | None
) -> Figure:
    """Top-1 of the fixed split."""
    test = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        at = np.flatnonzero(labels == label)
        test[at[: len(at) // 4]] = True
    return Figure(_accuracy(rows, labels, ~test, test, head, background))


def shots(
    rows: NDArray[np.int16],
    labels: NDArray[np.int64],
    head: str,
    background: Background | None,
    *,
    count: int,
    draws: int,
) -> Figure:
    """`count` random examples of every class enrolled, all others shown; mean class accuracy."""
    found = []
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        train = np.zeros(len(labels), bool)
        for label in np.unique(labels):
            train[rng.permutation(np.flatnonzero(labels == label))[:count]] = True
        found.append(_accuracy(rows, labels, train, ~train, head, background))
    return Figure(float(np.mean(found)), float(np.std(found)))


def _accuracy(
    rows: NDArray[np.int16],
    labels: NDArray[np.int64],
    train: NDArray[np.bool_],
    test: NDArray[np.bool_],
    head: str,
    background: Background | None,
) -> float:
    examples = Examples(rows.shape[1])
    for label in np.unique(labels):
        examples.add(f"{label:04d}", rows[train & (labels == label)])
    scorer = fit(head, examples.snapshot(), background)
    told = np.array([int(name) for name in scorer.labels])[scorer.scores(rows[test]).argmax(1)]
    right = told == labels[test]
    return float(np.mean([right[labels[test] == label].mean() for label in np.unique(labels)]))
