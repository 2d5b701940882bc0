"""What our call adds to the bare runtime's, and what the processor does between two frames."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import V2, Figure, paired
from edgeinc.backbone import Backbone
from edgeinc.engine import Engine
from edgeinc.runtimes import Session, open_session
from edgeinc.runtimes.base import physical_cores
from edgeinc.runtimes.litert import LiteRtSession
from edgeinc.runtimes.onnx import OnnxSession
from edgeinc.weights import find_card, load_file

__all__ = ["devices"]

RUNTIMES = ("litert", "onnx")
RATE = 10
SECONDS = 10.0


def devices(rounds: int = 400, seconds: float = SECONDS) -> Iterator[Figure]:
    """Both runtimes, on one thread and on all physical cores."""
    for runtime in RUNTIMES:
        for threads in sorted({1, physical_cores()}):
            yield _call(runtime, threads, rounds)
            yield _idle(runtime, threads, seconds)


def _call(runtime: str, threads: int, rounds: int) -> Figure:
    """`Session.run` and the runtime's own calls in turn, on the same open network and array."""
    card = find_card(V2)
    file = next(file for file in card.files if file.runtime == runtime)
    content = load_file(card, file)
    with open_session(
        content, runtime, output=file.embedding.tensor, threads=threads, device="cpu"
    ) as session:
        array = np.random.default_rng(0).integers(0, 256, session.input.shape)
        array = array.astype(session.input.dtype)
        rival = _bare(session, array)
        ours, theirs, ratio = paired(partial(session.run, array), rival, rounds=rounds)
    return Figure(
        f"run call, {V2} {'x'.join(map(str, session.input.shape))} in {runtime}, "
        f"{threads} threads, vs the bare runtime's",
        f"{1e3 * ours:.3f} ms, {1e3 * theirs:.3f} ms; median of ratios {ratio:.4f}",
        "<= 1.02x",
        ratio <= 1.02,
    )


def _bare(session: Session, array: NDArray[Any]) -> Callable[[], Any]:
    """What a program without edgeinc would call, on the network that the session holds."""
    match session:
        case OnnxSession():
            net = session._session
            taken, given = net.get_inputs()[0].name, net.get_outputs()[0].name
            return lambda: net.run([given], {taken: array})[0]
        case LiteRtSession():
            net = session._net
            entry = net.get_input_details()[0]["index"]
            exit_ = net.get_output_details()[0]["index"]

            def call() -> Any:
                net.set_tensor(entry, array)
                net.invoke()
                return net.get_tensor(exit_)

            return call
    raise TypeError(session)


def _idle(runtime: str, threads: int, seconds: float) -> Figure:
    """An engine that looks at a frame ten times a second; the processor's time in between.

    All threads of the process count: the runtime's, the engine's, the store's.
    """
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (4, 720, 1280, 3), dtype=np.uint8)
    backbone = Backbone.open(V2, runtime=runtime, device="cpu", threads=threads)
    with (
        tempfile.TemporaryDirectory() as scratch,
        Engine.open(Path(scratch) / "s.db", backbone=backbone) as engine,
    ):
        for label, frame in zip("abc", frames, strict=False):
            engine.enroll(label, frame)
        engine.predict(frames[3])
        engine.flush()
        between, within, wall = camera_like(
            lambda i: engine.predict(frames[i % len(frames)]), seconds
        )
    cores = between / wall
    return Figure(
        f"idle between frames, {RATE} a second for {wall:.0f} s, 1280x720, {V2} in {runtime}, "
        f"{threads} threads",
        f"{cores:.4f} core (the frames' own work: {within / wall:.3f})",
        "<= 0.1 core",
        cores <= 0.1,
    )


def camera_like(look: Callable[[int], object], seconds: float) -> tuple[float, float, float]:
    """Calls `look` with the number of the frame, ten times a second; sleeps in between.

    Returns:
        Seconds of processor time, of all threads, between the calls and within them; and
        seconds that went by.
    """
    between = within = 0.0
    start = time.perf_counter()
    mark = time.process_time()
    for i in range(round(RATE * seconds)):
        time.sleep(max(0.0, start + i / RATE - time.perf_counter()))
        begun = time.process_time()
        look(i)
        ended = time.process_time()
        between += begun - mark
        within += ended - begun
        mark = ended
    # The last frame's pause counts too.
    time.sleep(max(0.0, start + seconds - time.perf_counter()))
    between += time.process_time() - mark
    return between, within, time.perf_counter() - start
