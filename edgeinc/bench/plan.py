"""Which ways there are to run a card here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from edgeinc.cards import ModelCard
from edgeinc.devices import Device
from edgeinc.errors import RuntimeUnavailableError
from edgeinc.runtimes import installed
from edgeinc.runtimes.around import devices_here
from edgeinc.runtimes.base import physical_cores
from edgeinc.weights import installed_path

__all__ = ["Way", "ways"]


class Way(NamedTuple):
    """A way to run a card.

    Attributes:
        card: It.
        runtime: Of its file; None where none can be had, and opening it says why.
        device: What to ask for.
        threads: Of the runtime.
    """

    card: ModelCard
    runtime: str | None
    device: Device
    threads: int


def ways(card: ModelCard, wanted: Device, threads: int | None) -> list[Way]:
    """Every way to run a card here; at least one.

    Args:
        card: It.
        wanted: `auto` for every device that is here; else only this one.
        threads: Only this number; None for 1, 2, 4 and so on up to the physical cores on the
            CPU, and for the physical cores elsewhere.
    """
    found = _every(card) if wanted.name == "auto" else _asked(card, wanted)
    pairs: list[tuple[str | None, Device]] = list(dict.fromkeys(found))
    return [
        Way(card, runtime, device, count)
        for runtime, device in pairs or [(None, wanted)]
        for count in _counts(device, threads)
    ]


def _every(card: ModelCard) -> Iterator[tuple[str, Device]]:
    """Each of the card's runtimes with each device that may be here for it."""
    for runtime, own in _files(card):
        if own is not None:
            yield runtime, Device.of(own)
            continue
        # One that does not load says so where the card is opened.
        found: tuple[Device, ...] = (Device("cpu"),)
        with suppress(RuntimeUnavailableError):
            found = devices_here(runtime)
        yield from ((runtime, device) for device in found)


def _asked(card: ModelCard, wanted: Device) -> Iterator[tuple[str, Device]]:
    yield from ((runtime, wanted) for runtime, _ in _files(card))


def _files(card: ModelCard) -> Iterator[tuple[str, str | None]]:
    """Runtime and device of each file that is here, and whose runtime is."""
    here = installed()
    for file in card.files:
        if file.runtime in here and installed_path(card, file) is not None:
            yield file.runtime, file.device


def _counts(device: Device, threads: int | None) -> list[int]:
    if threads is not None:
        return [threads]
    cores = physical_cores()
    if device.name not in ("auto", "cpu", "CPUExecutionProvider"):
        return [cores]
    return sorted({*(2**i for i in range(cores.bit_length()) if 2**i <= cores), cores})
