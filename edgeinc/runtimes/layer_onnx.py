"""The classifier of an `.onnx` network of the QDQ kind: the dense layer behind the embedding."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeinc.runtimes.layer import Layer, no_classifier
from edgeinc.runtimes.onnx_graph import DEQUANTIZE, MOVING, Graph, read
from edgeinc.runtimes.onnx_proto import reading

__all__ = ["Dense", "dense_behind", "layer_behind", "with_layer"]

# A tensor that no node reads: the rows that `with_layer` keeps in a file that is cut before them.
_KEPT = "edgeinc.classifier"
_DENSE = ("Conv", "Gemm", "MatMul")
# What may come behind the logits: none of these changes their order.
_LAST = (*MOVING, "LogSoftmax", "Softmax")


class Dense(NamedTuple):
    """A dense layer of floats.

    Attributes:
        rows: `(C, d)` float64.
        bias: `(C,)` float64.
    """

    rows: NDArray[np.float64]
    bias: NDArray[np.float64]

    def rounded(self, step: float) -> Layer:
        """The same in rows of 8 bits, a scale each, for an embedding of integers.

        Args:
            step: The embedding's scale.

        Raises:
            ModelFormatError: No number can come of it.
        """
        most = np.abs(self.rows).max(axis=1)
        scale = np.where(most == 0, 1.0, most) / 127
        rows = np.rint(self.rows / scale[:, np.newaxis]).astype(np.int8)
        return Layer.of(rows, 0, _units(self.bias, step * scale), step * scale)


def dense_behind(model: bytes, tensor: str) -> Dense:
    """The classifier's own layer of a float network.

    Args:
        model: Content of the file.
        tensor: Name of the embedding.

    Raises:
        ModelFormatError: The file is damaged, or no dense layer of floats lies between the
            tensor and the network's only output.
        TensorNotFoundError: The network computes no tensor of that name.
        RuntimeUnavailableError: The package `onnx` is not installed.
    """
    graph = read(model)
    with reading():
        nodes = _way(graph, graph.target(tensor))
        weights = graph.constant(nodes[0].input, 1)
        if weights is None:
            raise no_classifier("its weights are computed")
        rows = _rows(nodes[0], weights).astype(np.float64)
        bias = _real_bias(graph, nodes, len(rows))
        if not bool(np.isfinite(rows).all() and np.isfinite(bias).all()):
            raise no_classifier("its weights are no numbers")
        return Dense(rows, bias)


def with_layer(model: bytes, layer: Layer) -> bytes:
    """Keep a classifier's rows in an `.onnx` file that ends at the embedding."""
    import onnx

    proto = read(model).proto
    content = np.frombuffer(layer.pack(), np.uint8)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(content, _KEPT))
    result: bytes = proto.SerializeToString()
    return result


def layer_behind(model: bytes, tensor: str) -> Layer:
    """The classifier's own layer: what turns a tensor into the network's logits.

    Rows that `with_layer` keeps in the file are taken from there.

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
        kept = graph.constant([_KEPT], 0)
        if kept is not None and [value.name for value in graph.outputs] == [target]:
            return Layer.unpack(kept.tobytes())
        nodes = _way(graph, target)
        weights, zero, scale = _weights(graph, nodes[0])
        step = integers.scale * scale
        bias = _units(_real_bias(graph, nodes, len(weights)), step)
        return Layer.of(weights, zero, bias, step)


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
    weights = _rows(node, weights)
    zero = {0} if zeros is None else {int(z) for z in zeros.reshape(-1)}
    if len(zero) != 1:
        raise no_classifier("its numbers have no one zero")
    return weights, zero.pop(), scale.reshape(-1).astype(np.float64)


def _rows(node: Any, weights: NDArray[Any]) -> NDArray[Any]:
    """A dense node's weights as rows `(C, d)`."""
    said = {a.name: a for a in node.attribute}
    if "group" in said and said["group"].i != 1:
        raise no_classifier("its layer works on parts of the embedding")
    if node.op_type == "Gemm" and any(said[k].f != 1.0 for k in ("alpha", "beta") if k in said):
        raise no_classifier("its layer has factors of its own")
    if node.op_type == "Conv":
        if any(side != 1 for side in weights.shape[2:]):
            raise no_classifier("its layer looks at more than one point")
        return weights.reshape(weights.shape[:2])
    if weights.ndim != 2:
        raise no_classifier("its weights are no rows")
    return weights if "transB" in said and said["transB"].i else weights.T


def _real_bias(graph: Graph, nodes: list[Any], classes: int) -> NDArray[np.float64]:
    """The bias `(C,)` in real numbers."""
    inputs = [i for i in (*nodes[0].input[2:], *(n for s in nodes[1:] for n in s.input)) if i]
    inputs = [name for name in inputs if name not in graph.computed]
    if not inputs:
        return np.zeros(classes)
    maker = graph.makers.get(inputs[0])
    if maker is not None and maker.op_type == DEQUANTIZE:
        whole, scale = graph.constant(maker.input, 0), graph.constant(maker.input, 1)
        real = None if whole is None or scale is None else whole * scale.astype(np.float64)
    else:
        real = graph.constant(inputs, 0)
    if real is None:
        raise no_classifier("its bias is computed")
    # One number may stand for all.
    return np.array(np.broadcast_to(real.reshape(-1), (classes,)), np.float64)


def _units(bias: NDArray[np.float64], step: NDArray[np.float64]) -> NDArray[np.int32]:
    """The bias in units of the rows' steps."""
    units = np.rint(bias / step)
    if not bool((np.abs(units) < 2**31).all()):
        raise no_classifier("its bias is out of all proportion")
    return np.asarray(units, np.int32)
