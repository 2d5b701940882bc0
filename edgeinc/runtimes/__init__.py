"""Runtimes behind one contract: arrays in, arrays out, and the device that really ran.

    session = open_session(Path("net.tflite"), "litert", output="AvgPool")
    embedding = session.run(picture)

What a session promises is in `edgeinc.runtimes.base`. A runtime's package is loaded when a
network is opened or looked into, never before, and so is the module beside this one that
needs it: what a field device does not use, it does not pay for at every start.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from edgeinc.errors import InputError, RuntimeUnavailableError
from edgeinc.runtimes.base import Inspection, RuntimeInfo, Session, TensorInfo, TensorSpec
from edgeinc.runtimes.function import FunctionSession

__all__ = [
    "RUNTIMES",
    "FunctionSession",
    "Inspection",
    "RuntimeInfo",
    "Session",
    "TensorInfo",
    "TensorSpec",
    "available",
    "inspect",
    "installed",
    "open_session",
    "runtimes_for",
]

RUNTIMES = ("litert", "onnx")
"""The runtimes that read model files; the faster one on a CPU first."""


def installed() -> tuple[str, ...]:
    """Return the runtimes whose package is here, in the order of `RUNTIMES`.

    Nothing is loaded, so a package that is damaged still counts.
    """
    from edgeinc.runtimes import litert_package

    here = {
        "litert": litert_package.installed(),
        "onnx": importlib.util.find_spec("onnxruntime") is not None,
    }
    return tuple(name for name in RUNTIMES if here[name])


def available() -> tuple[RuntimeInfo, ...]:
    """Return the runtimes that load, with version and devices; this loads them."""
    from edgeinc.runtimes import litert_package, onnx

    found = []
    for info in (litert_package.info, onnx.info):
        try:
            found.append(info())
        except RuntimeUnavailableError:
            continue
    return tuple(found)


def runtimes_for(device: str) -> tuple[str, ...]:
    """Return the runtimes that understand a device's name.

    >>> runtimes_for("cpu")
    ('litert', 'onnx')
    >>> runtimes_for("OpenVINOExecutionProvider")
    ('onnx',)
    >>> runtimes_for("libedgetpu.so.1")
    ('litert',)
    """
    if device in ("auto", "cpu"):
        return RUNTIMES
    return ("onnx",) if device.endswith("ExecutionProvider") else ("litert",)


def open_session(
    model: bytes | Path,
    runtime: str,
    *,
    output: str | None = None,
    threads: int | None = None,
    device: str = "auto",
    strict: bool = False,
) -> Session:
    """Open a network.

    Args:
        model: Its file, or the file's content.
        runtime: `litert` for `.tflite`, `onnx` for `.onnx`.
        output: Tensor to give instead of the network's output. The network is cut there, so
            that what is behind is not run; where it is the only output already, or the file
            was cut at it before, nothing is done and no package for cutting is needed. In
            QDQ `.onnx` networks the integers that belong to the tensor are given.
        threads: Threads of one run; the physical cores unless given.
        device: `auto` or `cpu`; or an execution provider of ONNX Runtime by its exact name,
            or the library of a LiteRT delegate.
        strict: True makes it an error when the device asked for does not run the network;
            False gives one `RuntimeWarning` and takes the CPU. `Session.device` tells
            either way what really runs.

    Returns:
        A session; close it, or use it as a context manager.

    Raises:
        InputError: There is no such runtime, or `threads` is below 1.
        ModelFormatError: The file is damaged, has open sizes, or several inputs or outputs.
        TensorNotFoundError: The network computes no tensor named `output`.
        RuntimeUnavailableError: A package is not installed; the message names the extra.
        DeviceError: `strict`, and the device is not here or refused the network.
        InferenceError: The network fails on zeros, which are run where the file does not
            tell the shape of the output.
    """
    if threads is not None and threads < 1:
        raise InputError(f"{threads} threads cannot run a network; give at least 1")
    if _known(runtime) == "litert":
        from edgeinc.runtimes.litert import open_litert

        return open_litert(model, output=output, threads=threads, device=device, strict=strict)
    from edgeinc.runtimes.onnx import open_onnx

    return open_onnx(model, output=output, threads=threads, device=device, strict=strict)


def inspect(model: bytes | Path, runtime: str) -> Inspection:
    """List a network's inputs, outputs, and every tensor that could serve as embedding.

    Args:
        model: Its file, or the file's content.
        runtime: `litert` for `.tflite`, `onnx` for `.onnx` (needs the extra `onnx`).

    Raises:
        InputError: There is no such runtime.
        ModelFormatError: The file is damaged.
        RuntimeUnavailableError: A package is not installed; the message names the extra.
    """
    from edgeinc.runtimes import inspection

    if _known(runtime) == "litert":
        return inspection.inspect_litert(model)
    return inspection.inspect_onnx(model)


def _known(runtime: str) -> str:
    if runtime not in RUNTIMES:
        raise InputError(f"there is no runtime {runtime!r}; choose one of {', '.join(RUNTIMES)}")
    return runtime
