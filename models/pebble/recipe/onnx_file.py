"""ONNX: the float network (to calibrate and compare with; not shipped) and the QDQ one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from graph import INPUT, OUTPUT, Add, Conv, Step
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from quantise import Quantised

OPSET = 17
IR = 8


class _Builder:
    """Nodes and constants of one graph."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def constant(self, name: str, value: Any) -> str:
        self.constants.setdefault(name, numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **keys: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **keys))
        return output

    def model(self, picture: int, size: int, outputs: list[tuple[str, int]], note: str) -> bytes:
        given = helper.make_tensor_value_info(INPUT, picture, [1, 3, size, size])
        made = [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs]
        graph = helper.make_graph(
            self.nodes, "pebble", [given], made, list(self.constants.values())
        )
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR, doc_string=note)
        model = onnx.shape_inference.infer_shapes(model)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())


def float_model(steps: list[Step], size: int, *, watch: bool = False) -> bytes:
    """Float ONNX, (1, 3, size, size) float32 in -1..1 -> (1, d); `watch` adds every tensor."""
    build = _Builder()
    for step in steps:
        if isinstance(step, Conv):
            weights = [
                build.constant(f"{step.name}_weight", step.weight),
                build.constant(f"{step.name}_bias", step.bias),
            ]
            out = step.name + ("_sum" if step.relu else "")
            build.node("Conv", [step.source, *weights], out, **_shape(step))
            if step.relu:
                build.node("Relu", [out], step.name)
        elif isinstance(step, Add):
            build.node("Add", [step.left, step.right], f"{step.name}_sum")
            build.node("Relu", [f"{step.name}_sum"], step.name)
        else:
            build.node("GlobalAveragePool", [step.source], f"{step.name}_map")
            build.node("Flatten", [f"{step.name}_map"], step.name)
    names = [step.name for step in steps] if watch else [OUTPUT]
    return build.model(TensorProto.FLOAT, size, [(n, TensorProto.FLOAT) for n in names], "float")


def qdq_model(quantised: Quantised) -> bytes:
    """QDQ ONNX, (1, 3, size, size) uint8 -> (1, d) uint8; the integers of `quantised`."""
    build = _Builder()
    _dequantise(build, quantised, INPUT, INPUT)
    for step in quantised.steps:
        if isinstance(step, Conv):
            _conv(build, quantised, step)
        elif isinstance(step, Add):
            build.node("Add", [f"{step.left}_real", f"{step.right}_real"], f"{step.name}_sum")
            build.node("Relu", [f"{step.name}_sum"], f"{step.name}_out")
            _requantise(build, quantised, step.name)
        else:
            build.node("GlobalAveragePool", [f"{step.source}_real"], f"{step.name}_out")
            scale = _scale(build, quantised, step.name)
            build.node("QuantizeLinear", [f"{step.name}_out", *scale], f"{step.name}_map")
            build.node("Flatten", [f"{step.name}_map"], step.name)
    return build.model(
        TensorProto.UINT8, quantised.size, [(OUTPUT, TensorProto.UINT8)], "pebble, int8 QDQ"
    )


class Float:
    """The float network in ONNX Runtime."""

    def __init__(self, steps: list[Step], size: int, *, watch: bool = False) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            float_model(steps, size, watch=watch), options, providers=["CPUExecutionProvider"]
        )
        self.names = [o.name for o in self.session.get_outputs()]

    def all(self, picture: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Every output for one (size, size, 3) uint8 RGB picture."""
        x = (picture.astype(np.float32).transpose(2, 0, 1)[None] - 128) / 128
        values = self.session.run(self.names, {INPUT: x})
        return dict(zip(self.names, values, strict=True))


def _shape(step: Conv) -> dict[str, Any]:
    side = int(step.weight.shape[2])
    return {
        "kernel_shape": [side, side],
        "strides": [step.stride, step.stride],
        "pads": [step.pad] * 4,
    }


def _conv(build: _Builder, quantised: Quantised, step: Conv) -> None:
    kernel, source = quantised.kernels[step.name], quantised.scales[step.source]
    parts = []
    for key, value, scale in (
        ("weight", kernel.weight, kernel.scale),
        ("bias", kernel.bias, (kernel.scale * source.scale).astype(np.float32)),
    ):
        at = f"{step.name}_{key}"
        names = [
            build.constant(at, value),
            build.constant(f"{at}_scale", scale),
            build.constant(f"{at}_zero", np.zeros(len(scale), value.dtype)),
        ]
        parts.append(build.node("DequantizeLinear", names, f"{at}_real", axis=0))
    out = f"{step.name}_out"
    made = f"{step.name}_sum" if step.relu else out
    build.node("Conv", [f"{step.source}_real", *parts], made, **_shape(step))
    if step.relu:
        build.node("Relu", [made], out)
    _requantise(build, quantised, step.name)


def _requantise(build: _Builder, quantised: Quantised, name: str) -> None:
    scale = _scale(build, quantised, name)
    build.node("QuantizeLinear", [f"{name}_out", *scale], name)
    _dequantise(build, quantised, name, name)


def _dequantise(build: _Builder, quantised: Quantised, name: str, source: str) -> None:
    build.node("DequantizeLinear", [source, *_scale(build, quantised, name)], f"{name}_real")


def _scale(build: _Builder, quantised: Quantised, name: str) -> list[str]:
    scale = quantised.scales[name]
    return [
        build.constant(f"{name}_scale", np.float32(scale.scale)),
        build.constant(f"{name}_zero", np.uint8(scale.zero)),
    ]
