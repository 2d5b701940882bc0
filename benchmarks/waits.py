"""How long a predictor waits while another process enrols."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.common import Figure
from benchmarks.scale import DIM, LARGE, Shots, filled, pixels
from edgeinc.engine import Engine

__all__ = ["waits"]

SHOTS = 1000
LAST = f"new {(SHOTS - 1) // 10:03d}"

# The other process: a shot of a new class at a time, as fast as they become durable. It tells
# when each was; the clock is the system's.
WRITER = """
import sys, time
from benchmarks.scale import Shots, pixels, DIM
from edgeinc.store import NewExample, Store
card = pixels().card
source = Shots(10)
with Store.open(sys.argv[1], backbone=card.name, fingerprint=card.fingerprint, dim=DIM) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    for k in range(int(sys.argv[2])):
        shot = NewExample(f"new {k // 10:03d}", source.rows(k % 10, 1)[0])
        store.enroll([shot], file="none", file_sha256="0" * 64)
    print(time.time(), flush=True)
"""


def waits() -> Iterator[Figure]:
    """Predictions of one process, at 30 a second and without a pause, while another enrols."""
    for examples, classes in ((1000, 20), (LARGE, 1000)):
        for pause in (1 / 30, 0.0):
            yield from _waits(examples, classes, pause)


def _waits(examples: int, classes: int, pause: float) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "s.db"
        shutil.copyfile(filled(examples, classes), path)
        picture = Shots(classes).picture(0)
        words = [sys.executable, "-c", WRITER, str(path), str(SHOTS)]
        root = Path(__file__).parents[1]
        with (
            Engine.open(path, backbone=pixels()) as engine,
            subprocess.Popen(
                words, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            ) as writer,
        ):
            assert writer.stdin is not None
            assert writer.stdout is not None
            engine.predict(picture)
            writer.stdout.readline()
            writer.stdin.write("go\n")
            writer.stdin.close()
            start = time.perf_counter()
            times: list[float] = []
            known = wrote = 0.0
            # Until the other process is done and its last class is known.
            while writer.poll() is None or not known:
                before = time.perf_counter()
                engine.predict(picture)
                times.append(time.perf_counter() - before)
                if not known and LAST in engine._memory.counts():
                    known, wrote = time.time(), time.perf_counter() - start
                time.sleep(pause)
            done = float(writer.stdout.read())
    p99 = float(np.quantile(times, 0.99))
    every = "30 a second" if pause else "without a pause"
    yield Figure(
        f"a prediction ({every}) while another process enrols {SHOTS} shots, {examples} x {DIM}",
        f"median {1e3 * statistics.median(times):.2f} ms, p99 {1e3 * p99:.1f} ms, max "
        f"{1e3 * max(times):.0f} ms, of {len(times)}; {1e3 * wrote / SHOTS:.1f} ms a shot",
        "p99 <= 20 ms",
        p99 <= 0.02,
    )
    late = 1e3 * max(known - done, 0.0)
    yield Figure("the last of these known after", f"{late:.0f} ms", "<= 250 ms", late <= 250)
