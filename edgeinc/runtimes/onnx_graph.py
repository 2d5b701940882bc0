"""Reading an `.onnx` file: who computes a tensor, who uses it, and in which integers.

In a network of the QDQ kind every integer tensor lies between a `QuantizeLinear` and a
`DequantizeLinear` node, and the layers between them speak floats. ONNX Runtime fuses the
three into one integer layer. So the integers that belong to a float tensor are those of the
`QuantizeLinear` behind it, or those before the `DequantizeLinear` that made it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeinc.errors import ModelFormatError
from edgeinc.runtimes.helpers import tensor_not_found
from edgeinc.runtimes.onnx_proto import parsed, tensors

__all__ = [
    "DEQUANTIZE",
    "MOVING",
    "QUANTIZE",
    "RESHAPING",
    "Graph",
    "Integers",
    "inferred",
    "read",
    "reads",
]

QUANTIZE = "QuantizeLinear"
DEQUANTIZE = "DequantizeLinear"
# Operators that move values without changing them, nor their order.
RESHAPING = ("Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")
MOVING = (QUANTIZE, DEQUANTIZE, *RESHAPING)  # operators that compute nothing new
# Integer layers with their own quantisation: the inputs that hold output scale and zero point.
INTEGER_LAYERS = {
    "QLinearAdd": (6, 7),
    "QLinearAveragePool": (3, 4),
    "QLinearConv": (6, 7),
    "QLinearGlobalAveragePool": (3, 4),
    "QLinearLeakyRelu": (3, 4),
    "QLinearMatMul": (6, 7),
    "QLinearMul": (6, 7),
    "QLinearSigmoid": (3, 4),
}


@dataclass(frozen=True, slots=True)
class Integers:
    """How a tensor's integers stand for real numbers: `scale * (integer - zero)`."""

    scale: float
    zero: int


def read(model: bytes) -> Graph:
    """Read the content of an `.onnx` file that is whole.

    Raises:
        ModelFormatError: It is damaged, empty, or keeps weights in another file.
        RuntimeUnavailableError: The package `onnx` is not installed.
    """
    proto = parsed(model)
    # Before anything looks at a tensor: the package would read whatever file it names.
    if any(t.data_location == t.EXTERNAL for t in tensors(proto)):
        raise ModelFormatError(
            "This .onnx file keeps its weights in another file; save it as a single file."
        )
    return Graph(proto)


class Graph:
    """The main graph of an ONNX network.

    Attributes:
        proto: The network as the package `onnx` has it.
        computed: Every tensor that depends on an input, with its node, in order.
        makers: The node of every tensor that a node computes.
        users: The nodes that read a tensor.

    Raises:
        ModelFormatError: The nodes are not in order, so that they could go in circles.
    """

    def __init__(self, proto: Any) -> None:
        self.proto = proto
        graph = proto.graph
        self._weights = {t.name: t for t in graph.initializer}
        self._weights_apart = {t.values.name for t in graph.sparse_initializer}
        self.makers: dict[str, Any] = {}
        self.users: dict[str, list[Any]] = {}
        known = {"", *self._weights, *self._weights_apart, *(v.name for v in graph.input)}
        for node in graph.node:
            if not known.issuperset(node.input) or not known.isdisjoint(set(node.output) - {""}):
                raise ModelFormatError(
                    f"The node {node.name!r} of this .onnx network reads what no earlier node "
                    "computes, or computes what is there already; export the network again."
                )
            known.update(node.output)
            self.makers.update((name, node) for name in node.output if name)
            for name in reads(node):
                self.users.setdefault(name, []).append(node)
        self.computed = self._computed()

    @property
    def inputs(self) -> list[Any]:
        """The network's inputs (old files list weights among them)."""
        constant = self._weights.keys() | self._weights_apart
        return [v for v in self.proto.graph.input if v.name not in constant]

    @property
    def outputs(self) -> list[Any]:
        """The network's outputs."""
        return list(self.proto.graph.output)

    def _computed(self) -> dict[str, Any]:
        """Return every tensor that depends on an input, with its node, in order."""
        from_input = {v.name for v in self.inputs}
        found: dict[str, Any] = {}
        for node in self.proto.graph.node:
            if not from_input.isdisjoint(reads(node)):
                made = [name for name in node.output if name]
                from_input.update(made)
                found.update((name, node) for name in made)
        return found

    def target(self, name: str) -> str:
        """Return the tensor at which to cut when a tensor is asked for.

        That is the tensor itself, or the integers that belong to it, so that the output is
        what the network itself goes on with. Behind the tensor, operators that only reshape
        are passed where nothing else uses it.

        Raises:
            TensorNotFoundError: The network computes no tensor of that name.
        """
        if name not in self.computed:
            raise tensor_not_found(name, reversed(self.computed))
        maker = self.computed[name]
        if maker.op_type == DEQUANTIZE and self._scalars(maker.input, 1, 2):
            return str(maker.input[0]) if maker.input[0] in self.computed else name
        ahead = name
        while True:
            users = self.users.get(ahead, [])
            for node in users:
                if node.op_type == QUANTIZE and self._scalars(node.input, 1, 2):
                    return str(node.output[0])
            if len(users) != 1 or users[0].op_type not in RESHAPING:
                return name
            ahead = users[0].output[0]

    def integers(self, name: str) -> Integers | None:
        """Return how a tensor's integers are to be read; None for floats or when untold."""
        for node in self.users.get(name, []):
            if node.op_type == DEQUANTIZE and node.input[0] == name:
                return self._scalars(node.input, 1, 2)
        maker = self.makers.get(name)
        if maker is None:
            return None
        if maker.op_type == QUANTIZE:
            return self._scalars(maker.input, 1, 2)
        if maker.op_type in INTEGER_LAYERS:
            return self._scalars(maker.input, *INTEGER_LAYERS[maker.op_type])
        if maker.op_type in RESHAPING or maker.op_type == "MaxPool":
            return self.integers(maker.input[0])
        return None

    def _scalars(self, inputs: Any, scale: int, zero_point: int) -> Integers | None:
        """Return one scale and zero point for a whole tensor; None where there are many."""
        step = self.constant(inputs, scale)
        if step is None or step.size != 1:
            return None
        zero = self.constant(inputs, zero_point)
        return Integers(float(step.reshape(())), 0 if zero is None else int(zero.reshape(-1)[0]))

    def constant(self, inputs: Any, number: int) -> Any:
        """Return a node's constant input as an array; None where it is none."""
        import onnx

        name = inputs[number] if number < len(inputs) else ""
        tensor = self._weights.get(name)
        maker = self.makers.get(name)
        if tensor is None and maker is not None and maker.op_type == "Constant":
            tensor = next((a.t for a in maker.attribute if a.name == "value"), None)
        return None if tensor is None else np.asarray(onnx.numpy_helper.to_array(tensor))


def reads(node: Any) -> Iterator[str]:
    """Yield the tensors that a node reads, also from inside its branches and loops."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from reads(inner)


def inferred(proto: Any) -> Any:
    """Return the network with as many types and shapes as can be inferred."""
    import onnx

    try:
        return onnx.shape_inference.infer_shapes(proto)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        return proto  # ONNX Runtime infers once more when it opens the file
