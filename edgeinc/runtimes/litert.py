"""LiteRT: networks in `.tflite` files on the CPU (XNNPACK) or an external delegate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeinc.devices import Device, Placement
from edgeinc.runtimes.base import CPU, Array, Session, physical_cores
from edgeinc.runtimes.chatter import without_chatter
from edgeinc.runtimes.helpers import (
    fixed_shape,
    model_bytes,
    one_of,
    tensor_not_found,
)
from edgeinc.runtimes.litert_package import (
    ERRORS,
    NAME,
    ON_CPU,
    interpreter,
    reading,
    said,
    spec,
    steps,
)
from edgeinc.runtimes.refusals import failed_running

__all__ = ["LiteRtSession", "open_litert"]


def open_litert(
    model: bytes | Path, device: Device, *, output: str | None, threads: int | None, strict: bool
) -> LiteRtSession:
    """Open a `.tflite` network; see `edgeinc.runtimes.open_session`.

    With tflite-runtime, which cannot cut, an inner tensor is read from the whole network:
    correct, but the layers behind it run for nothing.
    """
    content = model_bytes(model)
    options: dict[str, Any] = {"num_threads": threads or physical_cores()}
    net, inner, placement = interpreter(content, **options), None, Placement(device.text, ON_CPU)
    if output is not None and not _ends_at(net, output):
        from edgeinc.runtimes import cut_tflite

        if cut_tflite.can_cut():
            content = cut_tflite.cut(content, output)
        else:
            inner = _index(net, output)
            options["experimental_preserve_all_tensors"] = True
        net = interpreter(content, **options)
    if device.name not in CPU:
        from edgeinc.runtimes.litert_devices import delegated

        net, placement = delegated(content, options, device, strict=strict)
    return LiteRtSession(net, placement, inner)


class LiteRtSession(Session):
    """A network in LiteRT; made by `open_litert`.

    `device` is `CPU`, or the library of the delegate that runs the network or part of it.
    """

    def __init__(self, net: Any, placement: Placement, inner: int | None = None) -> None:
        """Take an interpreter.

        Args:
            net: Of ai-edge-litert or tflite-runtime.
            placement: What runs it.
            inner: Index of the tensor to read where the network could not be cut at it.
        """
        with without_chatter(), reading():
            entry = one_of(net.get_input_details(), "inputs")
            start = fixed_shape(spec(entry, entry["shape_signature"]))
            net.allocate_tensors()
            if inner is None:
                exit_ = one_of(net.get_output_details(), "outputs")
            else:
                exit_ = next(d for d in net.get_tensor_details() if d["index"] == inner)
            end = spec(exit_)
        self._net = net
        self._entry = entry["index"]
        self._exit = exit_["index"]
        super().__init__(NAME, placement, start, end)

    def _run(self, array: Array) -> Array:
        net = self._net
        try:
            net.set_tensor(self._entry, array)
            net.invoke()
            result: Array = net.get_tensor(self._exit)
        except ERRORS as exc:
            raise failed_running("LiteRT", self.device, said(exc)) from exc
        return result

    def _release(self) -> None:
        self._net = None


def _ends_at(net: Any, output: str) -> bool:
    """Return whether the network's only output is the one asked for."""
    with reading():
        return [d["name"] for d in net.get_output_details()] == [output]


def _index(net: Any, name: str) -> int:
    """Return the index of a tensor that the network computes from its input."""
    with reading():
        made = {d["name"]: d["index"] for _, _, details in steps(net) for d in details}
    if name not in made:
        raise tensor_not_found(name, reversed(made))
    return int(made[name])
