"""Execution providers of ONNX Runtime: what is known of them by name, and which are here.

A provider is built into ONNX Runtime's package (the classic list), or is a plugin: a library
that is registered and then shows the chips that it knows. Both are asked for by one name.
"""

from __future__ import annotations

import importlib
import threading
from typing import Any, NamedTuple

from edgeinc.devices import Device
from edgeinc.errors import DeviceLibraryError, DeviceNotFoundError, InputError
from edgeinc.runtimes.helpers import first_line
from edgeinc.runtimes.hints import plugin_modules
from edgeinc.runtimes.libraries import refuse_cut
from edgeinc.runtimes.meant import meant
from edgeinc.runtimes.onnx_package import errors, reason

__all__ = ["HARDWARE", "KNOWN", "LIBRARY", "Provider", "candidates", "find", "here"]

LIBRARY = "library"
"""An option of ours: the path of a plugin provider's library."""
HARDWARE = "hardware"
"""An option of ours: `cpu`, `gpu` or `npu`, where a plugin provider knows several chips."""

_registering = threading.Lock()
_registered: dict[str, str] = {}


class Provider(NamedTuple):
    """What is known of a provider.

    Attributes:
        package: What to install for it; empty where a build of one's own is needed.
        system: The only one for which there is such a package; empty where that is not so.
        npu: The options that make it run on an NPU; None where it knows none.
        gpu: The same of a GPU.
    """

    package: str = ""
    npu: dict[str, str] | None = None
    gpu: dict[str, str] | None = None
    system: str = ""


# The order is that of preference for `npu` and `gpu`.
KNOWN = {
    "QNNExecutionProvider": Provider("onnxruntime-qnn", npu={"backend_type": "htp"}),
    "OpenVINOExecutionProvider": Provider(
        "onnxruntime-openvino", npu={"device_type": "NPU"}, gpu={"device_type": "GPU"}
    ),
    "VitisAIExecutionProvider": Provider(npu={}),
    "RknpuExecutionProvider": Provider(npu={}),
    "VSINPUExecutionProvider": Provider(npu={}),
    "CANNExecutionProvider": Provider(npu={}),
    "NnapiExecutionProvider": Provider(npu={}),
    "CoreMLExecutionProvider": Provider(
        "onnxruntime",
        npu={"MLComputeUnits": "CPUAndNeuralEngine"},
        gpu={"MLComputeUnits": "CPUAndGPU"},
        system="macOS",
    ),
    "NvTensorRTRTXExecutionProvider": Provider(gpu={}),
    "TensorrtExecutionProvider": Provider("onnxruntime-gpu", gpu={}),
    "CUDAExecutionProvider": Provider("onnxruntime-gpu", gpu={}),
    "MIGraphXExecutionProvider": Provider(gpu={}),
    "DmlExecutionProvider": Provider("onnxruntime-directml", gpu={}, system="Windows"),
    "XnnpackExecutionProvider": Provider(),
    "ACLExecutionProvider": Provider(),
}


def here(ort: Any) -> tuple[str, ...]:
    """The providers that can be asked for, plugins among them; this registers these."""
    _register_packages(ort)
    found = dict.fromkeys((*_registered, *ort.get_available_providers()))
    # Azure's sends pictures to a server, and runs no network here.
    found.pop("AzureExecutionProvider", None)
    return tuple(found)


def candidates(ort: Any, kind: str) -> list[Device]:
    """The providers here that have an `npu` or `gpu`, each with the options that select it."""
    there = here(ort)
    order = [*KNOWN, *(name for name in there if name not in KNOWN)]
    found = []
    for name in (name for name in order if name in there):
        options = getattr(KNOWN.get(name, Provider()), kind)
        if chips := _chips(ort, name):
            if any(_kind(chip) == kind for chip in chips):
                found.append(Device(name, {HARDWARE: kind}))
        elif options is not None:
            found.append(Device(name, options))
    return found


def find(ort: Any, device: Device) -> list[Any]:
    """The chip on which a plugin provider is to run; nothing for a classic provider.

    Raises:
        DeviceNotFoundError: There is no such provider here, or it knows no such chip.
        DeviceLibraryError: Its library does not load.
        InputError: `hardware` is no kind of chip.
    """
    hardware = device.options.get(HARDWARE)
    if hardware not in (None, "cpu", "gpu", "npu"):
        raise InputError(f"{device.name} takes no hardware={hardware}; give cpu, gpu or npu.")
    library = device.options.get(LIBRARY)
    if library is not None:
        _register(ort, device.name, library)
    elif device.name not in _registered:
        _register_packages(ort, only=device.name)
    there = _chips(ort, device.name)
    fitting = [chip for chip in there if hardware in (None, _kind(chip))]
    if device.name not in _registered and device.name not in ort.get_available_providers():
        raise _missing(ort, device.name)
    if not fitting and (there or hardware or device.name in _registered):
        raise DeviceNotFoundError(
            f"{device.name} knows no {hardware or 'chip'} here; check that its driver is "
            "installed, or choose another device."
        )
    # One session runs on one chip; the first is the provider's own choice.
    return fitting[:1]


def _chips(ort: Any, provider: str) -> list[Any]:
    """The chips that a plugin provider knows here."""
    if not hasattr(ort, "get_ep_devices"):
        return []
    return [chip for chip in ort.get_ep_devices() if chip.ep_name == provider]


def _kind(chip: Any) -> str:
    return str(chip.device.type).rsplit(".", 1)[-1].lower()


def _register_packages(ort: Any, only: str | None = None) -> None:
    """Registers the plugins whose packages are installed, or only the one of a name.

    A package that does not load is passed over unless it was asked for: the other providers
    are not to suffer from it.
    """
    for module in plugin_modules():
        try:
            package = importlib.import_module(module)
            name, library = str(package.get_ep_name()), str(package.get_library_path())
            if only in (None, name):
                _register(ort, name, library)
        except (ImportError, AttributeError, DeviceLibraryError) as exc:
            if only is not None:
                raise DeviceLibraryError(
                    f"The package {module} does not load ({first_line(exc)}); install it again."
                ) from exc


def _register(ort: Any, name: str, library: str) -> None:
    """Registers a plugin's library, once in a process."""
    if not hasattr(ort, "register_execution_provider_library"):
        raise DeviceNotFoundError(
            f"ONNX Runtime {ort.__version__} takes no plugin such as {name}; run `pip install "
            "--upgrade onnxruntime`."
        )
    with _registering:
        if _registered.get(name) == library:
            return
        refuse_cut(library)
        try:
            ort.register_execution_provider_library(name, library)
        except errors() as exc:
            raise DeviceLibraryError(
                f"The library {library} of {name} does not load ({reason(exc)}); check its "
                "path, its release, and that it is for this processor."
            ) from exc
        _registered[name] = library


def _missing(ort: Any, name: str) -> DeviceNotFoundError:
    """The error for a provider that is not here."""
    if Device(name).is_library:
        return DeviceNotFoundError(
            f"{name} is a delegate of LiteRT, which runs no .onnx file; name a provider of ONNX "
            "Runtime, or use a .tflite file."
        )
    there = here(ort)
    if name in KNOWN:
        known = KNOWN[name]
        where = f" on {known.system}" if known.system else ""
        how = f"run `pip install {known.package}`{where}."
        how = how if known.package else "use a build that has it."
    else:
        close = meant(name, there)
        how = f"did you mean {' or '.join(close)}?" if close else "check its name."
    return DeviceNotFoundError(
        f"ONNX Runtime has no provider {name!r} here, only {', '.join(there)}; {how}"
    )
