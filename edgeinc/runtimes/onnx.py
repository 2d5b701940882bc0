"""ONNX Runtime: networks in `.onnx` files on the CPU, or on an execution provider."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from edgeinc.devices import CPU_PROVIDER, Device, Placement
from edgeinc.errors import InputError, ModelFormatError
from edgeinc.runtimes import cut_onnx
from edgeinc.runtimes.base import CPU, Array, RuntimeInfo, Session, TensorSpec
from edgeinc.runtimes.helpers import fixed_shape, model_bytes, one_of
from edgeinc.runtimes.onnx_devices import accelerated
from edgeinc.runtimes.onnx_package import DTYPES, errors, options, package, reason
from edgeinc.runtimes.providers import here
from edgeinc.runtimes.refusals import failed_running

__all__ = ["NAME", "OnnxSession", "info", "open_onnx"]

NAME = "onnx"


def info() -> RuntimeInfo:
    """Return version and providers.

    Raises:
        RuntimeUnavailableError: The package is not installed, or does not load.
    """
    ort = package()
    return RuntimeInfo(NAME, ort.__version__, here(ort))


def open_onnx(
    model: bytes | Path, device: Device, *, output: str | None, threads: int | None, strict: bool
) -> OnnxSession:
    """Open an `.onnx` network; see `edgeinc.runtimes.open_session`.

    The CPU provider reads it in any case: what is damaged is told from what a device refuses,
    and the tensors' numbers are known where a compiled network no longer tells them.
    """
    if device.name == CPU_PROVIDER and device.options:
        raise InputError(f"{CPU_PROVIDER} takes no options here; give threads.")
    content = model_bytes(model)
    session = _cpu(content, threads)
    if output is not None and not _ends_at(session, output):
        content = cut_onnx.cut(content, output)
        session = _cpu(content, threads)
    opened = OnnxSession(session, Placement(device.text, CPU_PROVIDER))
    if device.name not in (*CPU, CPU_PROVIDER):
        # What only reshapes behind the network is no work for a chip, and many take none.
        bare = cut_onnx.unwrapped(content)
        opened.move(*accelerated(bare, device, threads, strict=strict))
    return opened


class OnnxSession(Session):
    """A network in ONNX Runtime; made by `open_onnx`.

    `device` names the execution providers that nodes were really given to, in their own
    words and joined by `+`, for instance `CPUExecutionProvider`.
    """

    def __init__(self, session: Any, placement: Placement) -> None:
        notes = _notes(session)
        entry = _spec(one_of(session.get_inputs(), "inputs"), notes.get("input"))
        exit_ = _spec(one_of(session.get_outputs(), "outputs"), notes.get("output"))
        self._session, self.device = session, placement.device
        self._errors = errors()
        self._entry = entry.name
        self._exits = [exit_.name]
        entry = fixed_shape(entry)
        if -1 in exit_.shape:
            result = self._infer(np.zeros(entry.shape, entry.dtype))
            exit_ = TensorSpec(exit_.name, result.shape, exit_.dtype, exit_.scale, exit_.zero_point)
        super().__init__(NAME, placement, entry, exit_)

    def move(self, session: Any, placement: Placement) -> None:
        """Run on another session of the same network, which may end before a reshaping."""
        self._session = session
        self._exits = [session.get_outputs()[0].name]
        self.placement = placement
        self.device = placement.device

    def _run(self, array: Array) -> Array:
        return self._infer(array).reshape(self.output.shape)

    def _infer(self, array: Array) -> Array:
        try:
            result: Array = self._session.run(self._exits, {self._entry: array})[0]
        except self._errors as exc:
            raise failed_running("ONNX Runtime", self.device, reason(exc)) from exc
        return result

    def _release(self) -> None:
        self._session = None


def _cpu(content: bytes, threads: int | None) -> Any:
    """Return a session on the CPU provider."""
    ort = package()
    try:
        return ort.InferenceSession(content, options(threads), [CPU_PROVIDER], enable_fallback=0)
    except errors() as exc:
        raise ModelFormatError(
            f"ONNX Runtime cannot read this network ({reason(exc)}); fetch it again."
        ) from exc


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
    if value.type not in DTYPES:
        raise ModelFormatError(
            f"The tensor {value.name!r} is a {value.type}; choose one of "
            f"{', '.join(sorted(set(DTYPES.values())))}."
        )
    shape = tuple(n if isinstance(n, int) else -1 for n in value.shape)
    match integers:
        case [float(scale), int(zero_point)]:
            return TensorSpec(value.name, shape, DTYPES[value.type], scale, zero_point)
    return TensorSpec(value.name, shape, DTYPES[value.type])
