"""How much of a network a device runs: shares of its operators and of its multiplications."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from edgeinc.errors import EdgeincError

__all__ = ["Operator", "litert_macs", "onnx_macs", "onnx_operator", "share"]

# What multiplies, and the number of the input that holds the weights.
_ONNX = {
    "Conv": 1,
    "ConvInteger": 1,
    "ConvTranspose": 1,
    "Gemm": 1,
    "MatMul": 1,
    "MatMulInteger": 1,
    "QLinearConv": 3,
    "QLinearMatMul": 3,
}
# ONNX Runtime turns pictures for some providers: operators get another domain and an ending.
_TURNED = "com.ms.internal.nhwc"
_TOKEN = re.compile(r"(_token_\d+)+$")
_LITERT = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")


class Operator(NamedTuple):
    """An operator of a network: its kind, its name, and its multiplications where known."""

    kind: str
    name: str
    macs: int | None

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}" if self.name else self.kind


def share(all_of: Sequence[Operator], left: Sequence[Operator]) -> tuple[float, float | None]:
    """Shares of operators and of multiplications that were not left, each 0 to 1.

    The second is None where an operator does not tell how much it multiplies, unless all of
    them, or none, were left.

    >>> share([Operator("CONV_2D", "a", 90), Operator("ADD", "b", 0)], [Operator("ADD", "b", 0)])
    (0.5, 1.0)
    """
    nodes = 1 - len(left) / len(all_of) if all_of else 1.0
    if len(left) in (0, len(all_of)):
        return nodes, nodes
    macs = [operator.macs for operator in all_of]
    rest = [operator.macs for operator in left]
    known = [n for n in macs if n is not None]
    if len(known) < len(macs) or None in rest or not sum(known):
        return nodes, None
    return nodes, 1 - sum(n for n in rest if n is not None) / sum(known)


def onnx_macs(model: bytes) -> Mapping[str, int | None]:
    """Multiplications of each named operator of an `.onnx` network, by its name.

    Those of a convolution are its outputs times the weights that each of them sees. Empty
    where the package `onnx` is not installed.
    """
    from edgeinc.runtimes.onnx_graph import inferred, read

    try:
        graph = inferred(read(model).proto).graph
    except EdgeincError:
        return {}
    shapes = {t.name: tuple(t.dims) for t in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        sides = value.type.tensor_type.shape.dim
        shapes[value.name] = tuple(side.dim_value for side in sides)
    return {node.name: _onnx_node(node, shapes) for node in graph.node if node.name}


def onnx_operator(kind: str, domain: str, name: str, macs: Mapping[str, int | None]) -> Operator:
    """An operator that ONNX Runtime names; `macs` is what `onnx_macs` gave."""
    idle = domain in ("", "ai.onnx", _TURNED) and kind not in _ONNX
    return Operator(kind, name, 0 if idle else macs.get(_TOKEN.sub("", name)))


def _onnx_node(node: Any, shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    if node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type not in _ONNX:
        return 0
    entry, weights = shapes.get(node.input[0]), shapes.get(node.input[_ONNX[node.op_type]])
    end = shapes.get(node.output[0])
    # An open side is 0 in the file.
    if not entry or not weights or not end or not all((*entry, *weights, *end)):
        return None
    if node.op_type == "ConvTranspose":
        return math.prod(entry) * math.prod(weights[1:])
    if "Conv" in node.op_type:
        return math.prod(end) * math.prod(weights[1:])
    return math.prod(end) * (math.prod(weights) // end[-1] if len(weights) == 2 else entry[-1])


def litert_macs(kind: str, read: Iterable[Any], made: Any) -> int | None:
    """Multiplications of an operator of a `.tflite` network.

    Args:
        kind: The operator.
        read: Shapes of the tensors that it reads.
        made: Shape of the first tensor that it computes.

    Returns:
        None where that cannot be told, as of a custom operator.
    """
    if kind not in _LITERT:
        # The schema's own operators are in capitals; those of compilers are not. How a batch
        # is multiplied depends on options that the interpreter does not show.
        return 0 if kind.isupper() and kind != "BATCH_MATMUL" else None
    shapes = [[int(n) for n in shape] for shape in read]
    outputs = math.prod(int(n) for n in made)
    if kind == "TRANSPOSE_CONV":
        return math.prod(shapes[2]) * math.prod(shapes[1]) // shapes[1][-1]
    if kind == "DEPTHWISE_CONV_2D":
        return outputs * math.prod(shapes[1][1:3])
    return outputs * math.prod(shapes[1][1:])
