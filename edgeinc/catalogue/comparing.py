"""Whether a card's files say the same of the same pictures, on every runtime and device here."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeinc.cards import ModelCard, ModelFile, dump_card
from edgeinc.cards.device import placed
from edgeinc.catalogue.drawing import drawn
from edgeinc.catalogue.drift import cosines
from edgeinc.catalogue.golden import read_golden, scale_of
from edgeinc.catalogue.trial import attempt
from edgeinc.devices import AskedDevice, Device, is_cpu
from edgeinc.errors import EdgeincError, ImageError, RuntimeUnavailableError
from edgeinc.images import list_images
from edgeinc.parts import KINDS
from edgeinc.runtimes import runtimes_for
from edgeinc.runtimes.around import devices_here
from edgeinc.runtimes.base import CPU
from edgeinc.weights import find_card, load_file

__all__ = ["GOLDEN", "LEAST_COSINE", "Comparison", "Pair", "Run", "compare"]

GOLDEN = "golden"
LEAST_COSINE = 0.98
"""Of one picture in two places: below it a store made in the one is of no use in the other."""
MOST_PICTURES = 64
FIXED_POINT = 32767
DRAWN = 12

Verdict = Literal["equal", "one step", "different"]


@dataclass(frozen=True, slots=True)
class Run:
    """A card's file on a device.

    Attributes:
        name: The file and the device, in words; `golden` for what lies beside the card.
        file: The file.
        runtime: That read it.
        device: What really ran it, in the runtime's own words.
        share: Share of the network's operators that the device asked for ran, 0 to 1; None
            where the runtime does not tell.
    """

    name: str
    file: str
    runtime: str
    device: str
    share: float | None


class Pair(NamedTuple):
    """Two runs of the same pictures.

    Attributes:
        one: Name of the one run.
        other: Name of the other.
        verdict: `equal`, every number bit for bit; `one step`, none further apart than one
            step of the coarser quantisation; else `different`.
        steps: The furthest that two numbers are apart, in such steps.
        cosine: Mean cosine of the two embeddings of a picture.
        least: The least of them.
    """

    one: str
    other: str
    verdict: Verdict
    steps: float
    cosine: float
    least: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found out.

    Attributes:
        card: The card.
        pictures: How many pictures each run saw.
        runs: The runs, on the CPU first.
        pairs: Each with each.
        left_out: A sentence for each file or device that could not be compared.
    """

    card: ModelCard
    pictures: int
    runs: tuple[Run, ...]
    pairs: tuple[Pair, ...]
    left_out: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """True when no two runs are further apart than a store can bear."""
        return _agree(self.pairs)

    @property
    def advice(self) -> str:
        """What to do where it is not `ok`."""
        first = "use one file and one device for a store"
        plain = {run.name for run in self.runs if is_cpu(run.device) or run.runtime == GOLDEN}
        pairs = [pair for pair in self.pairs if {pair.one, pair.other} <= plain]
        if pairs and _agree(pairs):
            # The files agree on the CPU.
            apart = ", ".join(run.name for run in self.runs if run.name not in plain)
            return f"{first}; what differs is the device, not the files: {apart}"
        return f"{first}, or fetch the files again"


def _agree(pairs: Sequence[Pair]) -> bool:
    return all(pair.cosine >= LEAST_COSINE for pair in pairs)


class _Rows(NamedTuple):
    """A run, its real values `(n, d)`, its quantisation's step (0 for floats), and what it saw."""

    run: Run
    values: NDArray[np.float32]
    step: float
    seen: tuple[str, ...]


def compare(
    card: ModelCard | str | Path,
    pictures: str | Path | None = None,
    *,
    device: AskedDevice = "auto",
) -> Comparison:
    """Embeds the same pictures with each file of a card on each device that is here.

    Each run has a process of its own, under limits; see `trial`. Where embeddings that the
    network gave once lie beside the card (`NAME.golden.json`), they are one of the runs,
    named `golden`, unless other pictures are asked for.

    Args:
        card: A card, a model's name, or the path of a card.
        pictures: A folder of pictures, of which 64 are taken at most; by default parts that
            are drawn on the spot.
        device: A device to try besides those that are found, with its options.

    Raises:
        ModelNotFoundError: There is no such card.
        CardError: There is one and it, or what lies beside it, breaks the schema.
        ImageError: The folder holds no picture, or none of those taken can be read.
        InputError: It is no device.
    """
    if not isinstance(card, ModelCard):
        card = find_card(card)
    shown, golden = _shown(card, pictures)
    made: list[_Rows] = []
    left_out: list[str] = []
    for file, asked in _plan(card, device):
        try:
            rows = _run(card, file, asked, shown)
        except ImageError:
            # It is the pictures, not the file or the device.
            raise
        except EdgeincError as exc:
            left_out.append(f"{file.name} on {asked.text}: {exc}")
        else:
            made.append(rows)
    seen = made[0].seen if made else ()
    if made and (unread := len(shown["paths"] or seen) - len(seen)):
        left_out.append(f"{unread} of the pictures in {pictures}, which cannot be read")
    if made and golden is not None:
        if seen == golden.seen:
            made.append(golden)
        else:
            left_out.append(f"{GOLDEN}: the parts are drawn differently here; install OpenCV anew")
    pairs = tuple(_pair(a, b) for a, b in combinations(made, 2))
    return Comparison(card, len(seen), tuple(one.run for one in made), pairs, tuple(left_out))


def _shown(
    card: ModelCard, folder: str | Path | None
) -> tuple[dict[str, Sequence[Any]], _Rows | None]:
    """What the runs are shown, as `compare_trial` reads it, and the golden embeddings of it."""
    if folder is not None:
        paths = drawn(list_images(folder).pictures, MOST_PICTURES)
        return {"paths": [str(path.resolve()) for path in paths], "parts": []}, None
    golden = read_golden(card)
    if golden is None:
        return {"paths": [], "parts": [(KINDS[i % len(KINDS)], i) for i in range(DRAWN)]}, None
    step = max((scale_of(file) for file in card.files), default=0.0)
    real = golden.integers.astype(np.float32) * np.float32(step or 1.0)
    run = Run(GOLDEN, golden.name, GOLDEN, "", None)
    return {"paths": [], "parts": golden.parts}, _Rows(run, real, step, golden.seen)


def _plan(card: ModelCard, device: AskedDevice) -> Iterator[tuple[ModelFile, Device]]:
    """Each file with each device here that it could run on; the CPU first."""
    # Each run has a folder of its own.
    asked = placed(Device.of(device), Path.cwd())
    for file in card.files:
        if file.device is not None:
            yield file, Device.of(file.device)
            continue
        try:
            devices = list(devices_here(file.runtime))
        except RuntimeUnavailableError:
            # Running it says what is missing.
            devices = [Device("cpu")]
        if asked.name not in CPU and file.runtime in runtimes_for(asked):
            devices.append(asked)
        yield from ((file, one) for one in dict.fromkeys(devices))


def _run(
    card: ModelCard, file: ModelFile, device: Device, shown: dict[str, Sequence[Any]]
) -> _Rows:
    """One file on one device.

    Raises:
        EdgeincError: It is not here, is damaged, or does not run there.
    """
    content = load_file(card, file)
    request = {"card": dump_card(card), "device": device.text, **shown}
    found = attempt("embed", file.name, content, request)
    values = np.frombuffer(base64.b64decode(found["values"]), "<f4")
    rows = values.reshape(len(found["seen"]), card.dim)
    name = f"{file.name} on {found['device']}"
    run = Run(name, file.name, file.runtime, found["device"], found["share"])
    return _Rows(run, rows, scale_of(file), tuple(found["seen"]))


def _pair(a: _Rows, b: _Rows) -> Pair:
    alike = cosines(a.values, b.values)
    # Floats have no step of their own: that of the 16-bit numbers which a store keeps of them.
    finest = float(np.abs(a.values).max(initial=0.0)) / FIXED_POINT
    step = max(a.step, b.step) or finest or 1.0
    apart = np.abs(a.values.astype(np.float64) - b.values.astype(np.float64))
    steps = round(float(apart.max(initial=0.0)) / step, 3)
    verdict: Verdict = "one step" if steps <= 1 else "different"
    if np.array_equal(a.values, b.values):
        verdict = "equal"
    return Pair(a.run.name, b.run.name, verdict, steps, float(alike.mean()), float(alike.min()))
