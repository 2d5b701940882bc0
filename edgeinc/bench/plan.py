"""Which ways there are to run a card here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from edgeinc.cards import ModelCard
from edgeinc.cards.device import same_device
from edgeinc.devices import Device, is_cpu
from edgeinc.runtimes import installed, runtimes_for
from edgeinc.runtimes.base import physical_cores
from edgeinc.weights import installed_path

__all__ = ["Way", "ways"]


class Way(NamedTuple):
    """A way to run a card.

    Attributes:
        card: It.
        runtime: Of its file; None where none is here that fits, and opening it says why.
        device: What to ask for.
        threads: Of the runtime.
    """

    card: ModelCard
    runtime: str | None
    device: Device
    threads: int

    @property
    def runtimes(self) -> str:
        """The runtime; all of the card's where none is chosen."""
        return self.runtime or " or ".join(dict.fromkeys(f.runtime for f in self.card.files))


def ways(
    card: ModelCard,
    wanted: Device,
    threads: int | None,
    look: Callable[[str], tuple[Device, ...]],
) -> list[Way]:
    """Every way to run a card here; at least one.

    Args:
        card: It.
        wanted: `auto` for every device that is here; else only this one.
        threads: Only this number; None for 1, 2, 4 and so on up to the physical cores on the
            CPU, and for the physical cores elsewhere.
        look: The devices here for a runtime, the CPU among them.
    """
    found = _every(card, look) if wanted.name == "auto" else _asked(card, wanted)
    pairs: list[tuple[str | None, Device]] = list(dict.fromkeys(found))
    if not pairs:
        return [Way(card, None, wanted, threads or physical_cores())]
    return [
        Way(card, runtime, device, count)
        for runtime, device in pairs
        for count in _counts(device, threads)
    ]


def _every(
    card: ModelCard, look: Callable[[str], tuple[Device, ...]]
) -> Iterator[tuple[str, Device]]:
    """Each of the card's runtimes with each device that may be here for it."""
    for runtime, own in _files(card):
        if own is not None:
            yield runtime, own
        else:
            yield from ((runtime, device) for device in look(runtime))


def _asked(card: ModelCard, wanted: Device) -> Iterator[tuple[str, Device]]:
    """Each of the card's runtimes that may run it there."""
    fitting = runtimes_for(wanted)
    for runtime, own in _files(card):
        if own is None:
            fits = runtime in fitting
        else:
            fits = wanted.name in ("npu", "gpu", runtime) or same_device(own, wanted)
        if fits:
            yield runtime, wanted


def _files(card: ModelCard) -> Iterator[tuple[str, Device | None]]:
    """Runtime and own device of each file that is here, and whose runtime is."""
    here = installed()
    for file in card.files:
        if file.runtime in here and installed_path(card, file) is not None:
            yield file.runtime, None if file.device is None else Device.of(file.device)


def _counts(device: Device, threads: int | None) -> list[int]:
    if threads is not None:
        return [threads]
    cores = physical_cores()
    if not is_cpu(device.name):
        return [cores]
    return sorted({*(2**i for i in range(cores.bit_length()) if 2**i <= cores), cores})
