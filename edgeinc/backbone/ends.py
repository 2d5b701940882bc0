"""The ends of a network: its input and its embedding, as a card says and as a session has them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import get_args

import numpy as np

from edgeinc.cards import DType, EmbeddingTensor, InputTensor, ModelCard, ModelFile, Quantization
from edgeinc.errors import CardError, ModelFormatError
from edgeinc.runtimes import Session, TensorSpec

__all__ = ["check_session", "ends_of", "own_tensor"]


def ends_of(card: ModelCard, file: ModelFile) -> tuple[TensorSpec, TensorSpec]:
    """Input and embedding of a file as its card says; the input has no name there."""
    height, width = card.input.height, card.input.width
    shape = (1, height, width, 3) if file.input.layout == "NHWC" else (1, 3, height, width)
    entry = _spec("input", shape, file.input)
    return entry, _spec(file.embedding.tensor, (1, card.dim), file.embedding)


def _spec(name: str, shape: tuple[int, ...], said: InputTensor | EmbeddingTensor) -> TensorSpec:
    if said.quantization is None:
        return TensorSpec(name, shape, said.dtype)
    return TensorSpec(
        name, shape, said.dtype, said.quantization.scale, said.quantization.zero_point
    )


def own_tensor(
    card: ModelCard, tensor: str, there: TensorSpec
) -> tuple[ModelCard, EmbeddingTensor]:
    """A card of the same network that ends at another tensor, and that tensor.

    Raises:
        ModelFormatError: The tensor's numbers cannot be an embedding.
    """
    dtype = next((known for known in get_args(DType) if known == there.dtype), None)
    quantization = None
    if there.scale is not None and there.zero_point is not None:
        quantization = Quantization(there.scale, there.zero_point)
    if dtype is None or (quantization is None) != (dtype == "float32"):
        raise ModelFormatError(
            f"{tensor} holds {there.dtype} of unknown scale; choose a tensor of quantised uint8 "
            "or int8, or of float32."
        )
    least = None if quantization is None else np.iinfo(dtype).min
    card = replace(
        card,
        layer=tensor,
        dim=math.prod(there.shape),
        nonnegative=quantization is not None and quantization.zero_point == least,
        classifier=None,
        background=None,
    )
    return card, EmbeddingTensor(tensor, dtype, quantization)


def check_session(
    card: ModelCard, file: ModelFile, embedding: EmbeddingTensor, session: Session
) -> None:
    """Holds a session against its card; one that does not fit is closed.

    Raises:
        CardError: Input or embedding of the network are not as the card says.
    """
    shape = ends_of(card, file)[0].shape
    flat = replace(session.output, shape=(math.prod(session.output.shape),))
    for what, there, expected, said in (
        ("input", session.input, shape, file.input),
        ("embedding", flat, (card.dim,), embedding),
    ):
        same = (there.dtype, there.shape) == (said.dtype, expected)
        # A file need not tell its quantisation; where it does, the card must not differ.
        if said.quantization is not None and there.scale is not None:
            scale, zero_point = said.quantization.scale, said.quantization.zero_point
            close = math.isclose(there.scale, scale, rel_tol=1e-4)
            same = same and close and there.zero_point == zero_point
        if not same:
            session.close()
            raise CardError(
                f"The {what} of {file.name} is {there.dtype} {there.shape} (scale "
                f"{there.scale}, zero point {there.zero_point}) and the card says {said.dtype} "
                f"{expected} ({said.quantization}); correct the card of {card.name}."
            )
