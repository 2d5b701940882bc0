"""How long a predictor waits while another process enrols."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.common import Figure
from benchmarks.scale import DIM, LARGE, filled

__all__ = ["waits"]

SHOTS = 1000

Run = tuple[list[float], float, float]
"""Seconds of each prediction, of writing, and from then until the last class was known."""

# One process: a shot at a time of a hundred new classes, as fast as they become durable. It
# tells when the last one was.
WRITER = """
import sys, time
from benchmarks.scale import DIM, Shots, pixels
from edgeinc.store import NewExample, Store
card = pixels().card
source = Shots(10)
path, shots = sys.argv[1], int(sys.argv[2])
with Store.open(path, backbone=card.name, fingerprint=card.fingerprint, dim=DIM) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    for k in range(shots):
        shot = NewExample(f"new {k // 10:03d}", source.rows(k % 10, 1)[0])
        store.enroll([shot], file="none", file_sha256="0" * 64)
    print(time.time(), flush=True)
"""

# The other predicts until it knows the last class, and gives the time of each prediction.
PREDICTOR = """
import json, subprocess, sys, time
from benchmarks.scale import Shots, pixels
from benchmarks.waits import WRITER
from edgeinc.engine import Engine
path, classes, shots, pause = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
picture, last = Shots(classes).picture(0), f"new {(shots - 1) // 10:03d}"
words = [sys.executable, "-c", WRITER, path, str(shots)]
pipe = subprocess.PIPE
with (
    Engine.open(path, backbone=pixels()) as engine,
    subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as writer,
):
    engine.predict(picture)
    writer.stdout.readline()
    writer.stdin.write("go\\n")
    writer.stdin.close()
    start, times, known = time.time(), [], 0.0
    while writer.poll() is None or not known:
        before = time.perf_counter()
        engine.predict(picture)
        times.append(time.perf_counter() - before)
        if not known and last in engine._memory.counts():
            known = time.time()
        time.sleep(pause)
    done = float(writer.stdout.read())
print(json.dumps([times, done - start, known - done]))
"""


def waits(shots: int = SHOTS) -> Iterator[Figure]:
    """A process that predicts, at 30 a second and without a pause, while another enrols.

    Once with one thread for numpy's products, as in the shell, and once as many as it takes.
    """
    for examples, classes in ((1000, 20), (LARGE, 1000)):
        for pause, threads in ((1 / 30, "1"), (0.0, "1"), (1 / 30, "")):
            yield from _waits(examples, classes, shots, pause, threads)


def _waits(
    examples: int, classes: int, shots: int, pause: float, threads: str, rounds: int = 5
) -> Iterator[Figure]:
    runs = [_run(examples, classes, shots, pause, threads) for _ in range(rounds)]
    times = [t for run in runs for t in run[0]]
    wrote = statistics.median(run[1] for run in runs)
    late = max(run[2] for run in runs)
    p99 = float(np.quantile(times, 0.99))
    every = "30 a second" if pause else "without a pause"
    yield Figure(
        f"predict, {every}, {examples} x {DIM}, {threads or 'all'} threads for numpy, while "
        f"another process enrols {shots} shots, {rounds} times",
        f"median {1e3 * statistics.median(times):.2f} ms, p99 {1e3 * p99:.1f} ms, max "
        f"{1e3 * max(times):.0f} ms, of {len(times)}; {1e3 * wrote / shots:.1f} ms a shot",
        "p99 <= 20 ms" if threads else "",
        p99 <= 0.02 if threads else None,
    )
    yield Figure(
        "its last class known after that is durable, the latest of them",
        f"{1e3 * max(late, 0.0):.0f} ms",
        "<= 250 ms" if threads else "",
        late <= 0.25 if threads else None,
    )


def _run(examples: int, classes: int, shots: int, pause: float, threads: str) -> Run:
    """Both processes on a store of their own."""
    root = str(Path(__file__).parents[1])
    limits = {"OPENBLAS_NUM_THREADS": threads} if threads else {}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "s.db"
        shutil.copyfile(filled(examples, classes), path)
        done = subprocess.run(
            [sys.executable, "-c", PREDICTOR, str(path), str(classes), str(shots), str(pause)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,
            env={**os.environ, "PYTHONPATH": root, **limits},
        )
    times, wrote, late = json.loads(done.stdout)
    return times, wrote, late
