"""Measuring every way, each in a process of its own."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgeinc.bench.plan import Way, ways
from edgeinc.bench.report import BenchReport, BenchRow, Skipped, best_of
from edgeinc.cards import ModelCard, dump_card
from edgeinc.children import Bounds, Death, ask
from edgeinc.devices import AskedDevice, Device, Placement, brief
from edgeinc.errors import (
    DeviceError,
    EdgeincError,
    InferenceError,
    InputError,
    RuntimeUnavailableError,
)
from edgeinc.machine import energy
from edgeinc.runtimes.helpers import check_settings
from edgeinc.runtimes.refusals import none_of
from edgeinc.weights import find_card

__all__ = ["bench"]

LONGEST = 3600.0
"""Seconds that a way is measured at most."""
PATIENCE = 300.0
"""Seconds for opening a network: compiling it for a chip takes minutes."""
CHILD = "edgeinc.bench.child"


def bench(
    cards: ModelCard | str | Path | Sequence[ModelCard | str | Path],
    *,
    seconds: float = 2.0,
    device: AskedDevice = "auto",
    strict: bool = False,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> BenchReport:
    """Times backbones in each runtime, on each device, and with each number of threads.

    Args:
        cards: The backbones: cards, names of models, or paths of cards; the first is the one
            for which a way is recommended.
        seconds: How long to measure each way; above 0, and an hour at most.
        device: `auto` for every device that is here; else only this one, as in `Engine.open`.
        strict: As in `Engine.open`.
        threads: Only this number; by default 1, 2, 4 and so on up to the physical cores.
        progress: Called with (done, total).

    Returns:
        At least one row. A way that fails is among the skipped.

    Raises:
        InputError: No card is given, or something that is none; or `seconds`, `strict` or
            `threads` are of no use, or it is no device.
        ModelNotFoundError: There is no such model, or no weights are installed.
        RuntimeUnavailableError: They are, and no runtime for them is installed.
        EdgeincError: No way could be measured: the first one's error, of the kinds that
            `Backbone.open` raises; with a device's come those of the model's other runtimes.
    """
    wanted = Device.of(device)
    check_settings(threads, strict=strict)
    number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not number or not 0 < seconds <= LONGEST:
        raise InputError(
            f"{brief(seconds)} is no time to measure; give seconds above 0, up to {LONGEST:g}."
        )
    if isinstance(cards, (ModelCard, str)) or not isinstance(cards, Sequence):
        cards = [cards]
    each = [_card(one) for one in cards]
    here = _Here()
    plan = [way for card in each for way in ways(card, wanted, threads, here.devices)]
    if not plan:
        raise InputError("There is no model to measure; give at least one.")
    rows: list[BenchRow] = []
    skipped = [
        Skipped(way.card.name, runtime, wanted.text, way.threads, str(exc))
        for runtime, exc in here.failures.items()
        for way in [next(way for way in plan if way.runtime == runtime)]
    ]
    failures: list[tuple[Way, EdgeincError]] = []
    told: dict[str, None] = {}
    for done, way in enumerate(plan, 1):
        try:
            answer = _measure(way, seconds, strict=strict, fallback=wanted.name != "auto")
        except EdgeincError as exc:
            failures.append((way, exc))
            skipped.append(
                Skipped(way.card.name, way.runtimes, way.device.text, way.threads, str(exc))
            )
        else:
            told |= dict.fromkeys(answer.pop("warnings"))
            placement = Placement(*answer.pop("placement"))
            placement = placement._replace(left=tuple(placement.left))
            rows.append(BenchRow(way.card.name, placement=placement, threads=way.threads, **answer))
        if progress is not None:
            progress(done, len(plan))
    if not rows:
        raise _none_measured(failures)
    for words in told:
        warnings.warn(words, RuntimeWarning, stacklevel=2)
    models = dict.fromkeys(row.model for row in rows)
    best = {name: best_of([row for row in rows if row.model == name]) for name in models}
    return BenchReport(tuple(rows), tuple(skipped), best, energy().problem)


def _card(given: object) -> ModelCard:
    """A card, from one, a name or a path.

    Raises:
        InputError: It is none of them.
        ModelNotFoundError, CardError: As `find_card`.
    """
    if isinstance(given, (str, Path)):
        return find_card(given)
    if not isinstance(given, ModelCard):
        raise InputError(f"{brief(given)} is no model; give a card, or a model's name.")
    return given


def _none_measured(failures: Sequence[tuple[Way, EdgeincError]]) -> EdgeincError:
    """The error where every way failed; at least one is given."""
    first, error = failures[0]
    if not isinstance(error, DeviceError):
        return error
    own = [exc for way, exc in failures if way.card.name == first.card.name]
    return none_of([exc for exc in own if isinstance(exc, DeviceError)])


class _Here:
    """What is here for each runtime: looking loads vendors' libraries, which may crash.

    Attributes:
        failures: Why it could not be told, by runtime; there the CPU is taken.
    """

    def __init__(self) -> None:
        self.failures: dict[str, EdgeincError] = {}
        self._found: dict[str, tuple[Device, ...]] = {}

    def devices(self, runtime: str) -> tuple[Device, ...]:
        """The devices here for a runtime, the CPU first."""
        if runtime not in self._found:
            self._found[runtime] = self._look(runtime)
        return self._found[runtime]

    def _look(self, runtime: str) -> tuple[Device, ...]:
        what = f"looking for devices of {runtime}"
        advice = "a library that it loads may be at fault: install that again, or name a device"
        try:
            answer = _asked({"look": runtime}, what, advice)
        except RuntimeUnavailableError:
            # It says so too where the card is opened.
            return (Device("cpu"),)
        except EdgeincError as exc:
            self.failures[runtime] = exc
            return (Device("cpu"),)
        return tuple(Device.of(text) for text in answer["devices"])


def _measure(way: Way, seconds: float, *, strict: bool, fallback: bool) -> dict[str, Any]:
    """Measures one way.

    Args:
        way: It.
        seconds: How long.
        strict: As in `Engine.open`.
        fallback: As in `Backbone.open`.

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
        "fallback": fallback,
    }
    what = f"{way.runtimes} on {way.device}"
    return _asked({"measure": request}, what, "verify the model", seconds=seconds)


def _asked(
    request: dict[str, Any], what: str, advice: str, *, seconds: float = 0.0
) -> dict[str, Any]:
    """Has `edgeinc.bench.child` answer a request.

    Args:
        request: It.
        what: What the process does, for errors.
        advice: What to do where it dies.
        seconds: How long it measures, beyond opening a network.

    Raises:
        EdgeincError: Its own, or as `children.ask`.
        InferenceError: The process crashed, did not end, or left no answer.
    """
    answer = ask(CHILD, what, request, Bounds(PATIENCE + 2 * seconds))
    if isinstance(answer, Death):
        raise _judged(what, answer, advice)
    return answer


def _judged(what: str, death: Death, advice: str) -> InferenceError:
    """What is to be said of a way, or of looking for devices, that a process died of."""
    how = death.stopped or "ended without an answer"
    if not death.stopped and death.status:
        signal = death.signal
        how = f"crashed by {signal}" if signal else f"failed with status {death.status}"
    if death.starved:
        advice = "free memory, and try again"
    return InferenceError(f"{what} {how}{death.quoted}; {advice}.")
