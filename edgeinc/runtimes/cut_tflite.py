"""Cutting a `.tflite` file at a tensor: what is behind the tensor is neither run nor kept.

The file is a FlatBuffer. It is read into the schema's own classes, which travel inside
`ai_edge_litert`, and written again with only the operators on which the tensor depends, and
their tensors, weights and operator codes. Kernels and numbers stay as they are, so the cut
network gives the same integers, bit for bit.
"""

from __future__ import annotations

import importlib.util
from typing import Any, Protocol

import numpy as np

from edgeinc.errors import ModelFormatError, RuntimeUnavailableError
from edgeinc.runtimes.helpers import tensor_not_found
from edgeinc.runtimes.litert_package import interpreter, reading

__all__ = ["can_cut", "cut", "find", "indices", "schema_classes", "unpack"]

_IDENTIFIER = b"TFL3"
_ALIGNMENT = 16  # bytes; LiteRT's kernels read weights where they lie in the file
_KEPT_METADATA = (b"min_runtime_version", b"reduced_precision_support")  # others describe outputs


class _Packs(Protocol):
    """A part of the file that can write itself."""

    def Pack(self, builder: Any) -> int:  # the schema classes' own spelling
        """Write the part and return its offset."""


def can_cut() -> bool:
    """Return whether the schema classes are here (tflite-runtime lacks them)."""
    if importlib.util.find_spec("ai_edge_litert") is None:
        return False
    return importlib.util.find_spec("ai_edge_litert.schema_py_generated") is not None


def cut(model: bytes, tensor: str) -> bytes:
    """Cut a `.tflite` network at a tensor.

    Args:
        model: Content of the file.
        tensor: Name of the tensor that becomes the only output.

    Returns:
        Content of the smaller file; `model` itself where nothing lies behind the tensor.

    Raises:
        ModelFormatError: The file is damaged, or of a kind that cannot be cut.
        TensorNotFoundError: The network computes no tensor of that name.
        RuntimeUnavailableError: `ai_edge_litert` is not installed.
    """
    with reading():
        return _cut(unpack(model), model, tensor)


def _cut(network: Any, model: bytes, tensor: str) -> bytes:
    """Cut a network that has been read."""
    graph = network.subgraphs[0]
    steps = _steps(graph)
    target = find(graph, tensor)
    if list(graph.outputs) == [target]:
        return model
    kept = _needed(graph, steps, target)
    graph.outputs = np.array([target], np.int32)
    graph.operators = [graph.operators[i] for i in sorted(kept)]
    _drop_tensors(graph)
    network.subgraphs = [graph]
    network.signatureDefs = None
    network.metadataBuffer = None
    network.metadata = [m for m in network.metadata or [] if m.name in _KEPT_METADATA]
    _drop_codes(network)
    _drop_buffers(network)
    return _pack(network, len(model))


def schema_classes() -> Any:
    """Return the module of the schema's classes.

    Raises:
        RuntimeUnavailableError: `ai_edge_litert` is not installed.
    """
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as exc:
        raise RuntimeUnavailableError(
            "Cutting a .tflite file needs ai-edge-litert; run `pip install 'edgeinc[litert]'`."
        ) from exc
    return schema_py_generated


def unpack(model: bytes) -> Any:
    """Return the file as a tree of the schema's objects, refusing what cannot be cut.

    Raises:
        ModelFormatError: It is damaged, or of a kind that cannot be cut.
        RuntimeUnavailableError: `ai_edge_litert` is not installed.
    """
    schema = schema_classes()
    # LiteRT checks every offset of the file; the Python classes check none.
    interpreter(model)
    network = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(model), 0))
    if not network.subgraphs or not network.buffers:
        raise ModelFormatError("This .tflite file holds no network; fetch it again.")
    if getattr(network, "externalBuffers", None) or any(b.offset for b in network.buffers):
        raise ModelFormatError(
            "This .tflite file keeps weights outside its own structure, so that it cannot be "
            "cut; convert the network again into a file below 2 GB."
        )
    return network


def _steps(graph: Any) -> dict[int, int]:
    """Return, for each tensor that an operator computes, the number of that operator."""
    return {
        int(output): number
        for number, operator in enumerate(graph.operators or [])
        for output in indices(operator.outputs)
    }


def find(graph: Any, name: str) -> int:
    """Return the index of the tensor, computed from the input, that is meant by a name.

    Raises:
        TensorNotFoundError: There is none.
    """
    from_input = set(indices(graph.inputs))
    by_name: dict[str, int] = {}
    for operator in graph.operators or []:
        if from_input.isdisjoint(indices(operator.inputs)):
            continue  # it unpacks weights
        for i in indices(operator.outputs):
            from_input.add(i)
            by_name.setdefault((graph.tensors[i].name or b"").decode("utf-8", "replace"), i)
    if name not in by_name or not name:
        raise tensor_not_found(name, reversed(by_name))
    return by_name[name]


def _needed(graph: Any, steps: dict[int, int], target: int) -> set[int]:
    """Return the numbers of the operators on which a tensor depends."""
    kept: set[int] = set()
    waiting = [target]
    while waiting:
        number = steps.get(waiting.pop())
        if number is None or number in kept:
            continue
        operator = graph.operators[number]
        if _calls(operator):
            raise ModelFormatError(
                "This .tflite network branches or loops before that tensor, so that it cannot "
                "be cut there; choose an earlier tensor, or use the network uncut."
            )
        kept.add(number)
        waiting += indices(operator.inputs)
    return kept


def _calls(operator: Any) -> bool:
    """Return whether an operator runs another subgraph (IF, WHILE, CALL_ONCE and the like)."""
    options = [operator.builtinOptions, operator.builtinOptions2]
    return any("ubgraph" in name for o in options if o is not None for name in vars(o))


def _drop_tensors(graph: Any) -> None:
    """Keep the tensors that the operators name, in their order, and number them anew."""
    used = set(indices(graph.outputs))
    for operator in graph.operators:
        for part in (operator.inputs, operator.outputs, operator.intermediates):
            used.update(indices(part))
    order = sorted(used)
    new = {old: number for number, old in enumerate(order)} | {-1: -1}
    graph.inputs = [i for i in graph.inputs if int(i) in new]
    graph.tensors = [graph.tensors[i] for i in order]
    graph.inputs = _renumber(graph.inputs, new)
    graph.outputs = _renumber(graph.outputs, new)
    for operator in graph.operators:
        operator.inputs = _renumber(operator.inputs, new)
        operator.outputs = _renumber(operator.outputs, new)
        operator.intermediates = _renumber(operator.intermediates, new)


def indices(listed: Any) -> list[int]:
    """Return tensor indices without -1, which stands for an input that is left out."""
    return [int(i) for i in ([] if listed is None else listed) if i >= 0]


def _renumber(indices: Any, new: dict[int, int]) -> Any:
    """Return tensor indices under their new numbers."""
    return None if indices is None else np.array([new[int(i)] for i in indices], np.int32)


def _drop_codes(network: Any) -> None:
    """Keep the operator codes in use."""
    operators = network.subgraphs[0].operators
    used = sorted({o.opcodeIndex for o in operators})
    network.operatorCodes = [network.operatorCodes[i] for i in used]
    for operator in operators:
        operator.opcodeIndex = used.index(operator.opcodeIndex)


def _drop_buffers(network: Any) -> None:
    """Keep the buffers in use; number 0 stays the empty one that activations share."""
    owners = [*network.subgraphs[0].tensors, *network.metadata]
    used = sorted({o.buffer for o in owners if _filled(network.buffers[o.buffer])} - {0})
    new = {old: number for number, old in enumerate(used, 1)}
    network.buffers = [_Buffer(None), *(_Buffer(network.buffers[i].data) for i in used)]
    for owner in owners:
        owner.buffer = new.get(owner.buffer, 0)


def _filled(buffer: Any) -> bool:
    return buffer.data is not None and len(buffer.data) > 0


class _Buffer:
    """Weights that are written at a multiple of 16 bytes, as the format wants them."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def Pack(self, builder: Any) -> int:
        """Write the buffer and return its offset."""
        schema = schema_classes()
        vector = None
        if self.data is not None:
            content = self.data.tobytes()
            builder.StartVector(1, len(content), _ALIGNMENT)
            builder.head -= len(content)
            builder.Bytes[builder.head : builder.head + len(content)] = content
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return int(schema.BufferEnd(builder))


def _pack(network: _Packs, size: int) -> bytes:
    """Write the tree as a file."""
    import flatbuffers

    builder = flatbuffers.Builder(size)
    builder.Finish(network.Pack(builder), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())
