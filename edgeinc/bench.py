"""Speed of a backbone on this device: every runtime that is here, one thread and all cores."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from edgeinc.backbone import Backbone
from edgeinc.cards import ModelCard
from edgeinc.devices import AskedDevice, Placement
from edgeinc.runtimes import available, runtimes_for
from edgeinc.runtimes.base import physical_cores
from edgeinc.weights import installed_path

__all__ = ["BenchRow", "bench"]

FRAME = (720, 1280, 3)
WARMUP = 3


@dataclass(frozen=True, slots=True)
class BenchRow:
    """Time from a 1280x720 frame in memory to its embedding.

    Attributes:
        model: The card's name.
        runtime: The runtime that ran it.
        device: The device that really ran it, in the runtime's own words.
        placement: The device asked for, and how much of the network the device ran.
        threads: Threads of the runtime.
        p50_ms: Median, milliseconds.
        p95_ms: 95th percentile, milliseconds.
        per_second: Frames a second, one after the other.
    """

    model: str
    runtime: str
    device: str
    placement: Placement
    threads: int
    p50_ms: float
    p95_ms: float
    per_second: float


def bench(
    card: ModelCard,
    *,
    seconds: float = 2.0,
    device: AskedDevice = "auto",
    strict: bool = False,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[BenchRow, ...]:
    """Times a backbone in each runtime that is installed, knows the device, and has its weights.

    Args:
        card: The backbone.
        seconds: How long to measure each row.
        device: As in `Engine.open`.
        strict: As in `Engine.open`.
        threads: Only this number; by default 1 and the physical cores.
        progress: Called with (done, total).

    Returns:
        One row for each runtime and number of threads.

    Raises:
        ModelNotFoundError: No weights of this backbone are installed.
        RuntimeUnavailableError: They are, and no runtime for them is installed.
        EdgeincError: Of the other kinds that `Backbone.open` raises.
    """
    here = {runtime.name for runtime in available()}.intersection(runtimes_for(device))
    files = [file for file in card.files if installed_path(card, file) is not None]
    runtimes: list[str | None] = []
    runtimes += dict.fromkeys(file.runtime for file in files if file.runtime in here)
    counts = sorted({1, physical_cores()}) if threads is None else [threads]
    # Where there is none, opening the backbone without a choice says what is missing.
    plan = [(runtime, count) for runtime in runtimes or [None] for count in counts]
    # Noise, because a flat picture would flatter runtimes that skip zeros.
    frame = np.random.default_rng(0).integers(0, 256, FRAME, dtype=np.uint8)
    rows = []
    for done, (runtime, count) in enumerate(plan, 1):
        with Backbone.open(
            card, runtime=runtime, device=device, strict=strict, threads=count
        ) as backbone:
            times = _times(partial(backbone.embed, [frame]), seconds)
            rows.append(
                BenchRow(
                    model=card.name,
                    runtime=backbone.runtime,
                    device=backbone.device,
                    placement=backbone.placement,
                    threads=count,
                    p50_ms=float(np.percentile(times, 50)),
                    p95_ms=float(np.percentile(times, 95)),
                    per_second=1000 / float(np.mean(times)),
                )
            )
        if progress is not None:
            progress(done, len(plan))
    return tuple(rows)


def _times(call: Callable[[], object], seconds: float) -> list[float]:
    """Milliseconds of each call, for at least `seconds` and at least five calls."""
    for _ in range(WARMUP):
        call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return times
