"""Runtimes behind one contract: arrays in, arrays out, and the device that really ran.

    session = open_session(Path("net.tflite"), "litert", output="AvgPool")
    embedding = session.run(picture)

What a session promises is in `edgeinc.runtimes.base`. A runtime's package is loaded when a
network is opened or looked into, never before, and so is the module beside this one that
needs it: what a field device does not use, it does not pay for at every start.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeinc.devices import WORDS, AskedDevice, Device
from edgeinc.errors import RuntimeUnavailableError
from edgeinc.runtimes.base import Inspection, RuntimeInfo, Session, TensorInfo, TensorSpec
from edgeinc.runtimes.contract import Runtime, on_disk
from edgeinc.runtimes.function import FunctionSession
from edgeinc.runtimes.helpers import check_settings, model_bytes
from edgeinc.runtimes.plain_runtimes import PLAIN, expects_npu, find_plain

if TYPE_CHECKING:
    from edgeinc.runtimes.layer import Layer

__all__ = [
    "RUNTIMES",
    "FunctionSession",
    "Inspection",
    "Runtime",
    "RuntimeInfo",
    "Session",
    "TensorInfo",
    "TensorSpec",
    "available",
    "cut",
    "expects_npu",
    "inspect",
    "installed",
    "kinds_of",
    "layer_behind",
    "on_disk",
    "open_session",
    "runtimes_for",
    "survey",
]

RUNTIMES = tuple(PLAIN)
"""The runtimes of which edgeinc can cut the files; the faster one on a CPU first. More are in
`edgeinc.runtimes.offered`."""


def installed() -> tuple[str, ...]:
    """Return the runtimes whose package is here: those of `RUNTIMES` in their order, then others.

    None of these packages is loaded, so one that is damaged still counts.
    """
    from edgeinc.runtimes import offered

    return (*(n for n, plain in PLAIN.items() if plain.installed()), *offered.installed())


def available() -> tuple[RuntimeInfo, ...]:
    """Return the runtimes that load, with version and devices; this loads them."""
    return survey()[0]


def survey() -> tuple[tuple[RuntimeInfo, ...], tuple[str, ...]]:
    """Look at all runtimes; this loads their packages, and searches for chips.

    Returns:
        Those that load, with version and devices; and what is wrong with those that others
        offer, see `offered.survey`.
    """
    from edgeinc.runtimes import offered

    found = []
    for plain in PLAIN.values():
        try:
            found.append(plain.info())
        except RuntimeUnavailableError:
            continue
    others, problems = offered.survey()
    return (*found, *others), problems


def runtimes_for(device: AskedDevice) -> tuple[str, ...]:
    """Return the runtimes that understand a device's name.

    >>> runtimes_for("cpu")
    ('litert', 'onnx')
    >>> runtimes_for("OpenVINOExecutionProvider,device_type=NPU")
    ('onnx',)
    >>> runtimes_for("libedgetpu.so.1"), runtimes_for("hailo")
    (('litert',), ('hailo',))

    Raises:
        InputError: It is no device.
    """
    device = Device.of(device)
    if device.name in WORDS:
        return RUNTIMES
    if device.is_provider:
        return ("onnx",)
    return (device.name,) if _is_offered(device.name) else ("litert",)


def open_session(
    model: bytes | Path,
    runtime: str,
    *,
    output: str | None = None,
    threads: int | None = None,
    device: AskedDevice = "auto",
    strict: bool = False,
    ends: tuple[TensorSpec, TensorSpec] | None = None,
) -> Session:
    """Open a network on a device; nothing falls back to another one, see `Backbone.open`.

    Args:
        model: Its file, or the file's content.
        runtime: `litert` for `.tflite`, `onnx` for `.onnx`, or a name in `offered.names()`.
        output: Tensor to give instead of the network's output. The network is cut there, so
            that what is behind is not run; where it is the only output already, or the file
            was cut at it before, nothing is done and no package for cutting is needed. In
            QDQ `.onnx` networks the integers that belong to the tensor are given.
        threads: Threads of one run; the physical cores unless given.
        device: `auto` or `cpu` for the CPU; `npu` or `gpu` for the first one here that takes
            a part of the network; an execution provider of ONNX Runtime by its exact name, or
            the library of a LiteRT delegate, with options: see `edgeinc.devices`.
        strict: True makes it an error when the device asked for does not run all of the
            network; False, only when it runs no part of it. `Session.placement` tells what
            really runs.
        ends: Input and output as a card describes them, for a runtime that is not in
            `RUNTIMES`: files for chips need not tell.

    Returns:
        A session; close it, or use it as a context manager.

    Raises:
        InputError: `threads` is no number of threads, `strict` is neither True nor False, it
            is no device, or `ends` are missing.
        ModelFormatError: The file is damaged, has open sizes, or several inputs or outputs.
        TensorNotFoundError: The network computes no tensor named `output`.
        RuntimeUnavailableError: A package is not installed; the message names the extra. Or
            there is no such runtime.
        DeviceError: The device is not here, does not load, or refused the network: see the
            three kinds in `edgeinc.errors`.
        InferenceError: The network fails on zeros, which are run where the file does not
            tell the shape of the output.
    """
    check_settings(threads, strict=strict)
    wanted = Device.of(device)
    if runtime not in RUNTIMES:
        from edgeinc.runtimes import offered

        return offered.open_offered(
            runtime,
            model_bytes(model),
            ends,
            device=wanted,
            output=output,
            threads=threads,
            strict=strict,
        )
    return PLAIN[runtime].open(model, wanted, output=output, threads=threads, strict=strict)


def kinds_of(device: Device) -> tuple[str, ...]:
    """Return what a device may be asked for by: `npu`, `gpu`; nothing where that is not known.

    >>> kinds_of(Device("libedgetpu.so.1")), kinds_of(Device("gpu"))
    (('npu',), ('gpu',))
    """
    from edgeinc.runtimes import delegates, providers

    if device.name in ("npu", "gpu"):
        return (device.name,)
    known = delegates.KNOWN.get(device.name) or providers.KNOWN.get(device.name)
    if known is None and _is_offered(device.name):
        from edgeinc.runtimes import offered

        try:
            return offered.find(device.name).kinds
        except RuntimeUnavailableError:
            return ()
    return tuple(kind for kind in ("npu", "gpu") if getattr(known, kind, None) is not None)


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
    return find_plain(runtime).inspect(model)


def cut(content: bytes, runtime: str, tensor: str) -> bytes:
    """Cut a network, so that it ends at a tensor; the same content where it ends there already.

    Args:
        content: Its file's content.
        runtime: `litert` or `onnx`; the latter needs the extra `onnx`.
        tensor: Its name.

    Raises:
        InputError: There is no such runtime.
        ModelFormatError: The file is damaged, or of a kind that cannot be cut.
        TensorNotFoundError: The network computes no such tensor.
        RuntimeUnavailableError: A package is not installed; the message names the extra.
    """
    return find_plain(runtime).cut(content, tensor)


def layer_behind(content: bytes, runtime: str, tensor: str) -> Layer:
    """Read the quantised dense layer between a tensor and a network's output: its own classes.

    Args:
        content: The file's content, not cut.
        runtime: `litert` or `onnx`.
        tensor: Name of the embedding.

    Raises:
        InputError: There is no such runtime.
        ModelFormatError: The file is damaged, or no such layer lies there.
        TensorNotFoundError: The network computes no such tensor.
        RuntimeUnavailableError: A package is not installed; the message names the extra.
    """
    return find_plain(runtime).layer_behind(content, tensor)


def _is_offered(name: str) -> bool:
    """Whether a device's name is that of a runtime beyond `RUNTIMES`."""
    from edgeinc.runtimes import offered

    # Looking for other packages takes longer, and only where none of ours is meant.
    return name in offered.OWN or (offered.is_name(name) and name in offered.names())
