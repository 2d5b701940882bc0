"""Measuring every way, each in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import edgeinc.errors as errors
from edgeinc.bench.notes import ANSWER, REQUEST
from edgeinc.bench.plan import Way, ways
from edgeinc.bench.report import BenchReport, BenchRow, Skipped, best_of
from edgeinc.cards import ModelCard, dump_card
from edgeinc.devices import AskedDevice, Device, Placement
from edgeinc.errors import EdgeincError, InferenceError, InputError
from edgeinc.machine import energy

__all__ = ["bench"]

PATIENCE = 300.0
"""Seconds for opening a network: compiling it for a chip takes minutes."""


def bench(
    cards: ModelCard | Sequence[ModelCard],
    *,
    seconds: float = 2.0,
    device: AskedDevice = "auto",
    strict: bool = False,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> BenchReport:
    """Times backbones in each runtime, on each device, and with each number of threads.

    Args:
        cards: The backbones; the first is the one for which a way is recommended.
        seconds: How long to measure each way.
        device: `auto` for every device that is here; else only this one, as in `Engine.open`.
        strict: As in `Engine.open`.
        threads: Only this number; by default 1, 2, 4 and so on up to the physical cores.
        progress: Called with (done, total).

    Returns:
        At least one row. A way that fails is among the skipped.

    Raises:
        InputError: No card is given, or `threads` is below 1.
        ModelNotFoundError: No weights are installed.
        RuntimeUnavailableError: They are, and no runtime for them is installed.
        EdgeincError: No way could be measured: the first one's error, of the kinds that
            `Backbone.open` raises.
    """
    wanted = Device.of(device)
    if threads is not None and threads < 1:
        raise InputError(f"{threads} threads cannot run a network; give at least 1")
    each = [cards] if isinstance(cards, ModelCard) else list(cards)
    plan = [way for card in each for way in ways(card, wanted, threads)]
    if not plan:
        raise InputError("there is no model to measure; give at least one")
    rows: list[BenchRow] = []
    skipped: list[Skipped] = []
    failures: list[EdgeincError] = []
    told: dict[str, None] = {}
    for done, way in enumerate(plan, 1):
        try:
            answer = _measure(way, seconds, strict=strict, only=wanted.name == "auto")
        except EdgeincError as exc:
            failures.append(exc)
            skipped.append(
                Skipped(way.card.name, way.runtime or "", way.device.text, way.threads, str(exc))
            )
        else:
            told |= dict.fromkeys(answer.pop("warnings"))
            placement = Placement(*answer.pop("placement"))
            placement = placement._replace(left=tuple(placement.left))
            rows.append(BenchRow(way.card.name, placement=placement, threads=way.threads, **answer))
        if progress is not None:
            progress(done, len(plan))
    if not rows:
        raise failures[0]
    for words in told:
        warnings.warn(words, RuntimeWarning, stacklevel=2)
    models = dict.fromkeys(row.model for row in rows)
    best = {name: best_of([row for row in rows if row.model == name]) for name in models}
    return BenchReport(tuple(rows), tuple(skipped), best, energy().problem)


def _measure(way: Way, seconds: float, *, strict: bool, only: bool) -> dict[str, Any]:
    """Measures one way.

    Args:
        way: It.
        seconds: How long.
        strict: As in `Engine.open`.
        only: It is an error when the CPU does all the work of another device.

    Raises:
        EdgeincError: It cannot be opened, or the process crashed or did not end.
    """
    card = way.card
    request = {
        "card": dump_card(card),
        "folder": None if card.folder is None else str(card.folder.resolve()),
        "runtime": way.runtime,
        "device": way.device.text,
        "threads": way.threads,
        "strict": strict,
        "seconds": seconds,
        "only": only and way.device.name not in ("auto", "cpu"),
    }
    with tempfile.TemporaryDirectory(prefix="edgeinc-", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        (folder / REQUEST).write_text(json.dumps(request), encoding="utf-8")
        # The process finds edgeinc where this one did.
        places = [str(Path(place or ".").resolve()) for place in sys.path]
        try:
            done = subprocess.run(
                [sys.executable, "-m", "edgeinc.bench.child", made],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PATIENCE + 2 * seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise InferenceError(
                f"{way.runtime} on {way.device} did not end in {exc.timeout:g} seconds"
            ) from exc
        if done.returncode != 0:
            raise _crashed(way, done.returncode, done.stderr)
        answer: dict[str, Any] = json.loads((folder / ANSWER).read_text(encoding="utf-8"))
    if (error := answer.get("error")) is not None:
        kind = getattr(errors, error) if error in errors.__all__ else EdgeincError
        raise kind(answer["message"])
    return answer


def _crashed(way: Way, status: int, said: bytes) -> InferenceError:
    """The error for a process that ended in a way of its own."""
    how = f"failed with status {status}"
    if status < 0:
        how = f"crashed by {signal.strsignal(-status) or f'signal {-status}'}"
    lines = said.decode("utf-8", "replace").strip().splitlines()
    last = f" ({lines[-1][:160]})" if lines else ""
    return InferenceError(f"{way.runtime} on {way.device} {how}{last}; verify the model")
