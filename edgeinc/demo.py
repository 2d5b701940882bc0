"""The main job on pictures that the project draws itself: learn, recognise, learn one more."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeinc.devices import brief
from edgeinc.draw import annotate, check_picture, contact_sheet, write_picture
from edgeinc.engine import Engine
from edgeinc.errors import InputError
from edgeinc.parts import KINDS, draw_part
from edgeinc.types import Prediction, counted

__all__ = ["MOST", "DemoResult", "DemoRow", "demo_table", "run_demo"]

Picture = NDArray[np.uint8]

MOST = 1000
"""Pictures a class to learn from, and to recognise: they are held in memory, 0.15 MB each."""

# What the engine does not know until the last part of the demo.
NEWCOMER = "wing nut"
NEWCOMERS_SHOWN = 10
COLUMNS = 10
SIZE = 224


@dataclass(frozen=True, slots=True)
class DemoRow:
    """How one class did.

    Attributes:
        label: The class.
        shots: Pictures it was learned from.
        learn_ms: Time for all of them until durable, milliseconds.
        shown: Pictures shown afterwards.
        right: Of these, how many had the class as best candidate.
        accepted: Of these, how many were taken for known.
    """

    label: str
    shots: int
    learn_ms: float
    shown: int
    right: int
    accepted: int


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo measured.

    Attributes:
        n: Pictures recognised.
        top1: Share of them whose best candidate was right.
        rows: One a class, in the order they were learned.
        rejected_before: Pictures of the last class that were taken for strangers before it
            was learned.
        shown_before: Of so many.
        predict_ms: Median time of a prediction, milliseconds.
        device: The device that really ran the backbone.
        picture: The annotated contact sheet.
    """

    n: int
    top1: float
    rows: tuple[DemoRow, ...]
    rejected_before: int
    shown_before: int
    predict_ms: float
    device: str
    picture: Path


def run_demo(
    engine: Engine,
    picture: str | Path,
    *,
    shots: int = 5,
    stream: int = 100,
    seed: int = 0,
    on_event: Callable[[str], None] = lambda line: None,
) -> DemoResult:
    """Enrols drawn parts, recognises a stream of others, then learns one part more.

    Args:
        engine: Opened on a store in which nothing is enrolled.
        picture: File to write the annotated contact sheet to.
        shots: Pictures a class to learn from, 1 to `MOST`.
        stream: Pictures to recognise, of all classes but the last, 1 to `MOST`.
        seed: Of everything that is drawn, 0 or more.
        on_event: Gets one line for people at each step.

    Raises:
        InputError: `shots`, `stream` or `seed` is none, something is enrolled already, or the
            picture cannot be written; a name of no picture is refused before the work.
        EdgeincError: The engine failed.
    """
    if not (1 <= shots <= MOST and 1 <= stream <= MOST):
        raise InputError(
            f"The demo learns from 1 to {MOST} pictures a class and recognises 1 to {MOST}; it "
            f"was asked for {brief(shots)} and {brief(stream)}."
        )
    if seed < 0:
        raise InputError(f"{brief(seed)} is no seed; give 0 or more.")
    if engine.classes():
        raise InputError("The demo learns from nothing; give it a store that does not exist yet.")
    check_picture(picture)
    rng = np.random.default_rng(seed)
    learn_ms, taught = {}, []
    for kind in (k for k in KINDS if k != NEWCOMER):
        frames = _drawn([kind] * shots, rng)
        learn_ms[kind] = _learn(engine, kind, frames)
        taught += frames[:2]
        on_event(f"learned {kind} from {counted(shots, 'pictures')} in {learn_ms[kind]:.0f} ms")
    engine.flush()

    truths = [list(learn_ms)[i % len(learn_ms)] for i in rng.permutation(stream)]
    shown = _recognise(engine, truths, rng)
    right = sum(_is_right(truth, p) for truth, _, p in shown)
    on_event(f"recognised {counted(stream, 'other pictures')}, {right} of them right")

    before = _recognise(engine, [NEWCOMER] * NEWCOMERS_SHOWN, rng)
    rejected = sum(not p.known for _, _, p in before)
    on_event(f"a {NEWCOMER} comes along: unknown in {rejected} of {len(before)} pictures")
    learn_ms[NEWCOMER] = _learn(engine, NEWCOMER, _drawn([NEWCOMER] * shots, rng))
    on_event(f"learned {NEWCOMER} from {counted(shots, 'pictures')} in {learn_ms[NEWCOMER]:.0f} ms")
    after = _recognise(engine, [NEWCOMER] * NEWCOMERS_SHOWN, rng)
    right = sum(_is_right(truth, p) for truth, _, p in after)
    on_event(f"recognised {len(after)} other pictures of it, {right} of them right")

    sheet = contact_sheet(
        {
            f"Learned from {counted(shots, 'pictures')} each": taught[:COLUMNS],
            "Recognised": [_answer(*one) for one in shown[: 3 * COLUMNS]],
            f"A {NEWCOMER}, before it was learned": [_answer(*one) for one in before],
            f"And after {learn_ms[NEWCOMER]:.0f} ms": [_answer(*one) for one in after],
        },
        columns=COLUMNS,
    )
    write_picture(picture, sheet)
    every = [*shown, *after]
    return DemoResult(
        n=len(every),
        top1=sum(_is_right(truth, p) for truth, _, p in every) / len(every),
        rows=tuple(_row(kind, shots, ms, every) for kind, ms in learn_ms.items()),
        rejected_before=rejected,
        shown_before=len(before),
        predict_ms=statistics.median(p.ms for _, _, p in every),
        device=every[0][2].device,
        picture=Path(picture),
    )


def demo_table(result: DemoResult) -> str:
    """The result as a table for people."""
    wide = max(len(row.label) for row in result.rows)
    lines = [f"{'part':{wide}}  shots  learned in  shown  right  accepted"]
    lines += [
        f"{row.label:{wide}}  {row.shots:5d}  {row.learn_ms:7.0f} ms  {row.shown:5d}  "
        f"{row.right / max(1, row.shown):5.0%}  {row.accepted / max(1, row.shown):8.0%}"
        for row in result.rows
    ]
    return "\n".join(
        [
            *lines,
            "",
            f"{result.top1:.1%} of {result.n} pictures right, "
            f"{result.predict_ms:.1f} ms a picture on {result.device}",
        ]
    )


def _drawn(kinds: Sequence[str], rng: np.random.Generator) -> list[Picture]:
    return [draw_part(kind, rng, SIZE) for kind in kinds]


def _learn(engine: Engine, label: str, frames: Sequence[Picture]) -> float:
    """Enrols a class; milliseconds until it was durable."""
    start = time.perf_counter()
    engine.enroll(label, frames)
    return 1000 * (time.perf_counter() - start)


def _recognise(
    engine: Engine, truths: Sequence[str], rng: np.random.Generator
) -> list[tuple[str, Picture, Prediction]]:
    frames = _drawn(truths, rng)
    return [(t, f, engine.predict(f)) for t, f in zip(truths, frames, strict=True)]


def _is_right(truth: str, prediction: Prediction) -> bool:
    return bool(prediction.candidates) and prediction.candidates[0].label == truth


def _answer(truth: str, frame: Picture, prediction: Prediction) -> Picture:
    return annotate(frame, prediction, truth=truth)


def _row(
    label: str, shots: int, learn_ms: float, shown: Sequence[tuple[str, Picture, Prediction]]
) -> DemoRow:
    answers = [p for truth, _, p in shown if truth == label]
    return DemoRow(
        label=label,
        shots=shots,
        learn_ms=learn_ms,
        shown=len(answers),
        right=sum(_is_right(label, p) for p in answers),
        accepted=sum(p.known for p in answers),
    )
