"""Which devices of this machine a runtime could run a plain file on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeinc.devices import Device
from edgeinc.errors import RuntimeUnavailableError

if TYPE_CHECKING:
    from edgeinc.runtimes.providers import Provider

__all__ = ["devices_here", "how_to_install", "is_here"]

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
        named = {device.name for device in found} | {onnx_package.CPU_PROVIDER}
        # Azure's sends pictures to a server, and runs no network here.
        others = [name for name in providers.here(ort) if name != "AzureExecutionProvider"]
        # With the options for its chip also where it only simulates one, as Qualcomm's on x86-64.
        found += [Device(n, _options(providers.KNOWN.get(n))) for n in others if n not in named]
    else:
        return ()
    return (Device("cpu"), *found)


def _options(known: Provider | None) -> dict[str, str]:
    """The options that select a provider's NPU, or GPU, where it has one."""
    return {} if known is None else known.npu or known.gpu or {}


def is_here(runtime: str, device: Device, devices: tuple[str, ...]) -> bool:
    """Whether a device that a file is for is here, as far as can be told without opening it.

    Args:
        runtime: Of the file.
        device: It.
        devices: Of that runtime here: `RuntimeInfo.devices`.
    """
    if device.name == runtime:
        return bool(devices)
    return device.name in ("cpu", *devices)


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
