"""What a network's file tells about its input and its embedding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, get_args

from edgeinc.cards import (
    Color,
    Crop,
    DType,
    EmbeddingTensor,
    InputSpec,
    InputTensor,
    Layout,
    Quantization,
    RuntimeName,
)
from edgeinc.devices import brief
from edgeinc.errors import CardError, InputError, ModelFormatError, TensorNotFoundError
from edgeinc.runtimes import Inspection, TensorSpec, inspect, open_session

__all__ = ["Preprocessing", "checked", "ends", "proposed", "read_embedding", "read_input"]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How pictures are brought to a network whose file does not tell.

    Attributes:
        mean: One number or three; None for a quantised input that gets the pixels as they are.
        std: One number or three; given when `mean` is.
        color: Order of the channels.
        crop: `center` or `squash`.
    """

    mean: float | Sequence[float] | None = None
    std: float | Sequence[float] | None = None
    color: Color = "RGB"
    crop: Crop = "center"


def proposed(content: bytes, runtime: RuntimeName) -> str:
    """The tensor that is the embedding where none is named: the deepest pooled one.

    Raises:
        ModelFormatError, TensorNotFoundError, RuntimeUnavailableError: As `ends`.
    """
    return _proposed(inspect(content, runtime))


def _proposed(found: Inspection) -> str:
    if found.proposed is None:
        listed = ", ".join(repr(c.spec.name) for c in found.candidates[:5])
        raise TensorNotFoundError(
            f"No layer of the network is pooled; name the embedding, for instance {listed}."
        )
    return found.proposed.spec.name


def ends(
    content: bytes, runtime: RuntimeName, embedding: str | None
) -> tuple[TensorSpec, TensorSpec]:
    """The network's input and its embedding, with their quantisation.

    Args:
        content: The file.
        runtime: That reads it.
        embedding: A tensor's name; None for the deepest pooled one.

    Raises:
        ModelFormatError: It is no network, or not one with a single input.
        TensorNotFoundError: It has no such tensor, or none that is pooled.
        RuntimeUnavailableError: A package is not installed; the message names the extra.
    """
    found = inspect(content, runtime)
    embedding = _proposed(found) if embedding is None else embedding
    with open_session(content, runtime, output=embedding, threads=1) as session:
        both = session.input, session.output
    # A session knows sizes that the file leaves open; the file knows scales that an uncut
    # session does not tell.
    known = {spec.name: spec for spec in (*found.inputs, *(c.spec for c in found.candidates))}
    entry, end = (
        replace(spec, scale=known[spec.name].scale, zero_point=known[spec.name].zero_point)
        if spec.scale is None and spec.name in known
        else spec
        for spec in both
    )
    return entry, end


def read_input(entry: TensorSpec, wanted: Preprocessing) -> tuple[InputSpec, InputTensor]:
    """Preprocessing and input of a card, from the network's input and what the caller knows.

    Raises:
        ModelFormatError: The input is no picture, or of numbers that no card can name.
        CardError: It does not tell its normalisation, and `wanted` does not either.
    """
    layout: Layout
    match entry.shape:
        case (1, height, width, 3):
            layout = "NHWC"
        case (1, 3, height, width):
            layout = "NCHW"
        case (batch, _, _, 3) | (batch, 3, _, _):
            raise ModelFormatError(
                f"The network takes {batch} pictures at a time, and one is given to it; export it "
                "with a batch of 1, or with an open one."
            )
        case shape:
            raise ModelFormatError(
                f"The network takes {shape}, no picture of three channels; choose another one."
            )
    dtype = _dtype(entry)
    quantization = _quantization(entry)
    if quantization is None and dtype == "uint8":
        quantization = Quantization(1.0, 0)
    if (wanted.mean is None) != (wanted.std is None):
        raise CardError("Half of a normalisation was given; give both mean and std.")
    if wanted.mean is not None and wanted.std is not None:
        mean, std = _three(wanted.mean, "mean"), _three(wanted.std, "std")
    elif quantization is not None:
        # The pixels as they are, moved to the type's range: what quantised networks expect.
        least = 0 if dtype == "uint8" else -128
        mean = (float(quantization.zero_point - least),) * 3
        std = (1 / quantization.scale,) * 3
    else:
        raise CardError(
            f"A network that takes {dtype} does not tell its normalisation; give mean and std "
            "in units of the pixel, for instance 127.5 and 127.5, or 0 and 255."
        )
    spec = InputSpec(height, width, wanted.color, mean, std, wanted.crop)
    return spec, InputTensor(layout, dtype, quantization)


def read_embedding(end: TensorSpec) -> EmbeddingTensor:
    """The embedding of a card, from the tensor at which the network was cut.

    Raises:
        ModelFormatError: Its numbers cannot be an embedding.
    """
    dtype, quantization = _dtype(end), _quantization(end)
    if quantization is None and dtype != "float32":
        raise ModelFormatError(
            f"{end.name} holds {dtype} of unknown scale; name a quantised or float tensor."
        )
    return EmbeddingTensor(end.name, dtype, quantization)


def _dtype(spec: TensorSpec) -> DType:
    for dtype in get_args(DType):
        if spec.dtype == dtype:
            found: DType = dtype
            return found
    raise ModelFormatError(
        f"{spec.name} holds {spec.dtype}; networks of uint8, int8 and float32 can be added."
    )


def _quantization(spec: TensorSpec) -> Quantization | None:
    if spec.dtype == "float32" or spec.scale is None or spec.zero_point is None:
        return None
    return Quantization(spec.scale, spec.zero_point)


def checked(preprocessing: Preprocessing | None) -> Preprocessing:
    """Preprocessing as a caller gave it, with its numbers in lists.

    Raises:
        InputError: It is none, its numbers are none, or `color` or `crop` is none that there is.
    """
    wanted = Preprocessing() if preprocessing is None else preprocessing
    if not isinstance(wanted, Preprocessing):
        raise InputError(f"{brief(wanted)} is no Preprocessing; give one, or leave it out.")
    for name, kind in (("color", Color), ("crop", Crop)):
        given = getattr(wanted, name)
        if not isinstance(given, str) or given not in get_args(kind):
            raise InputError(f"{name}={brief(given)} is none; give {' or '.join(get_args(kind))}.")
    numbers: dict[str, Any] = {}
    for name in ("mean", "std"):
        given = getattr(wanted, name)
        try:
            numbers[name] = None if given is None else _list(given)
        except (TypeError, ValueError, OverflowError) as exc:
            raise InputError(
                f"{name}={brief(given)} is no number nor a list of them; give one or three."
            ) from exc
        if not all(map(math.isfinite, numbers[name] or ())):
            raise InputError(f"{name}={brief(given)} is not finite; give one number or three.")
    if not all(0 <= mean <= 255 for mean in numbers["mean"] or ()):
        raise InputError(
            f"mean={brief(wanted.mean)} is not within 0 to 255, as pixels are; give one number or "
            "three."
        )
    return replace(wanted, **numbers)


def _list(given: float | Sequence[float]) -> list[float]:
    """One number or several, as a list."""
    # Texts and bytes would be taken letter by letter.
    if isinstance(given, (str, bytes, float, int, Real)):
        return [float(given)]
    return [float(value) for value in given]


def _three(values: float | Sequence[float], what: str) -> tuple[float, float, float]:
    given = _list(values)
    if len(given) not in (1, 3):
        raise CardError(f"{what} has {len(given)} numbers; give one, or one for each channel.")
    return given[0], given[len(given) // 2], given[-1]
