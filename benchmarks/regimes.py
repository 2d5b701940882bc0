"""What `auto` takes, against every head on its own: few and many shots, classes, uneven classes."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import V2, Figure, Pictures, flowers
from edgeinc.features import Examples
from edgeinc.heads import NAMES, fit

__all__ = ["regimes"]

SHOTS = (1, 2, 5, 15, 60)
WAYS = (2, 5, 17)

UNEVEN = (20, 1)
"""Shots of every other class, and of those between."""

LOSS = 0.01
"""How much less than the best of the others `auto` may get right."""


def regimes(draws: int = 20) -> Iterator[Figure]:
    """Top-1 of `auto` and of each head, the mean of the same draws of Flowers-17."""
    pictures = flowers(V2)
    for ways in WAYS:
        for shots in SHOTS:
            yield _figure(pictures, f"{ways} classes, {shots} shots", [shots] * ways, draws)
    for ways in WAYS:
        name = f"{ways} classes, {UNEVEN[0]} shots and {UNEVEN[1]} in turn"
        yield _figure(pictures, name, [UNEVEN[c % 2] for c in range(ways)], draws)


def _figure(pictures: Pictures, name: str, sizes: Sequence[int], draws: int) -> Figure:
    means = {
        head: statistics.mean(_right(pictures, sizes, head, seed) for seed in range(draws))
        for head in NAMES
    }
    best = max(value for head, value in means.items() if head != "auto")
    words = ", ".join(f"{head} {value:.3f}" for head, value in means.items())
    return Figure(
        f"Flowers-17, {name}, {draws} draws, {V2}",
        words,
        f"auto >= {best - LOSS:.3f}",
        means["auto"] >= best - LOSS,
    )


def _right(pictures: Pictures, sizes: Sequence[int], head: str, seed: int) -> float:
    """Mean over some classes of their top-1, with so many of the first enrolled, and so on."""
    rng = np.random.default_rng(seed)
    classes = rng.permutation(len(pictures.names))[: len(sizes)]
    examples = Examples(pictures.features.shape[1])
    tests: list[tuple[str, NDArray[np.intp]]] = []
    for c, size in zip(classes.tolist(), sizes, strict=True):
        rows = rng.permutation(np.flatnonzero(pictures.labels == c))
        label = pictures.names[c]
        examples.add(label, pictures.features[rows[:size]])
        tests.append((label, rows[size:]))
    scorer = fit(head, examples.snapshot(), pictures.background)
    column = {label: i for i, label in enumerate(scorer.labels)}
    return statistics.mean(
        float((scorer.scores(pictures.features[rows]).argmax(axis=1) == column[label]).mean())
        for label, rows in tests
    )
