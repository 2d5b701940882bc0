"""ONNX Runtime. The only home of its package; its errors are translated here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from edgeinc.errors import (
    DeviceError,
    InferenceError,
    ModelFormatError,
    RuntimeUnavailableError,
)
from edgeinc.runtimes import cut_onnx
from edgeinc.runtimes.base import CPU, Array, RuntimeInfo, Session, TensorSpec, physical_cores
from edgeinc.runtimes.helpers import fall_back, first_line, fixed_shape, model_bytes, one_of

__all__ = ["NAME", "OnnxSession", "info", "open_onnx"]

NAME = "onnx"
CPU_PROVIDER = "CPUExecutionProvider"
_DTYPES = {
    f"tensor({theirs})": ours
    for theirs, ours in {
        "uint8": "uint8",
        "int8": "int8",
        "uint16": "uint16",
        "int16": "int16",
        "int32": "int32",
        "int64": "int64",
        "float16": "float16",
        "float": "float32",
        "double": "float64",
    }.items()
}


def info() -> RuntimeInfo:
    """Return version and providers.

    Raises:
        RuntimeUnavailableError: The package is not installed, or does not load.
    """
    ort = _package()
    return RuntimeInfo(NAME, ort.__version__, tuple(ort.get_available_providers()))


def open_onnx(
    model: bytes | Path,
    *,
    output: str | None = None,
    threads: int | None = None,
    device: str = "auto",
    strict: bool = False,
) -> OnnxSession:
    """Open an `.onnx` network; see `edgeinc.runtimes.open_session`."""
    content = model_bytes(model)
    session, ran = _load(content, threads, device, strict)
    if output is not None and not _ends_at(session, output):
        content = cut_onnx.cut(content, output)
        session, ran = _load(content, threads, device, strict)
    return OnnxSession(session, ran)


class OnnxSession(Session):
    """A network in ONNX Runtime; made by `open_onnx`.

    `device` names the execution providers that nodes were really given to, in their own
    words and joined by `+`, for instance `CPUExecutionProvider`.
    """

    def __init__(self, session: Any, device: str) -> None:
        notes = _notes(session)
        entry = _spec(one_of(session.get_inputs(), "inputs"), notes.get("input"))
        exit_ = _spec(one_of(session.get_outputs(), "outputs"), notes.get("output"))
        self._session = session
        self._errors = _errors()
        self._entry = entry.name
        self._exits = [exit_.name]
        entry = fixed_shape(entry)
        if -1 in exit_.shape:
            result = self._infer(np.zeros(entry.shape, entry.dtype))
            exit_ = TensorSpec(exit_.name, result.shape, exit_.dtype, exit_.scale, exit_.zero_point)
        super().__init__(NAME, device, entry, exit_)

    def _run(self, array: Array) -> Array:
        return self._infer(array)

    def _infer(self, array: Array) -> Array:
        try:
            result: Array = self._session.run(self._exits, {self._entry: array})[0]
        except self._errors as exc:
            raise InferenceError(
                f"ONNX Runtime failed while it ran ({first_line(exc)}); verify the model's file"
            ) from exc
        return result

    def _release(self) -> None:
        self._session = None


def _package() -> Any:
    try:
        import onnxruntime
    except ImportError as exc:
        raise RuntimeUnavailableError(
            f"ONNX Runtime does not load ({exc}); pip install onnxruntime"
        ) from exc
    return onnxruntime


def _errors() -> tuple[type[Exception], ...]:
    """Return every error that ONNX Runtime raises; they share no base of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    theirs = [c for c in vars(state).values() if isinstance(c, type) and issubclass(c, Exception)]
    return (*theirs, RuntimeError, ValueError, TypeError)


def _load(content: bytes, threads: int | None, device: str, strict: bool) -> tuple[Any, str]:
    """Return ONNX Runtime's session and the providers that really run it."""
    if device not in (*CPU, CPU_PROVIDER):
        try:
            return _accelerated(content, threads, device, strict)
        except DeviceError as exc:
            fall_back(exc, strict=strict)
    return _cpu(content, threads), CPU_PROVIDER


def _accelerated(content: bytes, threads: int | None, device: str, strict: bool) -> tuple[Any, str]:
    """Return a session of which another provider has taken a part, and the providers."""
    ort = _package()
    there = ort.get_available_providers()
    if device not in there:
        raise DeviceError(
            f"ONNX Runtime has no provider {device!r} here, only {', '.join(there)}; install "
            "the package that brings it"
        )
    options = _options(threads)
    options.add_session_config_entry("session.disable_cpu_ep_fallback", str(int(strict)))
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    try:
        session = ort.InferenceSession(content, options, [device], enable_fallback=0)
    except _errors() as exc:
        _cpu(content, threads)  # a damaged file is reported as such
        raise DeviceError(
            f"{device} refused the network ({first_line(exc)}); use another network"
        ) from exc
    ran = _assigned(session)
    if device not in ran:
        raise DeviceError(f"{device} took no part of the network; use another network")
    return session, "+".join(ran)


def _cpu(content: bytes, threads: int | None) -> Any:
    """Return a session on the CPU provider."""
    ort = _package()
    try:
        return ort.InferenceSession(content, _options(threads), [CPU_PROVIDER], enable_fallback=0)
    except _errors() as exc:
        raise ModelFormatError(
            f"ONNX Runtime cannot read this network ({first_line(exc)}); fetch it again"
        ) from exc


def _options(threads: int | None) -> Any:
    ort = _package()
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = threads or physical_cores()
    options.inter_op_num_threads = 1
    # Spinning threads burn most of a core between two frames and gain nothing: see the notes
    # on `session.intra_op.allow_spinning` in ONNX Runtime's documentation of threads.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 4  # what goes wrong is raised; stderr stays the caller's
    return options


def _assigned(session: Any) -> list[str]:
    """Return the providers that nodes were given to, in order of first use.

    Older releases of ONNX Runtime cannot tell; there, the session's list has to do.
    """
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return list(session.get_providers())
    parts = session.get_provider_graph_assignment_info()
    return list(dict.fromkeys(part.ep_name for part in parts))


def _notes(session: Any) -> dict[str, Any]:
    """Return what `cut_onnx` wrote into the file; empty for any other file."""
    text = session.get_modelmeta().custom_metadata_map.get(cut_onnx.METADATA, "{}")
    try:
        notes = json.loads(text)
    except ValueError:
        return {}
    return notes if isinstance(notes, dict) else {}


def _ends_at(session: Any, output: str) -> bool:
    """Return whether the network's only output is the one asked for."""
    names = [o.name for o in session.get_outputs()]
    return names == [output] or (len(names) == 1 and _notes(session).get("cut") == output)


def _spec(value: Any, integers: Any) -> TensorSpec:
    """Return an input or output of a session as a record; -1 for open axes."""
    if value.type not in _DTYPES:
        raise ModelFormatError(
            f"the tensor {value.name!r} is a {value.type}; choose one of "
            f"{', '.join(sorted(set(_DTYPES.values())))}"
        )
    shape = tuple(n if isinstance(n, int) else -1 for n in value.shape)
    match integers:
        case [float(scale), int(zero_point)]:
            return TensorSpec(value.name, shape, _DTYPES[value.type], scale, zero_point)
    return TensorSpec(value.name, shape, _DTYPES[value.type])
