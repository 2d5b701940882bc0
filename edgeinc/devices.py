"""How a device is asked for: the same words in a card, in Python and in the shell.

auto | cpu | npu | gpu
QNNExecutionProvider,backend_type=htp       an execution provider of ONNX Runtime
libedgetpu.so.1,device=usb                  the library of a LiteRT delegate
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from edgeinc.errors import InputError

__all__ = [
    "CPU_PROVIDER",
    "MOST_THREADS",
    "WORDS",
    "AskedDevice",
    "Device",
    "Placement",
    "brief",
    "is_cpu",
]

WORDS = ("auto", "cpu", "npu", "gpu")
CPU_PROVIDER = "CPUExecutionProvider"
"""What ONNX Runtime calls the CPU; the other runtimes call it `CPU`."""
MOST = 4096
MOST_THREADS = 1024
LONGEST = 80
"""Characters that an error repeats of what was handed in."""
# Runtimes with many devices, and what to give; any other runtime has one device, of its name.
_RUNTIMES = {
    "litert": "cpu, or the library of a delegate",
    "onnx": "CPUExecutionProvider, or another provider",
}
_LIBRARIES = ("so", "dll", "dylib")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-"


class Device:
    """A device, and what to tell the provider or delegate that runs it; never changed.

    A plain class: it is made at every start, and a dataclass takes a millisecond to define.

    >>> Device("libedgetpu.so.1", {"device": "usb"})
    Device('libedgetpu.so.1,device=usb')
    >>> Device.of("OpenVINOExecutionProvider,device_type=NPU").options["device_type"]
    'NPU'

    Attributes:
        name: `auto`, `cpu`, `npu`, `gpu`, an execution provider of ONNX Runtime by its own
            name, or the library of a LiteRT delegate.
        options: By the provider's or delegate's own keys, as texts.
    """

    __slots__ = ("name", "options")
    name: str
    options: Mapping[str, str]

    def __init__(self, name: str, options: Mapping[str, str | int | float] | None = None) -> None:
        """Checks name and options.

        Args:
            name: Of the device.
            options: Numbers become text.

        Raises:
            InputError: There is no name, or it is a runtime's; a key is no word; a value is
                neither text nor number; or options are given to a word that is no provider or
                delegate.
        """
        if not isinstance(name, str) or not _is_text(name.strip()):
            raise InputError(
                f"{brief(name)} is no device; give auto, cpu, npu, gpu, or the name of a provider "
                "or delegate."
            )
        name = name.strip()
        name = name.lower() if name.lower() in WORDS else name
        if name.lower() in _RUNTIMES:
            raise InputError(f"{name!r} is a runtime, no device; give {_RUNTIMES[name.lower()]}.")
        options = {} if options is None else options
        if not isinstance(options, Mapping):
            raise InputError(f"The options of {brief(name)} are no mapping; give keys with values.")
        if options and name in WORDS:
            raise InputError(
                f"{name!r} takes no options; name the provider or delegate that they are for."
            )
        texts = {_key(name, key): _value(name, key, value) for key, value in options.items()}
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "options", MappingProxyType(texts))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a device is never changed; make another one to change its {name}")

    @classmethod
    def of(cls, given: AskedDevice) -> Device:
        """The device that a text means: its name, then `,key=value` as often as wanted.

        A comma inside of a name or value is doubled.

        Raises:
            InputError: It is none.
        """
        if isinstance(given, Device):
            return given
        if not isinstance(given, str):
            raise InputError(f"{brief(given)} is no device; give a text, or an edgeinc.Device.")
        if "\0" in given:
            raise InputError(f"{brief(given)} is no device; give a name, and options as key=value.")
        # Commas part the options; a doubled one is a comma itself, as in QEMU's options.
        parts = given.replace(",,", "\0").split(",")
        name, *parts = [part.replace("\0", ",") for part in parts]
        options: dict[str, str] = {}
        for part in parts:
            key, equals, value = part.partition("=")
            if not equals:
                raise InputError(
                    f"{brief(part)} in the device {brief(given)} is no option; write key=value, "
                    "and a comma that belongs to a name or value twice."
                )
            if key.strip() in options:
                raise InputError(
                    f"The device {brief(given)} has the option {brief(key)} twice; leave one."
                )
            options[key.strip()] = value
        return cls(name, options)

    @property
    def text(self) -> str:
        """The text that `of` reads."""
        words = [self.name, *(f"{key}={value}" for key, value in self.options.items())]
        return ",".join(word.replace(",", ",,") for word in words)

    @property
    def is_provider(self) -> bool:
        """Whether the name is that of an execution provider of ONNX Runtime."""
        return self.name.endswith("ExecutionProvider")

    @property
    def is_library(self) -> bool:
        """Whether the name is that of a shared library, and so of a LiteRT delegate.

        >>> Device("libedgetpu.so.1").is_library, Device("cuda:0").is_library
        (True, False)
        """
        endings = self.name.lower().split(".")[1:]
        return os.sep in self.name or any(one in _LIBRARIES for one in endings)

    @property
    def strings(self) -> dict[str, str]:
        """The options as a dictionary of one's own, which is what the runtimes take."""
        return dict(self.options)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __reduce__(self) -> tuple[Any, ...]:
        # For copies, and for processes of one's own: what cannot be changed cannot be filled in.
        return Device, (self.name, self.strings)

    def __repr__(self) -> str:
        return f"Device({self.text!r})"

    def __str__(self) -> str:
        return self.text


class Placement(NamedTuple):
    """Which device was asked for, which one runs the network, and how much of it.

    Attributes:
        asked: The device asked for, as the caller wrote it.
        device: What really runs it, in the runtime's own words, with a `+` where the CPU helps.
        nodes: Share of the operators that it runs, 0 to 1; None where the runtime does not tell.
        macs: The same of the multiplications.
        left: The operators that were left to the CPU, each with its name.
    """

    asked: str
    device: str
    nodes: float | None = 1.0
    macs: float | None = 1.0
    left: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The device, and how much it runs.

        >>> Placement("npu", "libvx_delegate.so+CPU", 0.98, None, ("SOFTMAX 'y'",)).words
        'libvx_delegate.so+CPU (operators: 98.0 %, multiplications: unknown)'
        """
        shares = ["unknown" if n is None else f"{100 * n:.1f} %" for n in (self.nodes, self.macs)]
        return f"{self.device} (operators: {shares[0]}, multiplications: {shares[1]})"


AskedDevice: TypeAlias = str | Device
"""What a caller may give for a device."""


def is_cpu(name: str) -> bool:
    """Whether a device that was asked for, or that ran a network, is the CPU and nothing else.

    >>> is_cpu("cpu"), is_cpu("CPU"), is_cpu("CPUExecutionProvider"), is_cpu("libx.so+CPU")
    (True, True, True, False)
    """
    return name in ("cpu", "CPU", CPU_PROVIDER)


def brief(value: object) -> str:
    """A value as Python writes it, cut to what fits into an error.

    >>> brief("x" * 5000)[-8:], len(brief("x" * 5000))
    ('xxxxx...', 80)
    """
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _is_text(text: str) -> bool:
    return 0 < len(text) <= MOST and text.isprintable()


def _key(name: str, key: object) -> str:
    if isinstance(key, str) and 0 < len(key) <= 128 and all(c in _LETTERS for c in key):
        return key
    raise InputError(f"{brief(key)} is no name of an option of {brief(name)}; see docs/devices.md.")


def _value(name: str, key: str, value: object) -> str:
    """An option's value as text.

    Providers disagree on whether yes is `1`, `true` or `True`, so a bool is refused.
    """
    number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    if number and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and len(value) <= MOST and (not value or value.isprintable()):
        return value.strip()
    raise InputError(
        f"The option {key} of {brief(name)} is {brief(value)}; give a text or a number "
        f"of up to {MOST} characters."
    )
