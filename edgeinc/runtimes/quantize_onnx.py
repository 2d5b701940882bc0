"""Float `.onnx` networks in int8, by ONNX Runtime's own quantiser.

Static, of the QDQ kind: weights int8 with a scale for each channel, activations uint8 with one
scale a tensor, from the range that they have on pictures for calibration. See
onnxruntime.ai/docs/performance/model-optimizations/quantization.html.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from edgeinc.errors import (
    EdgeincError,
    InputError,
    ModelFormatError,
    RuntimeUnavailableError,
)
from edgeinc.runtimes.base import Array
from edgeinc.runtimes.cut_onnx import cut
from edgeinc.runtimes.helpers import first_line, one_of
from edgeinc.runtimes.onnx_graph import DEQUANTIZE, QUANTIZE, Graph, read
from edgeinc.runtimes.onnx_package import errors, package
from edgeinc.runtimes.onnx_proto import reading

__all__ = ["check_float", "prepared", "quantized"]

# The first opset whose `QuantizeLinear` knows a scale for each channel.
_OPSET = 13
_INTEGER = ("QLinear", "ConvInteger", "DynamicQuantize", "MatMulInteger")


def check_float(model: bytes) -> None:
    """Refuse what cannot be quantised, before any work.

    Args:
        model: Content of an `.onnx` file.

    Raises:
        ModelFormatError: It is damaged, keeps weights in another file, has several inputs,
            leaves the size of pictures open, is quantised already, or not of float32.
        RuntimeUnavailableError: The package `onnx` is not installed.
    """
    graph = read(model)
    with reading():
        entry = one_of(graph.inputs, "inputs")
        if any(_is_integer(node.op_type) for node in graph.proto.graph.node):
            raise ModelFormatError(
                "This network is quantised already; add it as it is, without --quantize."
            )
        if kinds := _kinds(graph, entry) - {"FLOAT"}:
            raise ModelFormatError(
                f"This network has numbers of {', '.join(sorted(kinds)).lower()}, and only float32 "
                "can be quantised; export it again in float32."
            )
        sides = entry.type.tensor_type.shape.dim[1:]
        if not sides or not all(side.HasField("dim_value") for side in sides):
            raise ModelFormatError(
                f"The input {entry.name!r} leaves its size open; export the network with a fixed "
                "size."
            )


def prepared(model: bytes, tensor: str) -> bytes:
    """Cut a float network at a tensor, and bring it into a form that can be quantised.

    Args:
        model: Content of an `.onnx` file.
        tensor: The embedding.

    Returns:
        Content of a file that ends there, of opset 13 at least, whose weights are no inputs.

    Raises:
        TensorNotFoundError: The network computes no tensor of that name.
        ModelFormatError: As `check_float`, of what is left; or its opset is too old, and ONNX's
            own converter cannot raise it.
        RuntimeUnavailableError: The package `onnx` is not installed.
    """
    content = cut(model, tensor)
    check_float(content)
    graph = read(content)
    with reading():
        entry, proto = one_of(graph.inputs, "inputs"), graph.proto
        # Old files list weights among the inputs, where they count as no constants.
        proto.graph.ClearField("input")
        proto.graph.input.append(entry)
        opset = next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), 1)
        ready = proto if opset >= _OPSET else _converted(proto, opset)
        # The release of the format that came with that opset.
        ready.ir_version = max(ready.ir_version, 7)
        result: bytes = ready.SerializeToString()
        return result


def _converted(proto: Any, opset: int) -> Any:
    """The same network in the opset that is needed."""
    import onnx

    try:
        return onnx.version_converter.convert_version(proto, _OPSET)
    except (RuntimeError, ValueError, onnx.checker.ValidationError) as exc:
        raise ModelFormatError(
            f"This network has opset {opset}, from which it cannot be converted "
            # The place in the converter's sources comes first.
            f"({first_line(exc).rpartition('failed: ')[2]}); export it with opset {_OPSET} or "
            "later."
        ) from exc


def _is_integer(operator: str) -> bool:
    return operator in (QUANTIZE, DEQUANTIZE) or operator.startswith(_INTEGER)


def _kinds(graph: Graph, entry: Any) -> set[str]:
    """Element types of the input and of all weights that are no sizes, axes or marks."""
    import onnx

    name = onnx.TensorProto.DataType.Name
    kinds = {name(t.data_type) for t in graph.proto.graph.initializer}
    return kinds - {"INT64", "INT32", "BOOL"} | {name(entry.type.tensor_type.elem_type)}


def quantized(model: bytes, tensor: str, pictures: Iterable[Array], *, scratch: Path) -> bytes:
    """Quantise a float network that ends at a tensor.

    Input and output are integers, too: where the quantiser rounds the input, the file takes
    these integers instead, and ends in those of the tensor. The file says in its metadata how
    they are to be read (see `cut_onnx`).

    Args:
        model: What `prepared` gave.
        tensor: The embedding, at which it ends.
        pictures: Inputs for calibration, each of the network's shape, float32.
        scratch: A folder for files that lie there in between; they are left there.

    Returns:
        Content of the quantised file.

    Raises:
        ModelFormatError: The quantiser cannot take the network.
        InputError: There is no room for the files.
        RuntimeUnavailableError: A package is not installed.
    """
    begun, ready, done = (scratch / name for name in ("cut.onnx", "ready.onnx", "int8.onnx"))
    entry = one_of(read(model).inputs, "inputs").name
    with _quantiser() as (tools, prepare):
        begun.write_bytes(model)
        # Folds batch normalisation into the convolutions. Symbolic shapes would want sympy.
        prepare(begun, ready, skip_symbolic_shape=True)
        tools.quantize_static(
            ready,
            done,
            _Reader(entry, pictures),
            quant_format=tools.QuantFormat.QDQ,
            per_channel=True,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
            # The whole range. The other ways keep every activation of every picture in memory,
            # 70 MB a picture for MobileNet V2, and came no nearer to the float network.
            calibrate_method=tools.CalibrationMethod.MinMax,
        )
        return cut(_integers_in(done.read_bytes()), tensor)


class _Reader:
    """Pictures as ONNX Runtime's quantiser asks for them: one call a picture, None at the end."""

    def __init__(self, entry: str, pictures: Iterable[Array]) -> None:
        self._entry = entry
        self._pictures = iter(pictures)

    def get_next(self) -> dict[str, Array] | None:
        picture = next(self._pictures, None)
        return None if picture is None else {self._entry: picture}


@contextlib.contextmanager
def _quantiser() -> Iterator[tuple[Any, Any]]:
    """The quantiser and what prepares a network for it; what it raises becomes an error of ours.

    Raises:
        ModelFormatError, InputError, RuntimeUnavailableError: As `quantized`.
    """
    package()
    try:
        from onnxruntime import quantization
        from onnxruntime.quantization import shape_inference
    except ImportError as exc:
        raise RuntimeUnavailableError(
            f"ONNX Runtime's quantiser does not load ({first_line(exc)}); "
            "run `pip install 'edgeinc[onnx]'`."
        ) from exc
    troubles: tuple[type[Exception], ...] = (
        *errors(),
        ArithmeticError,
        AttributeError,
        LookupError,
    )
    try:
        yield quantization, shape_inference.quant_pre_process
    except EdgeincError:
        raise
    except OSError as exc:
        raise InputError(
            f"There is no room to quantise the network in ({exc.strerror}); make some where "
            "temporary files lie, or name another folder with TMPDIR."
        ) from exc
    except troubles as exc:
        raise ModelFormatError(
            f"ONNX Runtime's quantiser cannot take this network ({first_line(exc)}); export it "
            "with opset 17, or add it without --quantize."
        ) from exc


def _integers_in(model: bytes) -> bytes:
    """Let a network take the integers to which it rounds its input first, where it does."""
    graph = read(model)
    entry = one_of(graph.inputs, "inputs")
    users = graph.users.get(entry.name, [])
    if [node.op_type for node in users] != [QUANTIZE]:
        return model
    (rounding,) = users
    zero = graph.constant(rounding.input, 2)
    if zero is None or zero.size != 1 or str(zero.dtype) not in ("uint8", "int8"):
        return model
    proto = graph.proto
    entry.type.tensor_type.elem_type = next(
        t.data_type for t in proto.graph.initializer if t.name == rounding.input[2]
    )
    made = rounding.output[0]
    for node in graph.users[made]:
        node.input[:] = [entry.name if name == made else name for name in node.input]
    proto.graph.node.remove(rounding)
    content: bytes = proto.SerializeToString()
    return content
