"""The process in which one way is measured: `python -m edgeinc.bench.child`.

One to a process, because only so it can be told what memory a way takes, and because a
driver may crash: so the devices that are here are looked for in one too.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgeinc.backbone import Backbone
from edgeinc.cards import ModelCard, parse_card
from edgeinc.children import serve
from edgeinc.devices import CPU_PROVIDER, WORDS, Device, Placement, is_cpu
from edgeinc.errors import EdgeincError
from edgeinc.machine import energy, peak
from edgeinc.runtimes.around import devices_here

__all__ = ["main"]

FRAME = (720, 1280, 3)
WARMUP, LEAST = 3, 5


class Ran(NamedTuple):
    """What ran: two ways with the same of these are one.

    Attributes:
        runtime: The runtime.
        sha256: Of the file.
        device: The device, in the runtime's own words.
        placement: How much of the network it runs, without what was asked for.
    """

    runtime: str
    sha256: str
    device: str
    placement: Placement


def main() -> None:
    """Looks for devices, or measures, as the request asks."""
    serve(_answer)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    if "look" in request:
        return {"devices": [device.text for device in devices_here(request["look"])]}
    return _measured(request["measure"])


def _measured(request: dict[str, Any]) -> dict[str, Any]:
    """What a way takes, what was warned of, and how the shell chooses it."""
    where = request["folder"]
    card = parse_card(request["card"], None if where is None else Path(where))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", RuntimeWarning)
        answer, ran = _measure(card, request)
    answer["warnings"] = [str(w.message) for w in told if w.category is RuntimeWarning]
    with warnings.catch_warnings():
        # They have been told.
        warnings.simplefilter("ignore", RuntimeWarning)
        answer["chosen"] = _chosen(card, request, ran)
    return answer


def _measure(card: ModelCard, request: dict[str, Any]) -> tuple[dict[str, Any], Ran]:
    # Noise, because a flat picture would flatter runtimes that skip zeros.
    frame = np.random.default_rng(0).integers(0, 256, FRAME, dtype=np.uint8)
    counters = energy()
    how = {key: request[key] for key in ("runtime", "device", "strict", "fallback", "threads")}
    with Backbone.open(card, **how) as backbone:
        call = partial(backbone.embed, [frame])
        for _ in range(WARMUP):
            call()
        before = counters.read()
        times = _times(call, request["seconds"])
        joules = counters.joules(before, counters.read())
        answer = {
            "runtime": backbone.runtime,
            "device": backbone.device,
            "placement": backbone.placement,
            "p50_ms": float(np.percentile(times, 50)),
            "p95_ms": float(np.percentile(times, 95)),
            "per_second": 1000 / float(np.mean(times)),
            "memory": peak(),
            "joules": None if joules is None else joules / len(times),
        }
        return answer, _ran(backbone)


def _chosen(card: ModelCard, request: dict[str, Any], ran: Ran) -> str | None:
    """The device by which the shell, which chooses no runtime, runs a card as it ran.

    None where there is none: of a card whose first file for the CPU is another.
    """
    asked = str(request["device"])
    words: tuple[str, ...] = (asked,)
    if is_cpu(ran.device):
        words = ("cpu", CPU_PROVIDER)
    elif Device.of(asked).name not in WORDS:
        # One runtime only knows a device by its own name.
        return asked
    for word in words:
        # A file before its own may be damaged.
        with (
            suppress(EdgeincError),
            Backbone.open(card, device=word, threads=request["threads"]) as backbone,
        ):
            if _ran(backbone) == ran:
                return Device(word).text
    return None


def _ran(backbone: Backbone) -> Ran:
    return Ran(
        backbone.runtime,
        backbone.file_sha256,
        backbone.device,
        backbone.placement._replace(asked=""),
    )


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
    main()
