"""Which device a card's file is for."""

from __future__ import annotations

from edgeinc.cards.fields import Fields
from edgeinc.devices import Device
from edgeinc.errors import CardError, InputError

__all__ = ["read_device"]

# For any device; files for other runtimes are for the device of that name.
PLAIN = ("litert", "onnx")


def read_device(fields: Fields, name: str, runtime: str) -> str | None:
    """The only device that a file is for: as the card says, or as file or runtime are named.

    Args:
        fields: Of the file.
        name: Of the file.
        runtime: That reads it.

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
    except InputError as exc:
        raise CardError(f"{fields.error('device', 'is none')} {exc}") from exc
    if device.name == "auto":
        raise fields.error("device", "must be one device, or be left out for any")
    if device.is_provider and runtime == "litert":
        advice = f"is {device.name}, a provider of ONNX Runtime, and {name} is a file for LiteRT"
        raise fields.error("device", f"{advice}; name a delegate, or leave it out")
    return device.text
