"""Real float networks that the project can make itself: quantised ones, their steps undone.

The shipped `pebble.onnx` is of the QDQ kind: integer weights behind `DequantizeLinear`, and
pairs of `QuantizeLinear` and `DequantizeLinear` that round every layer's output. Multiplied
out and left away, what remains is a trained float network, in whose weights alone the
rounding to 8 bits is left.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeinc.weights import find_card, load_file

__all__ = ["floating"]


def floating(backbone: str) -> bytes:
    """The `.onnx` file of a card as a float network; its input is what the card calls real.

    Raises:
        ModelNotFoundError, ChecksumError: The file is not here, or damaged.
    """
    card = find_card(backbone)
    file = next(file for file in card.files if file.runtime == "onnx")
    return _without_steps(load_file(card, file))


def _without_steps(model: bytes) -> bytes:
    """A QDQ network in floats; integers come in as real numbers and go out as such."""
    import onnx
    from onnx import numpy_helper

    proto = onnx.load_model_from_string(model)
    graph = proto.graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    renamed: dict[str, str] = {}
    weights: dict[str, Any] = {}
    nodes = []
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        if node.op_type == "QuantizeLinear":
            renamed[node.output[0]] = node.input[0]
        elif node.op_type == "DequantizeLinear":
            if node.input[0] in constants:
                weights[node.output[0]] = _real(*(constants[name] for name in node.input))
            else:
                renamed[node.output[0]] = node.input[0]
        else:
            nodes.append(onnx.NodeProto.FromString(node.SerializeToString()))
            weights |= {n: constants[n] for n in node.input if n in constants}
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(numpy_helper.from_array(value, n) for n, value in weights.items())
    for value in graph.output:
        value.name = renamed.get(value.name, value.name)
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    onnx.checker.check_model(proto, full_check=True)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def _real(integers: Any, scale: Any, zero: Any) -> Any:
    """Weights of a layer, their first axis the one that scales are for."""
    wide = (-1,) + (1,) * (integers.ndim - 1)
    shifted = integers.astype(np.float64) - zero.astype(np.float64).reshape(wide)
    return (shifted * scale.astype(np.float64).reshape(wide)).astype(np.float32)
