"""The process in which one way is measured: `python -m edgeinc.bench.child FOLDER`.

One to a process, because only so it can be told what memory a way takes, and because a
driver may crash.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgeinc.backbone import Backbone
from edgeinc.bench.notes import ANSWER, REQUEST
from edgeinc.cards import parse_card
from edgeinc.errors import DeviceRefusedError, EdgeincError
from edgeinc.machine import energy, peak

__all__ = ["main"]

FRAME = (720, 1280, 3)
WARMUP, LEAST = 3, 5
ON_CPU = ("CPU", "CPUExecutionProvider")


def main(folder: Path) -> None:
    """Measures what the request asks for; an error that a caller can catch is an answer too."""
    request = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", RuntimeWarning)
            answer = _measure(request)
        answer["warnings"] = [str(w.message) for w in told if w.category is RuntimeWarning]
    except EdgeincError as exc:
        answer = {"error": type(exc).__name__, "message": str(exc)}
    (folder / ANSWER).write_text(json.dumps(answer), encoding="utf-8")


def _measure(request: dict[str, Any]) -> dict[str, Any]:
    where = request["folder"]
    card = parse_card(request["card"], None if where is None else Path(where))
    # Noise, because a flat picture would flatter runtimes that skip zeros.
    frame = np.random.default_rng(0).integers(0, 256, FRAME, dtype=np.uint8)
    counters = energy()
    how = {key: request[key] for key in ("runtime", "device", "strict", "threads")}
    with Backbone.open(card, **how) as backbone:
        if request["only"] and backbone.device in ON_CPU:
            raise DeviceRefusedError(f"{request['device']} runs no part of {card.name}")
        call = partial(backbone.embed, [frame])
        for _ in range(WARMUP):
            call()
        before = counters.read()
        times = _times(call, request["seconds"])
        joules = counters.joules(before, counters.read())
        return {
            "runtime": backbone.runtime,
            "device": backbone.device,
            "placement": backbone.placement,
            "p50_ms": float(np.percentile(times, 50)),
            "p95_ms": float(np.percentile(times, 95)),
            "per_second": 1000 / float(np.mean(times)),
            "memory": peak(),
            "joules": None if joules is None else joules / len(times),
        }


def _times(call: Callable[[], object], seconds: float) -> list[float]:
    """Milliseconds of each call, for at least `seconds` and at least `LEAST` calls."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < LEAST:
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return times


if __name__ == "__main__":
    main(Path(sys.argv[1]))
