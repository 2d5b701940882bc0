"""Which device a card's file is for."""

from __future__ import annotations

import os
from pathlib import Path

from edgeinc.cards.fields import Fields
from edgeinc.devices import Device
from edgeinc.errors import CardError, InputError

__all__ = ["placed", "read_device", "same_device"]

# For any device; files for other runtimes are for the device of that name.
PLAIN = ("litert", "onnx")


def placed(device: Device, folder: Path) -> Device:
    """A device with the paths in it made whole: who opens it may work in another folder.

    A name without a slash is one that the system looks for, and stays. Of the options' values
    those are paths that begin with `./` or `../`.

    >>> placed(Device("libx.so", {"firmware": "./a.bin"}), Path("/opt")).text
    'libx.so,firmware=/opt/a.bin'

    Args:
        device: It.
        folder: What its paths are relative to.

    Raises:
        InputError: The folder's name is none that can stand in a device.
    """
    name = device.name
    options = {
        key: str((folder / value).absolute()) if value.startswith(("./", "../")) else value
        for key, value in device.options.items()
    }
    if _is_path(name):
        name = str((folder / name).absolute())
    return Device(name, options)


def same_device(own: Device, wanted: Device) -> bool:
    """Whether a device that a card names is the one asked for; a path is one from here."""
    if _is_path(own.name) and _is_path(wanted.name):
        return os.path.realpath(own.name) == os.path.realpath(wanted.name)
    return own.name == wanted.name


def read_device(fields: Fields, name: str, runtime: str, folder: Path | None) -> str | None:
    """The only device that a file is for: as the card says, or as file or runtime are named.

    Args:
        fields: Of the file.
        name: Of the file.
        runtime: That reads it.
        folder: The card's, to which paths are relative; None leaves them as they are.

    Raises:
        CardError: It is no device, or none that this runtime can know.
    """
    if not fields.has("device"):
        if runtime not in PLAIN:
            return runtime
        # So Coral's compiler names its files.
        return "libedgetpu.so.1" if name.endswith("_edgetpu.tflite") else None
    text = fields.named("device")
    try:
        device = Device.of(text)
        device = device if folder is None else placed(device, folder)
    except InputError as exc:
        raise CardError(f"{fields.error('device', 'cannot be asked for')} {exc}") from exc
    if device.name == "auto":
        raise fields.error("device", "must be one device, or be left out for any")
    if device.is_provider and runtime == "litert":
        advice = f"is {device.name}, a provider of ONNX Runtime, and {name} is a file for LiteRT"
        raise fields.error("device", f"{advice}; name a delegate, or leave it out")
    if device.is_library and runtime == "onnx":
        advice = f"is {device.name}, a delegate of LiteRT, and {name} is a file for ONNX Runtime"
        raise fields.error("device", f"{advice}; name a provider, or leave it out")
    return device.text


def _is_path(name: str) -> bool:
    """Whether a library is named by where it is; others are looked for by the system."""
    return "/" in name or os.sep in name
