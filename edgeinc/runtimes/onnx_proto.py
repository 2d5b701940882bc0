"""The content of an `.onnx` file as the package `onnx` has it, and the errors of reading it."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

from edgeinc.errors import EdgeincError, ModelFormatError, RuntimeUnavailableError
from edgeinc.runtimes.helpers import first_line

__all__ = ["parsed", "reading", "tensors"]


def parsed(model: bytes) -> Any:
    """Return the content of an `.onnx` file as the package `onnx` has it.

    Raises:
        ModelFormatError: It is damaged, or empty.
        RuntimeUnavailableError: The package `onnx` is not installed.
    """
    try:
        import onnx
    except ImportError as exc:
        raise RuntimeUnavailableError(
            "The package onnx, which looks into and cuts .onnx files, is not installed; "
            "run `pip install 'edgeinc[onnx]'`."
        ) from exc
    with reading():
        proto = onnx.load_model_from_string(model)
    if not proto.graph.node:
        raise ModelFormatError("This .onnx file holds no network; fetch it again.")
    return proto


def tensors(message: Any) -> Iterator[Any]:
    """Yield every tensor of a network, from inside its branches, loops and functions too."""
    if message.DESCRIPTOR.name == "TensorProto":
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in (value,) if hasattr(value, "ListFields") else value:
                yield from tensors(inner)


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Turn what a damaged file makes the package raise into ModelFormatError."""
    decode_error = importlib.import_module("google.protobuf.message").DecodeError
    try:
        yield
    except EdgeincError:
        raise
    except (
        decode_error,
        ArithmeticError,
        AttributeError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as exc:
        raise ModelFormatError(
            f"This is no .onnx network that can be read ({first_line(exc)}); fetch it again."
        ) from exc
