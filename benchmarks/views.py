"""One view of a picture or three, when it is learned and when it is recognised.

The three are the whole picture out of proportion, its centre, and the centre three quarters of
that (`images.VIEWS`); a picture's embedding is the rounded mean of theirs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import spread
from benchmarks.common import V1, V2, Figure, Pictures, flowers, unpacked
from benchmarks.embedded import PEBBLE
from edgeinc.backbone import Backbone
from edgeinc.features import Examples
from edgeinc.heads import Scorer, fit
from edgeinc.images import VIEWS, labelled_images

__all__ = ["views"]


class Way(NamedTuple):
    """How many views pictures are learned with, and recognised with."""

    learned: int
    shown: int


ALL = (Way(1, 1), Way(3, 1), Way(1, 3), Way(3, 3))

BOUNDS = {
    (V1, 60, Way(1, 1)): 0.955,
    (V1, 60, Way(3, 3)): 0.965,
    (V1, 5, Way(3, 3)): 0.905,
    (V2, 1, Way(3, 1)): 0.62,
    (V2, 5, Way(3, 1)): 0.84,
    (V2, 15, Way(3, 1)): 0.92,
}
"""The least means over the draws."""


def views(draws: int = 20) -> Iterator[Figure]:
    """Top-1 of `auto` on Flowers-17, and what three views cost."""
    for backbone, many in ((V1, (1, 5, 15, 60)), (V2, (1, 5, 15, 60)), (PEBBLE, (1, 5, 15))):
        both = {1: flowers(backbone), 3: flowers(backbone, views=VIEWS)}
        for shots in many:
            masks = [both[1].draw(shots, seed) for seed in range(draws)]
            tops = _tops(both, masks)
            for way in ALL:
                least = BOUNDS.get((backbone, shots, way))
                yield Figure(
                    f"Flowers-17, {shots} shots, {draws} draws, {backbone}, {_words(way)}",
                    spread(tops[way]),
                    f">= {least}" if least else "",
                    statistics.mean(tops[way]) >= least if least else None,
                )
        for way, (top,) in _tops(both, [~both[1].first]).items():
            yield Figure(f"Flowers-17, Coral split, {backbone}, {_words(way)}", f"{top:.3f}")
        yield _cost(backbone)


def _words(way: Way) -> str:
    return f"learned with {way.learned}, recognised with {way.shown}"


def _tops(both: dict[int, Pictures], masks: list[NDArray[np.bool_]]) -> dict[Way, list[float]]:
    """Mean over the classes of top-1, for each way and each choice of what is enrolled."""
    found: dict[Way, list[float]] = {way: [] for way in ALL}
    for enrolled in masks:
        scorers = {number: _fit(pictures, enrolled) for number, pictures in both.items()}
        for way, tops in found.items():
            tops.append(_top(scorers[way.learned], both[way.shown], ~enrolled))
    return found


def _fit(pictures: Pictures, enrolled: NDArray[np.bool_]) -> Scorer:
    examples = Examples(pictures.features.shape[1])
    for c, name in enumerate(pictures.names):
        examples.add(name, pictures.features[enrolled & (pictures.labels == c)])
    return fit("auto", examples.snapshot(), pictures.background)


def _top(scorer: Scorer, pictures: Pictures, tested: NDArray[np.bool_]) -> float:
    right = scorer.scores(pictures.features[tested]).argmax(axis=1) == pictures.labels[tested]
    truth = pictures.labels[tested]
    return statistics.mean(float(right[truth == c].mean()) for c in np.unique(truth))


def _cost(backbone: str, rounds: int = 60) -> Figure:
    """Time from a file to its embedding, with one view and with three, in turn."""
    files = [path for _, path in labelled_images(unpacked("flowers17.tar")).pictures[:rounds]]
    times: dict[int, list[float]] = {1: [], 3: []}
    with Backbone.open(backbone) as body:
        for path in files:
            for number, some in ((1, ()), (3, VIEWS)):
                body.views = some
                start = time.perf_counter()
                body.embed([path])
                times[number].append(1e3 * (time.perf_counter() - start))
    one, three = (statistics.median(times[number]) for number in (1, 3))
    return Figure(
        f"file to embedding, {backbone}, three views against one",
        f"{three:.1f} ms / {one:.1f} ms = {three / one:.2f}",
    )
