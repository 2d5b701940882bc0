"""What a store of 100,000 examples and 10,000 classes costs: opening, enrolling, forgetting."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Figure
from benchmarks.lookup import against_faiss
from edgeinc.backbone import Backbone
from edgeinc.engine import Engine
from edgeinc.features import to_features
from edgeinc.store import NewExample, Store

__all__ = ["DIM", "LARGE", "Shots", "filled", "pixels", "scale"]

DIM = 1024
LARGE = 100_000
BATCH = 1000

FOLDERS: list[tempfile.TemporaryDirectory[str]] = []
"""Stores that were made; they go when the process ends."""

# What a fresh process does, timed from when Python and numpy are there.
OPENING = """
import json, resource, sys, time
import numpy as np
from benchmarks.scale import pixels
from edgeinc.engine import Engine
import edgeinc.store.opening, edgeinc.engine.opening
store, picture = sys.argv[1:]
picture = np.load(picture)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start, used = time.perf_counter(), time.process_time()
engine = Engine.open(store, backbone=pixels())
opened = time.perf_counter()
answer = engine.predict(picture)
end = time.perf_counter()
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([end - start, opened - start, before, after, time.process_time() - used]))
engine.close()
"""


def pixels() -> Backbone:
    """A backbone that costs nothing: the picture's own pixels are its embedding."""
    return Backbone.from_function(
        lambda array: array[..., 0].reshape(1, -1), name="pixels", size=(32, 32), dim=DIM
    )


class Shots:
    """Pictures of classes: noise of one class, drawn by a seed, about a centre of its own."""

    def __init__(self, classes: int, seed: int = 1) -> None:
        centres = np.random.default_rng(0).gamma(1.0, 1.0, (classes, DIM))
        self._centres = 40 * centres.astype(np.float32)
        self._rng = np.random.default_rng(seed)

    def rows(self, c: int, n: int) -> NDArray[np.uint8]:
        """`(n, DIM)` embeddings of class `c`."""
        noise = self._rng.normal(1.0, 0.5, (n, DIM)).astype(np.float32)
        return np.asarray(np.clip(self._centres[c] * noise, 0, 255).astype(np.uint8))

    def picture(self, c: int) -> Any:
        """A picture `(32, 32, 3)` of class `c`, whose pixels are an embedding."""
        return np.repeat(self.rows(c, 1).reshape(32, 32, 1), 3, axis=2)


@cache
def filled(examples: int, classes: int) -> Path:
    """A store of so many examples, made once a process, with its statistics kept."""
    folder = tempfile.TemporaryDirectory(prefix="edgeinc-scale-")
    FOLDERS.append(folder)
    source, path = Shots(classes, seed=0), Path(folder.name) / "s.db"
    card = pixels().card
    with Store.open(path, backbone=card.name, fingerprint=card.fingerprint, dim=DIM) as store:
        shots = examples // classes
        for first in range(0, classes, max(1, BATCH // shots)):
            last = min(classes, first + max(1, BATCH // shots))
            some = [
                NewExample(f"class {c:05d}", row)
                for c in range(first, last)
                for row in source.rows(c, shots)
            ]
            store.enroll(some, file="none", file_sha256="0" * 64)
    Engine.open(path, backbone=pixels()).close()
    return path


def copied(path: Path) -> Path:
    """A copy of a store, to be changed; the next one takes its place."""
    copy = path.with_name("copy.db")
    shutil.copyfile(path, copy)
    # Else the first commits to it would wait until all of it is on the disk.
    os.sync()
    return copy


def scale() -> Iterator[Figure]:
    """All figures of large stores."""
    yield from opening()
    yield from enrolling()
    yield from forgetting()
    yield from against_faiss()


def opening(rounds: int = 5) -> Iterator[Figure]:
    """A fresh process opens a large store and predicts once."""
    for classes in (1000, 10_000):
        path = filled(LARGE, classes)
        picture = path.with_name("picture.npy")
        np.save(picture, Shots(classes).picture(7))
        runs = []
        for _ in range(rounds):
            done = subprocess.run(
                [sys.executable, "-c", OPENING, str(path), str(picture)],
                check=True,
                capture_output=True,
                text=True,
                # One thread for numpy's products, as in the shell.
                env={
                    **os.environ,
                    "PYTHONPATH": str(Path(__file__).parents[1]),
                    "OPENBLAS_NUM_THREADS": "1",
                },
            )
            runs.append(json.loads(done.stdout))
        took = statistics.median(run[0] for run in runs)
        parts = statistics.median(run[1] for run in runs)
        work = statistics.median(run[4] for run in runs)
        grown = statistics.median(run[3] - run[2] for run in runs) / 1024
        yield Figure(
            f"open {LARGE} x {DIM} of {classes} classes and predict once, beyond process start",
            f"{took:.2f} s (opening {parts:.2f} s; {work:.2f} s of the processor's time), "
            f"{grown:.0f} MiB more at most",
            "<= 1.0 s",
            took <= 1.0,
        )


def enrolling(rounds: int = 40) -> Iterator[Figure]:
    """One shot, durable, of a class of a hundred (ten of 100 examples); the full head caught up."""
    medians = {}
    for examples in (100, 10_000, LARGE):
        classes = max(10, examples // 100)
        path, source = copied(filled(examples, classes)), Shots(classes)
        times, refits = [], []
        with Engine.open(path, backbone=pixels()) as engine:
            engine.predict(source.picture(0))
            for i in range(rounds):
                picture = source.picture(i * 7 % classes)
                engine.flush()
                start = time.perf_counter()
                engine.enroll(f"class {i * 7 % classes:05d}", picture)
                durable = time.perf_counter()
                engine.flush()
                refits.append(time.perf_counter() - durable)
                times.append(durable - start)
        medians[examples] = statistics.median(times)
        yield Figure(
            f"enrol one shot, {examples} examples x {DIM}, beyond the embedding, durable",
            f"median {1e3 * medians[examples]:.2f} ms, p95 "
            f"{1e3 * sorted(times)[int(0.95 * rounds)]:.2f} ms",
        )
        yield Figure(
            f"full head caught up after that shot, {examples} examples",
            f"median {1e3 * statistics.median(refits):.0f} ms, max {1e3 * max(refits):.0f} ms",
        )
    ratio = max(medians.values()) / min(medians.values())
    yield Figure("the same, slowest over fastest size", f"{ratio:.2f}", "<= 1.5x", ratio <= 1.5)


def forgetting(rounds: int = 10, shots: int = 1000) -> Iterator[Figure]:
    """A class of 1,000 examples among 100,000, refit excluded."""
    classes = LARGE // shots
    path = copied(filled(LARGE, classes))
    times, equal = [], True
    with Engine.open(path, backbone=pixels()) as engine:
        engine.predict(Shots(classes).picture(0))
        for i in range(rounds):
            engine.flush()
            start = time.perf_counter()
            engine.forget(f"class {i:05d}")
            times.append(time.perf_counter() - start)
            engine.flush()
            if i == 0:
                sums = _sums_of(engine, (1, 50, 99))
                equal = sums == _sums_of_fresh(path, (1, 50, 99))
            engine.undo()
    median = statistics.median(times)
    yield Figure(
        f"forget a class of {shots} of {LARGE}, refit excluded",
        f"median {1e3 * median:.0f} ms, max {1e3 * max(times):.0f} ms",
        "<= 100 ms",
        median <= 0.1,
    )
    yield Figure("sums and Gram after it, as of a fresh read", str(equal), "bit-equal", equal)


def _sums_of(engine: Engine, classes: tuple[int, ...]) -> list[bytes]:
    snapshot = engine.fitted().snapshot
    at = [snapshot.labels.index(f"class {c:05d}") for c in classes]
    return [snapshot.gram.tobytes(), snapshot.sum.tobytes(), snapshot.sums_of(at).tobytes()]


def _sums_of_fresh(path: Path, classes: tuple[int, ...]) -> list[bytes]:
    """The same from every row of the store, read here and multiplied as integers."""
    card = pixels().card
    gram = np.zeros((DIM, DIM))
    sums: dict[str, NDArray[np.int64]] = {}
    with Store.open(path, backbone=card.name, fingerprint=card.fingerprint, dim=DIM) as store:
        for rows in store.rows():
            features = to_features(rows.embeddings, nonnegative=card.nonnegative)
            wide = features.astype(np.float64)
            gram += wide.T @ wide
            labels = np.array(rows.labels)
            for label in dict.fromkeys(rows.labels):
                total = features[labels == label].sum(axis=0, dtype=np.int64)
                sums[label] = sums.get(label, np.zeros(DIM, np.int64)) + total
    chosen = np.stack([sums[f"class {c:05d}"] for c in classes])
    whole = np.sum(list(sums.values()), axis=0)
    return [gram.tobytes(), whole.tobytes(), chosen.tobytes()]
