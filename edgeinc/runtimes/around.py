"""Which devices of this machine a runtime could run a plain file on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeinc.devices import CPU_PROVIDER, Device
from edgeinc.errors import DeviceError, InputError, RuntimeUnavailableError

if TYPE_CHECKING:
    from edgeinc.runtimes.base import RuntimeInfo
    from edgeinc.runtimes.providers import Provider

__all__ = ["devices_here", "how_to_install", "missing_device"]

INSTALL = {
    "litert": "pip install 'edgeinc[litert]'",
    "onnx": "pip install onnxruntime",
}


def devices_here(runtime: str) -> tuple[Device, ...]:
    """The devices here on which a runtime may run files that are for any, as they are asked for.

    The CPU comes first. Whether a device takes a network is seen when it is opened. Nothing
    for runtimes whose files are each for a device of their own.

    Args:
        runtime: `litert`, `onnx` or another's name; this loads its package.

    Raises:
        RuntimeUnavailableError: The package is not installed, or does not load.
    """
    if runtime == "litert":
        from edgeinc.runtimes import delegates

        found = [d for kind in ("npu", "gpu") for d in delegates.candidates(kind, own_files=False)]
    elif runtime == "onnx":
        from edgeinc.runtimes import onnx_package, providers

        ort = onnx_package.package()
        found = [d for kind in ("npu", "gpu") for d in providers.candidates(ort, kind)]
        named = {device.name for device in found} | {CPU_PROVIDER}
        others = providers.here(ort)
        # With the options for its chip also where it only simulates one, as Qualcomm's on x86-64.
        found += [Device(n, _options(providers.KNOWN.get(n))) for n in others if n not in named]
    else:
        return ()
    return (Device("cpu"), *found)


def _options(known: Provider | None) -> dict[str, str]:
    """The options that select a provider's NPU, or GPU, where it has one."""
    return {} if known is None else known.npu or known.gpu or {}


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
    if info.name == "litert":
        from edgeinc.runtimes import delegates

        if device.name in ("npu", "gpu"):
            return bool(delegates.candidates(device.name, own_files=True))
        delegates.check(device)
    elif info.name == "onnx":
        from edgeinc.runtimes import onnx_package, providers

        if device.name in ("npu", "gpu"):
            return bool(providers.candidates(onnx_package.package(), device.name))
        providers.find(onnx_package.package(), device)
    else:
        # Its files are for its own devices, however these are called.
        return bool(info.devices)
    return True


def how_to_install(runtime: str) -> str:
    """What to do where a runtime is missing.

    >>> how_to_install("onnx")
    'pip install onnxruntime'
    """
    if runtime in INSTALL:
        return INSTALL[runtime]
    from edgeinc.runtimes import offered

    try:
        return offered.find(runtime).install
    except RuntimeUnavailableError as exc:
        return str(exc)
