"""The second look: which labels it suspects, and what it costs.

Its rules were chosen on Tiny-ImageNet's classes; Flowers-17 was looked at afterwards.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import V2, Figure, Pictures, flowers
from benchmarks.embedded import PEBBLE
from edgeinc.backbone import Backbone
from edgeinc.engine import Engine
from edgeinc.features import Examples, Snapshot
from edgeinc.heads import fit
from edgeinc.review import review_all, review_new

__all__ = ["review"]

SHOTS = 20
DRAWS = 20


def review() -> Iterator[Figure]:
    """Wrong and right labels that are suspected; time of a look at one shot, and at a store."""
    yield from wrong_labels(V2, bounded=True)
    yield from wrong_labels(PEBBLE, bounded=False)
    yield from one_shot()
    yield large_store()


def wrong_labels(backbone: str, *, bounded: bool) -> Iterator[Figure]:
    """Each of the 17 classes in turn gets one picture of another class among its 20 shots."""
    pictures = flowers(backbone)
    planted, right = [], []
    for seed in range(DRAWS):
        found = [looked(pictures, seed, c) for c in range(len(pictures.names))]
        planted.append(statistics.mean(wrong for wrong, _ in found))
        right.append(statistics.mean(share for _, share in found))
    where = f"of 20 shots a class, 17 classes of Flowers-17, {DRAWS} draws, {backbone}"
    for name, shares, bound, holds in (
        ("a planted wrong label", planted, ">= 0.9", statistics.mean(planted) >= 0.9),
        ("right labels", right, "<= 0.05", statistics.mean(right) <= 0.05),
    ):
        yield Figure(
            f"{name} {where}: suspected",
            f"{statistics.mean(shares):.3f} ± {statistics.stdev(shares):.3f} "
            f"({min(shares):.3f}..{max(shares):.3f})",
            bound if bounded else "",
            holds if bounded else None,
        )


def looked(pictures: Pictures, seed: int, target: int) -> tuple[float, float]:
    """Whether the wrong label of class `target` is suspected, and which share of its right ones."""
    rng = np.random.default_rng((seed, target))
    chosen = pictures.draw(SHOTS, seed)
    rows = [np.flatnonzero(chosen & (pictures.labels == c)) for c in range(len(pictures.names))]
    strange = int(rng.choice(np.flatnonzero(~chosen & (pictures.labels != target))))
    rows[target] = np.append(rows[target][:-1], strange)
    snapshot = snapshot_of(pictures, rows)
    new = [id_of(i) for i in rows[target].tolist()]
    found = {s.id for s in review_new(snapshot, new, pictures.background, nowhere).suspects}
    wrong = id_of(strange)
    return float(wrong in found), len(found - {wrong}) / (SHOTS - 1)


def snapshot_of(pictures: Pictures, rows: list[Any]) -> Snapshot:
    """A snapshot of some pictures, known by their numbers."""
    examples = Examples(pictures.features.shape[1])
    for name, some in zip(pictures.names, rows, strict=True):
        features = pictures.features[some]
        # In the order of what they hold, as in a store.
        marks = [
            features[k].tobytes()[:16] + bytes.fromhex(id_of(i))
            for k, i in enumerate(some.tolist())
        ]
        examples.add(name, features, marks)
    return examples.snapshot()


def id_of(i: int) -> str:
    """The id of a picture."""
    return f"{i:032x}"


def nowhere(_: str) -> None:
    """The source of an example that has none."""


def one_shot(dim: int = 1280, classes: int = 20, shots: int = 50) -> Iterator[Figure]:
    """A look at one shot more in a store of 1,000 examples, alone and beside the refit."""
    rng = np.random.default_rng(0)
    centres = rng.gamma(1.0, 1.0, (classes, dim))

    def picture(c: int) -> Any:
        values = np.clip(40 * centres[c] * rng.gamma(4.0, 0.25, dim), 0, 255)
        return np.repeat(values.astype(np.uint8).reshape(dim // 40, 40, 1), 3, axis=2)

    backbone = Backbone.from_function(
        lambda image: image[..., 0].reshape(-1),
        name="pixels",
        size=(dim // 40, 40),
        dim=dim,
        nonnegative=True,
    )
    alone: list[float] = []
    settled: dict[bool, list[float]] = {False: [], True: []}
    with (
        tempfile.TemporaryDirectory() as scratch,
        Engine.open(Path(scratch) / "s.db", backbone=backbone) as engine,
    ):
        for c in range(classes):
            engine.enroll(f"class {c:03d}", [picture(c) for _ in range(shots)])
        engine.predict(picture(0))
        for i in range(60):
            engine.flush()
            label, frame = f"class {i % classes:03d}", picture(i % classes)
            start = time.perf_counter()
            report = engine.enroll(label, frame)
            # Every third shot is looked at when the head has been refitted, every third
            # while it is, and every third is not.
            if i % 3 == 0:
                engine.flush()
                start = time.perf_counter()
                engine.review(report.ids)
                alone.append(time.perf_counter() - start)
            else:
                if i % 3 == 1:
                    engine.review(report.ids)
                engine.flush()
                settled[i % 3 == 1].append(time.perf_counter() - start)
            engine.undo()
    what = f"a second look at one shot, {classes * shots} examples x {dim}"
    middle = 1e3 * statistics.median(alone)
    yield Figure(
        f"{what}, alone",
        f"median {middle:.0f} ms, max {1e3 * max(alone):.0f} ms",
        "<= 100 ms",
        middle <= 100,
    )
    without, with_look = (
        1e3 * statistics.median(settled[looked_at]) for looked_at in (False, True)
    )
    yield Figure(
        f"{what}, while the head is refitted: until both are done, with it and without",
        f"medians {with_look:.0f} ms, {without:.0f} ms",
    )


def large_store(dim: int = 1280, classes: int = 1000, shots: int = 100) -> Figure:
    """A look at all of 100,000 examples, of which 20,000 are judged, by a fitted head."""
    rng = np.random.default_rng(0)
    examples = Examples(dim)
    for c in range(classes):
        rows = rng.gamma(1.0, 1.0, dim) * rng.gamma(4.0, 0.25, (shots, dim))
        rows = np.sqrt(rows / rows.sum(axis=1, keepdims=True))
        examples.add(f"class {c:04d}", np.rint(32767 * rows).astype(np.int16))
    snapshot = examples.snapshot()
    head = fit("auto", snapshot)
    start = time.perf_counter()
    found = review_all(snapshot, head, None, nowhere)
    return Figure(
        f"a second look at {found.examples} examples in {classes} classes, {found.judged} judged",
        f"{time.perf_counter() - start:.0f} s",
    )
