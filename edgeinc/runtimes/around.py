"""Which devices of this machine a runtime could run a plain file on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeinc.devices import Device
from edgeinc.errors import DeviceError, InputError, RuntimeUnavailableError
from edgeinc.runtimes.plain_runtimes import PLAIN

if TYPE_CHECKING:
    from edgeinc.runtimes.base import RuntimeInfo

__all__ = ["devices_here", "how_to_install", "missing_device"]


def devices_here(runtime: str) -> tuple[Device, ...]:
    """The devices here on which a runtime may run files that are for any, as they are asked for.

    The CPU comes first. Whether a device takes a network is seen when it is opened. Nothing
    for runtimes whose files are each for a device of their own.

    Args:
        runtime: `litert`, `onnx` or another's name; this loads its package.

    Raises:
        RuntimeUnavailableError: The package is not installed, or does not load.
    """
    plain = PLAIN.get(runtime)
    return () if plain is None else (Device("cpu"), *plain.devices_here())


def missing_device(info: RuntimeInfo, device: Device) -> str | None:
    """Why a device that a file is for is not here, as far as can be told without starting it.

    Args:
        info: The runtime of the file.
        device: It.

    Returns:
        A sentence; None where the device is here.
    """
    if device.name == "cpu":
        return None
    try:
        if _finds(info, device):
            return None
    except (DeviceError, InputError) as exc:
        return str(exc)
    return f"The device {device.name} is not here; connect it, or choose another device."


def _finds(info: RuntimeInfo, device: Device) -> bool:
    """Whether a runtime finds a device here.

    Raises:
        DeviceError: It does not, and this is why.
        InputError: It is asked for by an option that is none.
    """
    plain = PLAIN.get(info.name)
    # The files of others are for their own devices, however these are called.
    return bool(info.devices) if plain is None else plain.finds(device)


def how_to_install(runtime: str) -> str:
    """What to do where a runtime is missing.

    >>> how_to_install("onnx")
    'pip install onnxruntime'
    """
    if runtime in PLAIN:
        return PLAIN[runtime].install
    from edgeinc.runtimes import offered

    try:
        return offered.find(runtime).install
    except RuntimeUnavailableError as exc:
        return str(exc)
