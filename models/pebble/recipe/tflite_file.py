"""TFLite: the same integers as the QDQ ONNX, written with the schema's own classes.

Converters (onnx2tf, litert-torch, Keras) bring hundreds of megabytes, choose scales of their own
and lag behind new Pythons. This network has three kinds of operator; writing them takes a page,
needs only `ai_edge_litert`, which runs it anyway, and gives the very weights of the ONNX file.
Activations are int8: `q - 128` of the ONNX file's uint8, with zero points shifted alike.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from graph import INPUT, OUTPUT, Add, Conv
from numpy.typing import NDArray
from quantise import Quantised, Scale

VERSIONS = {
    schema.BuiltinOperator.CONV_2D: 3,
    schema.BuiltinOperator.ADD: 2,
    schema.BuiltinOperator.MEAN: 2,
}


class _Writer:
    """Tensors, buffers and operators of one subgraph."""

    def __init__(self) -> None:
        self.buffers = [schema.BufferT()]
        self.tensors: list[Any] = []
        self.index: dict[str, int] = {}
        self.operators: list[Any] = []
        self.codes: list[int] = []

    def tensor(self, name: str, shape: tuple[int, ...], kind: int, quantization: Any) -> int:
        made = schema.TensorT()
        made.name, made.shape = name.encode(), np.array(shape, np.int32)
        made.type, made.buffer, made.quantization = kind, 0, quantization
        self.tensors.append(made)
        self.index[name] = len(self.tensors) - 1
        return self.index[name]

    def constant(self, name: str, value: NDArray[Any], kind: int, quantization: Any) -> int:
        at = self.tensor(name, value.shape, kind, quantization)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
        self.buffers.append(buffer)
        self.tensors[at].buffer = len(self.buffers) - 1
        return at

    def operator(self, code: int, inputs: list[int], output: int, options: Any) -> None:
        if code not in self.codes:
            self.codes.append(code)
        made = schema.OperatorT()
        made.opcodeIndex = self.codes.index(code)
        made.inputs, made.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        name = type(options).__name__.removesuffix("T")
        made.builtinOptionsType = getattr(schema.BuiltinOptions, name)
        made.builtinOptions = options
        self.operators.append(made)

    def pack(self) -> bytes:
        graph = schema.SubGraphT()
        graph.name, graph.tensors, graph.operators = b"pebble", self.tensors, self.operators
        graph.inputs = np.array([self.index[INPUT]], np.int32)
        graph.outputs = np.array([self.index[OUTPUT]], np.int32)
        model = schema.ModelT()
        model.version, model.description = 3, b"pebble, int8"
        model.subgraphs, model.buffers = [graph], self.buffers
        model.operatorCodes = []
        for code in self.codes:
            made = schema.OperatorCodeT()
            made.builtinCode = made.deprecatedBuiltinCode = code
            made.version = VERSIONS[code]
            model.operatorCodes.append(made)
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def tflite_model(quantised: Quantised) -> bytes:
    """TFLite, (1, size, size, 3) int8 -> (1, d) int8; the integers of `quantised`."""
    writer, scales = _Writer(), quantised.scales
    shape: dict[str, tuple[int, ...]] = {INPUT: (1, quantised.size, quantised.size, 3)}
    writer.tensor(INPUT, shape[INPUT], schema.TensorType.INT8, _per_tensor(scales[INPUT]))
    for step in quantised.steps:
        if isinstance(step, Conv):
            _, height, width, _ = shape[step.source]
            channels = int(step.weight.shape[0])
            shape[step.name] = (1, height // step.stride, width // step.stride, channels)
            inputs = [writer.index[step.source], *_kernel(writer, quantised, step)]
            options: Any = _conv_options(step)
            code = schema.BuiltinOperator.CONV_2D
        elif isinstance(step, Add):
            shape[step.name] = shape[step.left]
            inputs = [writer.index[step.left], writer.index[step.right]]
            options = schema.AddOptionsT()
            options.fusedActivationFunction = schema.ActivationFunctionType.RELU
            code = schema.BuiltinOperator.ADD
        else:
            shape[step.name] = (1, shape[step.source][3])
            axes = writer.constant(
                "axes", np.array([1, 2], np.int32), schema.TensorType.INT32, None
            )
            inputs = [writer.index[step.source], axes]
            options = schema.ReducerOptionsT()
            options.keepDims = False
            code = schema.BuiltinOperator.MEAN
        kind = schema.TensorType.INT8
        out = writer.tensor(step.name, shape[step.name], kind, _per_tensor(scales[step.name]))
        writer.operator(code, inputs, out, options)
    return writer.pack()


def _kernel(writer: _Writer, quantised: Quantised, step: Conv) -> list[int]:
    kernel, source = quantised.kernels[step.name], quantised.scales[step.source]
    weight = kernel.weight.transpose(0, 2, 3, 1)
    per_channel = _quantization(kernel.scale, np.zeros(len(kernel.scale), np.int64))
    product = (kernel.scale * source.scale).astype(np.float32)
    bias = _quantization(product, np.zeros(len(product), np.int64))
    return [
        writer.constant(f"{step.name}_weight", weight, schema.TensorType.INT8, per_channel),
        writer.constant(f"{step.name}_bias", kernel.bias, schema.TensorType.INT32, bias),
    ]


def _conv_options(step: Conv) -> Any:
    options = schema.Conv2DOptionsT()
    options.padding = schema.Padding.SAME if step.pad else schema.Padding.VALID
    options.strideH = options.strideW = step.stride
    options.dilationHFactor = options.dilationWFactor = 1
    relu, none = schema.ActivationFunctionType.RELU, schema.ActivationFunctionType.NONE
    options.fusedActivationFunction = relu if step.relu else none
    return options


def _per_tensor(scale: Scale) -> Any:
    return _quantization(
        np.array([scale.scale], np.float32), np.array([scale.zero - 128], np.int64)
    )


def _quantization(scale: NDArray[np.float32], zero: NDArray[np.int64]) -> Any:
    made = schema.QuantizationParametersT()
    made.scale, made.zeroPoint, made.quantizedDimension = scale, zero, 0
    return made
