"""Cutting an `.onnx` file at a tensor: what is behind the tensor is neither run nor kept.

The cut file says in its own metadata, under `edgeinc`, where it was cut and how its integers
are to be read, so that it can be opened without the package `onnx`.
"""

from __future__ import annotations

import json
from typing import Any

from edgeinc.errors import RuntimeUnavailableError
from edgeinc.runtimes.onnx_graph import RESHAPING, Graph, inferred, read, reads
from edgeinc.runtimes.onnx_proto import reading

__all__ = ["METADATA", "cut", "unwrapped"]

METADATA = "edgeinc"


def cut(model: bytes, tensor: str) -> bytes:
    """Cut an `.onnx` network at a tensor.

    Where the network goes on in integers (QDQ), a float tensor gives these integers: see
    `onnx_graph.Graph.target`. They are, bit for bit, what the uncut network computes there.

    Args:
        model: Content of the file.
        tensor: Name of the tensor that becomes the only output.

    Returns:
        Content of the smaller file.

    Raises:
        ModelFormatError: The file is damaged, or keeps weights in another file.
        TensorNotFoundError: The network computes no tensor of that name.
        RuntimeUnavailableError: The package `onnx` is not installed.
    """
    graph = read(model)
    with reading():
        return _cut(graph, tensor)


def unwrapped(model: bytes) -> bytes:
    """Leave out what only reshapes at the end of an `.onnx` network.

    It is given back as it is where nothing does, and where the package `onnx` is not here.
    """
    try:
        graph = read(model)
    except RuntimeUnavailableError:
        return model
    with reading():
        name = last = str(graph.outputs[0].name)
        while name in graph.computed and graph.computed[name].op_type in RESHAPING:
            name = str(graph.computed[name].input[0])
        return model if name == last or name not in graph.computed else _cut(graph, name)


def _cut(graph: Graph, tensor: str) -> bytes:
    """Cut a network that has been read."""
    target = graph.target(tensor)
    proto = graph.proto
    nodes = _needed(proto.graph, target)
    used = {name for node in nodes for name in reads(node)}
    known = used | {name for node in nodes for name in node.output}
    notes = _notes(graph, tensor, target)
    output = _output(proto, target)
    _keep(proto.graph.node, [n.SerializeToString() for n in nodes])
    _filter(proto.graph.initializer, lambda t: t.name in used)
    _filter(proto.graph.sparse_initializer, lambda t: t.values.name in used)
    _filter(proto.graph.input, lambda v: v.name in used)
    _filter(proto.graph.value_info, lambda v: v.name in known - {target})
    _filter(proto.graph.quantization_annotation, lambda a: a.tensor_name in known)
    _filter(proto.functions, lambda f: f.name in {n.op_type for n in nodes} | _called(proto))
    _keep(proto.graph.output, [output.SerializeToString()])
    _filter(proto.metadata_props, lambda p: p.key != METADATA)
    proto.metadata_props.add(key=METADATA, value=json.dumps(notes, sort_keys=True))
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def _needed(graph: Any, target: str) -> list[Any]:
    """Return the nodes on which a tensor depends, in the file's order."""
    wanted = {target}
    nodes = []
    for node in reversed(graph.node):  # the format demands topological order
        if not wanted.isdisjoint(node.output):
            wanted.update(reads(node))
            nodes.append(node)
    return nodes[::-1]


def _called(proto: Any) -> set[str]:
    """Return the operators that the file's own functions use."""
    return {node.op_type for function in proto.functions for node in function.node}


def _output(proto: Any, target: str) -> Any:
    """Return the description of a tensor as an output, as far as types can be inferred."""
    import onnx

    known = inferred(proto).graph
    for value in (*known.output, *known.value_info):
        if value.name == target:
            return value
    return onnx.ValueInfoProto(name=target)


def _notes(graph: Graph, asked: str, target: str) -> dict[str, Any]:
    """Return what the cut file tells about itself."""
    notes: dict[str, Any] = {"cut": asked}
    for role, names in (("output", [target]), ("input", [v.name for v in graph.inputs])):
        integers = graph.integers(names[0]) if len(names) == 1 else None
        notes[role] = None if integers is None else [integers.scale, integers.zero]
    return notes


def _keep(field: Any, contents: list[bytes]) -> None:
    """Replace the messages of a repeated field."""
    del field[:]
    for content in contents:
        field.add().ParseFromString(content)


def _filter(field: Any, keep: Any) -> None:
    """Remove the messages of a repeated field that do not pass."""
    for number in range(len(field) - 1, -1, -1):
        if not keep(field[number]):
            del field[number]
