"""Delegates of LiteRT: shared libraries that take over operators, by TensorFlow Lite's ABI.

A library exports `tflite_plugin_create_delegate` and `tflite_plugin_destroy_delegate`; options
are pairs of texts that only the library understands.
"""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

from edgeinc.devices import Device
from edgeinc.errors import DeviceLibraryError, DeviceNotFoundError
from edgeinc.runtimes.helpers import first_line
from edgeinc.runtimes.hints import loads
from edgeinc.runtimes.libraries import load_library, other_machine
from edgeinc.runtimes.litert_package import load_delegate
from edgeinc.runtimes.meant import meant, no_such

__all__ = ["KNOWN", "candidates", "check", "here", "library_of", "load", "names"]


class Delegate(NamedTuple):
    """What is known of a delegate.

    Attributes:
        chip: What it drives.
        package: What to install.
        npu: The options for its NPU; None where it has none.
        gpu: The options for its GPU; None where it has none.
        own_files: True where it runs only networks that its vendor's compiler has written.
    """

    chip: str
    package: str
    npu: dict[str, str] | None = None
    gpu: dict[str, str] | None = None
    own_files: bool = False


CORAL = "libedgetpu.so.1"
KNOWN = {
    CORAL: Delegate(
        "Coral Edge TPU", "libedgetpu1-std (apt, packages.cloud.google.com)", {}, own_files=True
    ),
    "libvx_delegate.so": Delegate("NXP i.MX 8M Plus NPU", "NXP's eIQ", {}),
    "libneutron_delegate.so": Delegate("NXP eIQ Neutron NPU", "NXP's eIQ", {}, own_files=True),
    "libethosu_delegate.so": Delegate(
        "Arm Ethos-U NPU", "Arm's Ethos-U Linux driver stack", {}, own_files=True
    ),
    "libQnnTFLiteDelegate.so": Delegate(
        "Qualcomm Hexagon NPU or Adreno GPU",
        "Qualcomm's AI Engine Direct SDK",
        {"backend_type": "htp"},
        {"backend_type": "gpu"},
    ),
}
# What Coral's library is called on other systems.
_CORAL = {"darwin": "libedgetpu.1.dylib", "win32": "edgetpu.dll"}


def library_of(device: Device) -> str:
    """The library's name on this system.

    >>> library_of(Device("/opt/libmine.so"))
    '/opt/libmine.so'
    """
    return _CORAL.get(sys.platform, CORAL) if device.name == CORAL else device.name


def here() -> tuple[str, ...]:
    """The known delegates whose libraries load; whether a chip is there they tell later."""
    return tuple(name for name in KNOWN if loads(library_of(Device(name))))


def names(kind: str) -> list[str]:
    """The known delegates that drive an `npu` or `gpu`, here or not."""
    return [name for name, known in KNOWN.items() if getattr(known, kind) is not None]


def candidates(kind: str, *, own_files: bool) -> list[Device]:
    """The delegates here that drive an `npu` or `gpu`, each with the options that select it.

    Args:
        kind: Which.
        own_files: Also those that run only networks of their own compilers.
    """
    fitting = [name for name in names(kind) if own_files or not KNOWN[name].own_files]
    there = [name for name in fitting if loads(library_of(Device(name)))]
    return [Device(name, getattr(KNOWN[name], kind)) for name in there]


def check(device: Device) -> None:
    """Loads a library and sees whether it is a delegate; it is not started.

    Raises:
        DeviceNotFoundError: There is no such library.
        DeviceLibraryError: It is no delegate, needs another library, is cut short, or is for
            another processor.
    """
    library = library_of(device)
    try:
        # The package's own loader fails untidily where there is no delegate in it.
        plugin = load_library(library)
    except OSError as exc:
        raise _cannot_load(device, library, first_line(exc)) from exc
    if not hasattr(plugin, "tflite_plugin_create_delegate"):
        raise DeviceLibraryError(
            f"The library {library} is no LiteRT delegate; name one that exports "
            "tflite_plugin_create_delegate."
        )


def load(device: Device) -> object:
    """The delegate of a library.

    Raises:
        DeviceNotFoundError: There is no such library, or it finds no chip.
        DeviceLibraryError: As `check`.
    """
    check(device)
    library = library_of(device)
    try:
        return load_delegate(library, device.strings)
    except (OSError, ValueError, RuntimeError) as exc:
        words = str(exc).removeprefix(f"Failed to load delegate from {library}")
        said = " ".join(words.split()) or "it does not say why"
        raise DeviceNotFoundError(
            f"The delegate {library} does not start ({said}); check that its chip is there, "
            "and its options."
        ) from exc


def _cannot_load(
    device: Device, library: str, said: str
) -> DeviceNotFoundError | DeviceLibraryError:
    """The error for a library that the system cannot load."""
    if (machine := other_machine(library)) is not None:
        return DeviceLibraryError(
            f"The delegate {library} is for {machine}, and this Python is for another processor; "
            "install the library's build for this one."
        )
    if "No such file" in said and said.startswith(f"{library}:"):
        return _missing(device, library)
    if "No such file" in said:
        missing = said.partition(":")[0]
        return DeviceLibraryError(
            f"The delegate {library} needs {missing}, which is not here; install it too."
        )
    return DeviceLibraryError(
        f"The delegate {library} cannot be loaded ({said}); install it again, in the build for "
        "this system."
    )


def _missing(device: Device, library: str) -> DeviceNotFoundError:
    """The error for a library that is not here."""
    if device.is_provider:
        return DeviceNotFoundError(
            f"{device.name} is a provider of ONNX Runtime, which runs no .tflite file; name a "
            "LiteRT delegate, or use an .onnx file."
        )
    if (known := KNOWN.get(device.name)) is not None:
        return DeviceNotFoundError(
            f"The delegate {library} ({known.chip}) is not here; install {known.package}."
        )
    if not device.is_library:
        return no_such(device.name)
    if os.sep in library:
        return DeviceNotFoundError(f"The delegate {library} is not here; check its path.")
    close = [one for one in meant(device.name) if one != device.name]
    how = f"did you mean {' or '.join(close)}?" if close else "install it, or give its whole path."
    return DeviceNotFoundError(f"The delegate {library} is not here; {how}")
