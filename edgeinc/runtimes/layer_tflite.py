"""The classifier of a `.tflite` network: the dense layer behind the embedding."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinc.runtimes.cut_tflite import find, indices, schema_classes, unpack
from edgeinc.runtimes.layer import Layer, no_classifier
from edgeinc.runtimes.litert_package import reading

__all__ = ["layer_behind"]

_DENSE = ("CONV_2D", "FULLY_CONNECTED")
_MOVING = ("EXPAND_DIMS", "RESHAPE", "SQUEEZE")
# What may come behind the logits: none of these changes their order.
_LAST = (*_MOVING, "DEQUANTIZE", "LOG_SOFTMAX", "QUANTIZE", "SOFTMAX")


def layer_behind(model: bytes, tensor: str) -> Layer:
    """The classifier's own layer: what turns a tensor into the network's logits.

    Args:
        model: Content of the file.
        tensor: Name of the embedding.

    Raises:
        ModelFormatError: The file is damaged, or no quantised layer lies between the tensor
            and the network's only output.
        TensorNotFoundError: The network computes no tensor of that name.
        RuntimeUnavailableError: `ai_edge_litert` is not installed.
    """
    with reading():
        network = unpack(model)
        graph = network.subgraphs[0]
        operator, name = _dense(network, graph, find(graph, tensor))
        return _read(network, graph, operator, name)


def _dense(network: Any, graph: Any, start: int) -> tuple[Any, str]:
    """The one dense operator on the only way from a tensor to the network's output."""
    at = start
    found: tuple[Any, str] | None = None
    names = {number: name for name, number in vars(schema_classes().BuiltinOperator).items()}
    for operator in graph.operators:
        if at not in indices(operator.inputs):
            continue
        code = network.operatorCodes[operator.opcodeIndex]
        name = names.get(max(code.builtinCode, code.deprecatedBuiltinCode), "")
        if found is None and name in _DENSE:
            found = operator, name
        elif name not in (_MOVING if found is None else _LAST):
            raise no_classifier(f"{name or 'an operator of its own'} lies there")
        at = indices(operator.outputs)[0]
    if found is None or indices(graph.outputs) != [at]:
        raise no_classifier("it does not lead from the embedding to the only output")
    return found


def _read(network: Any, graph: Any, operator: Any, name: str) -> Layer:
    """The numbers of a dense operator."""
    entry, kernel = (graph.tensors[i] for i in operator.inputs[:2])
    rest = [graph.tensors[i] for i in operator.inputs[2:] if i >= 0]
    options = operator.builtinOptions
    if options is not None and options.fusedActivationFunction:
        raise no_classifier("its layer ends in an activation")
    kinds = schema_classes().TensorType
    dtype = {kinds.INT8: np.dtype(np.int8), kinds.UINT8: np.dtype(np.uint8)}.get(kernel.type)
    shape = [int(n) for n in kernel.shape]
    if dtype is None or (name == "CONV_2D" and shape[1:-1] != [1, 1]):
        raise no_classifier("its layer is not quantised, or looks at more than one point")
    weights = _content(network, kernel, dtype).reshape(shape[0], -1)
    bias = np.zeros(len(weights), np.int32)
    if rest:
        if rest[0].type != kinds.INT32:
            raise no_classifier("its bias is not of 32-bit integers")
        bias = _content(network, rest[0], np.dtype("<i4"))
    zeros = {int(zero) for zero in kernel.quantization.zeroPoint}
    steps = np.asarray(kernel.quantization.scale, np.float64)
    step = np.asarray(entry.quantization.scale, np.float64)
    if len(zeros) != 1 or len(step) != 1:
        raise no_classifier("its numbers have no one zero")
    return Layer.of(weights, zeros.pop(), bias, steps * step)


def _content(network: Any, tensor: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A constant tensor's numbers, flat."""
    data = network.buffers[tensor.buffer].data
    if data is None:
        raise no_classifier("its weights are computed")
    return np.frombuffer(np.asarray(data, np.uint8).tobytes(), dtype)
