"""What a card can use here: which of its files, in which runtime, on which devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from edgeinc.cards import ModelCard, ModelFile
from edgeinc.devices import Device
from edgeinc.errors import RuntimeUnavailableError
from edgeinc.runtimes import RuntimeInfo
from edgeinc.runtimes.around import devices_here, how_to_install, missing_device
from edgeinc.weights import installed_path

__all__ = ["Use", "uses"]


class Use(NamedTuple):
    """A file of a card.

    Attributes:
        file: Its name.
        runtime: That reads it.
        devices: Here for it, as `--device` takes them; none where something is missing.
        missing: What it lacks here, and what to do; None where it can run.
    """

    file: str
    runtime: str
    devices: tuple[str, ...]
    missing: str | None


def uses(card: ModelCard, runtimes: Sequence[RuntimeInfo]) -> tuple[Use, ...]:
    """What of a card can run here; no network is opened.

    Args:
        card: The card.
        runtimes: What `runtimes.available` returned.
    """
    here = {info.name: info for info in runtimes}
    return tuple(_use(card, file, here.get(file.runtime)) for file in card.files)


def _use(card: ModelCard, file: ModelFile, info: RuntimeInfo | None) -> Use:
    if installed_path(card, file) is None:
        return _missing(file, f"edgeinc models pull {card.name}")
    if info is None:
        return _missing(file, how_to_install(file.runtime))
    if file.device is not None:
        device = Device.of(file.device)
        if (missing := missing_device(info, device)) is not None:
            return _missing(file, missing)
        return Use(file.name, file.runtime, (device.text,), None)
    try:
        devices = devices_here(file.runtime)
    except RuntimeUnavailableError as exc:
        return _missing(file, str(exc))
    return Use(file.name, file.runtime, tuple(device.text for device in devices), None)


def _missing(file: ModelFile, what: str) -> Use:
    return Use(file.name, file.runtime, (), what)
