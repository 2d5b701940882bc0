"""The classifier of an `.onnx` network of the QDQ kind: the dense layer behind the embedding."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinc.runtimes.layer import Layer, no_classifier
from edgeinc.runtimes.onnx_graph import DEQUANTIZE, MOVING, Graph, read
from edgeinc.runtimes.onnx_proto import reading

__all__ = ["layer_behind"]

_DENSE = ("Conv", "Gemm", "MatMul")
# What may come behind the logits: none of these changes their order.
_LAST = (*MOVING, "LogSoftmax", "Softmax")


def layer_behind(model: bytes, tensor: str) -> Layer:
    """The classifier's own layer: what turns a tensor into the network's logits.

    Args:
        model: Content of the file.
        tensor: Name of the embedding.

    Raises:
        ModelFormatError: The file is damaged, or no quantised layer lies between the tensor
            and the network's only output.
        TensorNotFoundError: The network computes no tensor of that name.
        RuntimeUnavailableError: The package `onnx` is not installed.
    """
    graph = read(model)
    with reading():
        target = graph.target(tensor)
        integers = graph.integers(target)
        if integers is None:
            raise no_classifier("the embedding is of floats")
        nodes = _way(graph, target)
        dense = nodes[0]
        weights, zero, scale = _weights(graph, dense)
        if any(a.name == "group" and a.i != 1 for a in dense.attribute):
            raise no_classifier("its layer works on parts of the embedding")
        step = integers.scale * scale
        return Layer.of(weights, zero, _bias(graph, nodes, step, len(weights)), step)


def _way(graph: Graph, start: str) -> list[Any]:
    """The dense node and the sum with its bias, if any, on the only way to the output."""
    passed: list[Any] = []
    at = graph.outputs[0].name if len(graph.outputs) == 1 else ""
    while at != start:
        node = graph.makers.get(at)
        before = [] if node is None else [name for name in node.input if name in graph.computed]
        if len(before) != 1:
            raise no_classifier("it does not lead from the embedding to the only output")
        passed.append(node)
        at = before[0]
    nodes: list[Any] = []
    for node in reversed(passed):
        fresh = node.op_type in _DENSE and not nodes
        if fresh or (node.op_type == "Add" and [n.op_type for n in nodes] == ["MatMul"]):
            nodes.append(node)
        elif node.op_type not in (_LAST if nodes else MOVING):
            raise no_classifier(f"{node.op_type} lies there")
    if not nodes:
        raise no_classifier("nothing but the embedding itself is the output")
    return nodes


def _weights(graph: Graph, node: Any) -> tuple[NDArray[Any], int, NDArray[np.float64]]:
    """The rows `(C, d)`, the integer that stands for zero, and the scale of each row."""
    maker = graph.makers.get(node.input[1])
    if maker is None or maker.op_type != DEQUANTIZE:
        raise no_classifier("its layer is not quantised")
    weights = graph.constant(maker.input, 0)
    scale, zeros = graph.constant(maker.input, 1), graph.constant(maker.input, 2)
    if weights is None or scale is None:
        raise no_classifier("its weights are computed")
    if node.op_type == "Conv":
        if any(side != 1 for side in weights.shape[2:]):
            raise no_classifier("its layer looks at more than one point")
        weights = weights.reshape(weights.shape[:2])
    elif node.op_type == "MatMul" or not any(a.name == "transB" and a.i for a in node.attribute):
        weights = weights.T
    if node.op_type == "Gemm" and any(
        a.name in ("alpha", "beta") and a.f != 1.0 for a in node.attribute
    ):
        raise no_classifier("its layer has factors of its own")
    zero = {0} if zeros is None else {int(z) for z in zeros.reshape(-1)}
    if len(zero) != 1:
        raise no_classifier("its numbers have no one zero")
    return weights, zero.pop(), scale.reshape(-1).astype(np.float64)


def _bias(
    graph: Graph, nodes: list[Any], step: NDArray[np.float64], classes: int
) -> NDArray[np.int32]:
    """The bias in units of the rows' steps."""
    inputs = [i for i in (*nodes[0].input[2:], *(n for s in nodes[1:] for n in s.input)) if i]
    inputs = [name for name in inputs if name not in graph.computed]
    if not inputs:
        return np.zeros(classes, np.int32)
    maker = graph.makers.get(inputs[0])
    if maker is not None and maker.op_type == DEQUANTIZE:
        whole, scale = graph.constant(maker.input, 0), graph.constant(maker.input, 1)
        real = None if whole is None or scale is None else whole * scale.astype(np.float64)
    else:
        real = graph.constant(inputs, 0)
    if real is None:
        raise no_classifier("its bias is computed")
    units = np.rint(real.reshape(-1) / step)
    if not bool((np.abs(units) < 2**31).all()):
        raise no_classifier("its bias is out of all proportion")
    return np.asarray(units, np.int32)
