"""Whether a card's files say the same of the same pictures, on every runtime and device here."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeinc.backbone.choosing import attempts, nothing_fits
from edgeinc.cards import ModelCard, ModelFile, dump_card
from edgeinc.cards.device import placed
from edgeinc.catalogue.compared import GOLDEN, Comparison, Pair, Run, Verdict
from edgeinc.catalogue.drawing import drawn
from edgeinc.catalogue.drift import cosines
from edgeinc.catalogue.golden import read_golden, scale_of
from edgeinc.catalogue.trial import attempt
from edgeinc.devices import AskedDevice, Device
from edgeinc.errors import EdgeincError, ImageError, NoRoomError, RuntimeUnavailableError
from edgeinc.images import list_images
from edgeinc.parts import KINDS
from edgeinc.runtimes.around import devices_here
from edgeinc.runtimes.base import CPU
from edgeinc.runtimes.helpers import check_settings, some
from edgeinc.weights import find_card, load_file

__all__ = ["compare"]

MOST_PICTURES = 64
FIXED_POINT = 32767
DRAWN = 12


class _Rows(NamedTuple):
    """A run and what came of it.

    Attributes:
        run: It.
        values: The embeddings' real values, `(n, d)`.
        step: Its quantisation's step; 0 for floats.
        seen: The sha256 of each picture's pixels.
        left: The operators that the device left to the CPU.
        asked: How its device was asked for: the options, the name where there are none.
    """

    run: Run
    values: NDArray[np.float32]
    step: float
    seen: tuple[str, ...]
    left: tuple[str, ...] = ()
    asked: str = ""


def compare(
    card: ModelCard | str | Path,
    pictures: str | Path | None = None,
    *,
    device: AskedDevice = "auto",
    strict: bool = False,
) -> Comparison:
    """Embeds the same pictures with each file of a card on each device that is here.

    Each run has a process of its own, under limits; see `trial`. Where embeddings that the
    network gave once lie beside the card (`NAME.golden.json`), they are one of the runs,
    named `golden`, unless other pictures are asked for.

    Args:
        card: A card, a model's name, or the path of a card.
        pictures: A folder of pictures, of which 64 are taken at most; by default parts that
            are drawn on the spot.
        device: A device to try besides those that are found, with its options; it fails where
            none of the files runs there.
        strict: It fails too where a device leaves a part of a file to the CPU.

    Raises:
        ModelNotFoundError: There is no such card.
        CardError: There is one and it, or what lies beside it, breaks the schema.
        ImageError: The folder holds no picture, or none of those taken can be read.
        InputError: It is no device, or `strict` is no bool.
        NoRoomError: There is no room for a run.
    """
    check_settings(None, strict=strict)
    # Each run has a folder of its own.
    asked = placed(Device.of(device), Path())
    if not isinstance(card, ModelCard):
        card = find_card(card)
    shown, golden = _shown(card, pictures)
    made: list[_Rows] = []
    left_out: list[str] = []
    missed: list[str] = []
    reached = asked.name in CPU
    for file, one, wanted in _plan(card, asked):
        try:
            rows = _run(card, file, one, shown)
        except (ImageError, NoRoomError):
            # It is the pictures, or the disk, not the file or the device.
            raise
        except EdgeincError as exc:
            (missed if wanted else left_out).append(f"{file.name} on {one.text}: {exc}")
        else:
            made.append(rows)
            reached = reached or wanted
    made = _named(made)
    failed = [
        f"{one.run.name}: The CPU runs {some(one.left)}; use another network, or leave strict out."
        for one in made
        if strict and one.left
    ]
    if reached:
        left_out += missed
    else:
        failed += missed or [str(nothing_fits(card, asked))]
    seen = made[0].seen if made else ()
    if made and (unread := len(shown["paths"] or seen) - len(seen)):
        left_out.append(f"{unread} of the pictures in {pictures}, which cannot be read")
    if made and golden is not None:
        if seen == golden.seen:
            made.append(golden)
        else:
            left_out.append(f"{GOLDEN}: the parts are drawn differently here; install OpenCV anew")
    pairs = tuple(_pair(a, b) for a, b in combinations(made, 2))
    runs = tuple(one.run for one in made)
    return Comparison(card, len(seen), runs, pairs, tuple(left_out), tuple(failed))


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
    real = golden.integers.astype(np.float32) * np.float32(golden.scale)
    run = Run(GOLDEN, golden.name, GOLDEN, "", None)
    return {"paths": [], "parts": golden.parts}, _Rows(run, real, golden.scale, golden.seen)


def _plan(card: ModelCard, asked: Device) -> Iterator[tuple[ModelFile, Device, bool]]:
    """Each file with each device here that it could run on, and whether it was asked for.

    The CPU comes first, and what is only there because it was asked for last.
    """
    for file in card.files:
        there = [] if asked.name in CPU else attempts([file], asked, strict=False)
        wanted = [device for _, device, _ in there]
        devices = dict.fromkeys((*_devices(file), *wanted))
        yield from ((file, one, one in wanted) for one in devices)


def _devices(file: ModelFile) -> tuple[Device, ...]:
    """The devices here that a file could run on."""
    if file.device is not None:
        return (Device.of(file.device),)
    try:
        return devices_here(file.runtime)
    except RuntimeUnavailableError:
        # Running it says what is missing.
        return (Device("cpu"),)


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
    options = ",".join(f"{key}={value}" for key, value in device.options.items())
    left, asked = tuple(found["left"]), options or device.name
    return _Rows(run, rows, scale_of(file), tuple(found["seen"]), left, asked)


def _named(made: Sequence[_Rows]) -> list[_Rows]:
    """The same runs, with how the device was asked for in the names that two of them have."""
    times = Counter(one.run.name for one in made)
    return [
        one
        if times[one.run.name] == 1
        else one._replace(run=replace(one.run, name=f"{one.run.name} ({one.asked})"))
        for one in made
    ]


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
