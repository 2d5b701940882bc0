"""Which file of a card on which device, in the order of trying."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from edgeinc.cards import ModelCard, ModelFile
from edgeinc.cards.device import same_device
from edgeinc.devices import WORDS, Device, is_cpu
from edgeinc.errors import DeviceNotFoundError, TensorNotFoundError
from edgeinc.runtimes import RUNTIMES, expects_npu, kinds_of, runtimes_for
from edgeinc.runtimes.meant import is_nothing, meant, no_such
from edgeinc.runtimes.plain_runtimes import PLAIN

__all__ = ["Attempt", "attempts", "ends_there", "nothing_fits", "on_cpu"]

_CPU = Device("cpu")


Attempt: TypeAlias = tuple[ModelFile, Device, bool]
"""A file, the device to open it on, and whether that must run all of it."""


def attempts(files: Sequence[ModelFile], wanted: Device, *, strict: bool) -> list[Attempt]:
    """The attempts on what was asked for, before the CPU; none where that is the CPU.

    `auto` takes a device for which the card has a file of its own, then an NPU that runs all
    of a plain file. Half a network on an NPU may be slower than all of it on the CPU, and a
    GPU gains little where one small picture comes at a time: both are there when asked for.

    Args:
        files: Of a card, in its order.
        wanted: The device asked for.
        strict: It must run all of the network.
    """
    made_for = [(file, Device.of(file.device)) for file in files if file.device is not None]
    plain = [file for file in files if file.device is None]
    if wanted.name == "cpu":
        return []
    if wanted.name == "auto":
        first = [(file, device, strict) for file, device in made_for if not is_cpu(device.name)]
        likely = {r for r in {file.runtime for file in plain} if expects_npu(r)}
        npu = Device("npu")
        return first + [(file, npu, True) for file in plain if file.runtime in likely]
    if wanted.name in ("npu", "gpu"):
        first = [(f, d, strict) for f, d in made_for if wanted.name in kinds_of(d)]
        return first + [(file, wanted, strict) for file in plain]
    own = [(f, d) for f, d in made_for if same_device(d, wanted) or wanted.name == f.runtime]
    first = [(f, _joined(d, wanted), strict) for f, d in own]
    fitting = [file for file in plain if file.runtime in runtimes_for(wanted)]
    return first + [(file, wanted, strict) for file in fitting]


def _joined(device: Device, wanted: Device) -> Device:
    """A file's own device, with the options that were asked for."""
    return Device(wanted.name, {**device.options, **wanted.options})


def ends_there(files: Sequence[ModelFile], tensor: str | None) -> list[ModelFile]:
    """The files that can end at a tensor: what a vendor's compiler has written cannot be cut.

    Args:
        files: Of a card.
        tensor: None for the embedding.

    Raises:
        TensorNotFoundError: None can.
    """
    fitting = [f for f in files if f.runtime in RUNTIMES or tensor in (None, f.embedding.tensor)]
    if not fitting:
        ends = ", ".join(f"{file.name} at {file.embedding.tensor!r}" for file in files)
        raise TensorNotFoundError(
            f"No file can be cut at {tensor!r} ({ends}); take the card's .tflite or .onnx file."
        )
    return fitting


def on_cpu(files: Sequence[ModelFile]) -> list[Attempt]:
    """The attempts on the CPU."""
    own = [(f, _CPU if f.device is None else Device.of(f.device)) for f in files]
    return [(file, device, False) for file, device in own if is_cpu(device.name)]


def nothing_fits(card: ModelCard, wanted: Device) -> DeviceNotFoundError:
    """The error for a device for which no file of a card may be used, or for what is none.

    Args:
        card: The card.
        wanted: The device.
    """
    if is_nothing(wanted):
        return no_such(wanted.name)
    kinds = runtimes_for(wanted)
    suffix = PLAIN[kinds[0]].suffix if kinds[0] in PLAIN else kinds[0]
    read = [file for file in card.files if file.runtime in kinds]
    close = [name for name in meant(wanted.name) if name != wanted.name]
    if wanted.name in WORDS or (read and not any(_may_run(file, wanted) for file in read)):
        what = f"{card.name} has no file for {wanted.name}, only for {_made_for(card)}"
    elif read:
        what = f"{wanted.name} needs the {suffix} file of {card.name}"
        what += ", and another one was asked for"
    else:
        # Another name of the same kind would need such a file too.
        what, close = f"{card.name} has no {suffix} file, which {wanted.name} needs", []
    how = f"did you mean {' or '.join(close)}?" if close else "choose another model or device."
    return DeviceNotFoundError(f"{what}; {how}")


def _may_run(file: ModelFile, wanted: Device) -> bool:
    """Whether a file is for any device, or for the one that was asked for."""
    return file.device is None or same_device(Device.of(file.device), wanted)


def _made_for(card: ModelCard) -> str:
    """The devices that a card's files are for."""
    return ", ".join(dict.fromkeys(file.device or "the CPU" for file in card.files))
