"""Finding the embedding: every tensor of a network at which it could be cut."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from edgeinc.errors import ModelFormatError
from edgeinc.runtimes import onnx_graph, onnx_proto
from edgeinc.runtimes.base import DTYPES, Inspection, TensorInfo, TensorSpec
from edgeinc.runtimes.helpers import model_bytes
from edgeinc.runtimes.litert_package import interpreter, reading, spec, steps

__all__ = ["inspect_litert", "inspect_onnx"]

POOLING = (
    *("AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN", "REDUCE_MAX", "SUM"),
    *("AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool"),
    *("QLinearAveragePool", "QLinearGlobalAveragePool", "ReduceMax", "ReduceMean", "ReduceSum"),
)


def inspect_litert(model: bytes | Path) -> Inspection:
    """List what is in a `.tflite` network; see `edgeinc.runtimes.inspect`."""
    net = interpreter(model_bytes(model))
    found = []
    with reading():
        for operator, read, made in steps(net):
            most = max(_elements(d["shape"]) for d in read)
            for detail in made:
                if detail["name"] and getattr(detail["dtype"], "__name__", "") in DTYPES:
                    found.append(_candidate(spec(detail), operator, most))
        return Inspection(
            tuple(spec(d, d["shape_signature"]) for d in net.get_input_details()),
            tuple(spec(d) for d in net.get_output_details()),
            _ordered(found),
        )


def inspect_onnx(model: bytes | Path) -> Inspection:
    """List what is in an `.onnx` network; see `edgeinc.runtimes.inspect`."""
    graph = onnx_graph.read(model_bytes(model))
    with onnx_proto.reading():
        described = _described(graph)
        found: dict[str, TensorInfo] = {}
        for name, node in graph.computed.items():
            target = graph.target(name)
            if node.op_type in onnx_graph.MOVING or target in found or target not in described:
                continue
            read = [described[n].shape for n in onnx_graph.reads(node) if n in described]
            most = max((_elements(shape) for shape in read), default=0)
            found[target] = _candidate(described[target], node.op_type, most)
        return Inspection(
            tuple(_end(described, v.name) for v in graph.inputs),
            tuple(_end(described, v.name) for v in graph.outputs),
            _ordered(list(found.values())),
        )


def _described(graph: onnx_graph.Graph) -> dict[str, TensorSpec]:
    """Return every tensor of known type and shape as a record; -1 for open axes."""
    values = onnx_graph.inferred(graph.proto).graph
    found: dict[str, TensorSpec] = {}
    for value in (*values.input, *values.value_info, *values.output):
        tensor = value.type.tensor_type
        dtype = _dtypes().get(tensor.elem_type)
        if dtype is None or not tensor.HasField("shape"):
            continue
        shape = tuple(int(d.dim_value) if d.HasField("dim_value") else -1 for d in tensor.shape.dim)
        integers = graph.integers(value.name) if "int" in dtype else None
        scale, zero = (None, None) if integers is None else (integers.scale, integers.zero)
        found[value.name] = TensorSpec(value.name, shape, dtype, scale, zero)
    return found


def _dtypes() -> dict[int, str]:
    """Return the names that sessions use for ONNX's element types."""
    import onnx

    theirs = {"float32": "FLOAT", "float64": "DOUBLE"}
    return {getattr(onnx.TensorProto, theirs.get(name, name.upper())): name for name in DTYPES}


def _end(described: dict[str, TensorSpec], name: str) -> TensorSpec:
    """Return an input or output of an ONNX network."""
    if name not in described:
        raise ModelFormatError(
            f"The tensor {name!r} of this network has no known shape, or a type other than "
            f"{', '.join(DTYPES)}; export the network with a fixed size."
        )
    return described[name]


def _candidate(tensor: TensorSpec, operator: str, most: int) -> TensorInfo:
    """Return a tensor with whether it is pooled over the whole picture.

    Args:
        tensor: The tensor.
        operator: What computes it.
        most: Elements, for one picture, of the largest tensor that the operator reads.
    """
    long = [n for n in tensor.shape[1:] if n != 1]
    flat = len(tensor.shape) in (2, 4) and len(long) == 1
    pooled = operator in POOLING and flat and _elements(tensor.shape) < most
    return TensorInfo(tensor, operator, pooled)


def _elements(shape: Sequence[int]) -> int:
    """Return how many numbers a tensor holds for one picture.

    An open side of a picture counts as 2: more than the 1 that pooling leaves of it.
    """
    return math.prod(2 if n < 0 else int(n) for n in shape[1:])


def _ordered(found: list[TensorInfo]) -> tuple[TensorInfo, ...]:
    """Return candidates with at least two axes: pooled ones first, then the deepest."""
    usable = [c for c in reversed(found) if len(c.spec.shape) >= 2]
    return tuple(sorted(usable, key=lambda c: not c.pooled))
