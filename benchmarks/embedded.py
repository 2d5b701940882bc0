"""The figures of `pebble`, the embedded backbone, in both of its formats, beside MobileNet V2 int8.

What its making alone can measure (float against int8, episodes, operators on an NPU) is in
models/pebble/README.md.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import spread, topk
from benchmarks.common import V2, Figure, flowers, paired
from edgeinc.runtimes import Session, open_session
from edgeinc.weights import find_card, load_file

__all__ = ["embedded", "embedded_time"]

PEBBLE = "pebble"
RUNTIMES = ("litert", "onnx")
MAX_BYTES = 3_000_000


def embedded(draws: int = 20) -> Iterator[Figure]:
    """Accuracy of both formats with the head `auto`, how far they agree, and their sizes."""
    for runtime in RUNTIMES:
        pictures = flowers(PEBBLE, runtime)
        tops, chosen = topk(pictures, ~pictures.first, "auto")
        yield Figure(
            f"Flowers-17, Coral split, {PEBBLE} in {runtime}, top-1",
            f"{tops[0]:.3f} (auto chose {chosen})",
            ">= 0.86 (aim 0.90)",
            tops[0] >= 0.86,
        )
    for backbone, runtime, least in ((PEBBLE, "litert", 0.66), (PEBBLE, "onnx", 0.66), (V2, "", 0)):
        pictures = flowers(backbone, runtime or None)
        found = [topk(pictures, pictures.draw(5, seed), "auto")[0][0] for seed in range(draws)]
        yield Figure(
            f"Flowers-17, 5 shots, 17-way, {draws} draws, {backbone}"
            + (f" in {runtime}" if runtime else ""),
            spread(found),
            f"mean >= {least} (aim 0.72)" if least else "",
            statistics.mean(found) >= least if least else None,
        )
    one, other = (flowers(PEBBLE, runtime).embeddings for runtime in RUNTIMES)
    cosines = _cosines(one, other)
    apart = int(np.abs(one.astype(np.int64) - other.astype(np.int64)).max())
    yield Figure(
        f"{PEBBLE}, cosine of its embeddings in {' and '.join(RUNTIMES)}, {len(one)} pictures",
        f"mean {cosines.mean():.6f}, least {cosines.min():.6f}; integers at most {apart} apart",
        "mean >= 0.995",
        bool(cosines.mean() >= 0.995),
    )
    for file in find_card(PEBBLE).files:
        yield Figure(
            f"size of {file.name}",
            f"{file.bytes / 1e6:.2f} MB",
            "<= 3 MB",
            len(load_file(find_card(PEBBLE), file)) <= MAX_BYTES,
        )


def embedded_time(rounds: int = 300) -> Iterator[Figure]:
    """The network alone on one picture, one thread, against MobileNet V2 int8 in turn."""
    for runtime in RUNTIMES:
        with _session(PEBBLE, runtime) as ours, _session(V2, runtime) as theirs:
            a, b, ratio = paired(
                partial(ours.run, _noise(ours)), partial(theirs.run, _noise(theirs)), rounds=rounds
            )
        yield Figure(
            f"{PEBBLE} in {runtime}, one picture, 1 thread, vs {V2}",
            f"{1e3 * a:.2f} ms, {1e3 * b:.2f} ms; median of ratios {ratio:.3f}",
            "<= 0.5x",
            ratio <= 0.5,
        )


def _session(backbone: str, runtime: str) -> Session:
    """A card's network in a runtime, cut at its embedding."""
    card = find_card(backbone)
    file = next(file for file in card.files if file.runtime == runtime)
    return open_session(
        load_file(card, file), runtime, output=file.embedding.tensor, threads=1, device="cpu"
    )


def _noise(session: Session) -> NDArray[Any]:
    """A picture for a network with integer input."""
    limits = np.iinfo(session.input.dtype)
    rng = np.random.default_rng(0)
    return rng.integers(limits.min, limits.max + 1, session.input.shape, session.input.dtype)


def _cosines(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Of each row of the one with that of the other."""
    x, y = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in map(np.float64, (a, b)))
    result: NDArray[np.float64] = (x * y).sum(axis=1)
    return result
