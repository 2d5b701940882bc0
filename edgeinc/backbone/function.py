"""A card for a function of the caller's own."""

from __future__ import annotations

import math

from edgeinc.cache import digest
from edgeinc.cards import Asset, InputSpec, ModelCard, Quantization
from edgeinc.errors import InputError
from edgeinc.runtimes import TensorSpec

__all__ = ["function_card"]


def function_card(
    name: str, size: tuple[int, int], dim: int, output: TensorSpec, nonnegative: bool
) -> tuple[ModelCard, Asset, Quantization | None]:
    """What stands for a function: card, weights' name, quantisation of what it gives.

    The fingerprint holds name, size, dimension and sign: all that can be known of it.

    Raises:
        InputError: It gives other numbers than floats, uint8 or int8, or not `dim` of them.
    """
    if not name.strip():
        raise InputError("A function needs a name; stores are bound to it.")
    integers = output.dtype in ("uint8", "int8")
    if not integers and not output.dtype.startswith("float"):
        raise InputError(f"{name} gives {output.dtype}; make it give floats, uint8 or int8.")
    if (length := math.prod(output.shape)) != dim:
        raise InputError(f"{name} gives {length} numbers, not {dim}; correct one of the two.")
    card = ModelCard(
        name=name,
        title=f"The function {name}",
        licence="unknown",
        homepage=None,
        network=f"function {name}",
        input=InputSpec(size[0], size[1], "BGR", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "center"),
        layer="output",
        dim=dim,
        nonnegative=nonnegative or output.dtype == "uint8",
        files=(),
    )
    file = Asset(name, 0, digest(card.network.encode()), None)
    return card, file, Quantization(1.0, 0) if integers else None
