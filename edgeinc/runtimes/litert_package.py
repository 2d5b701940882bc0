"""Which package LiteRT comes from, and what it says about a file.

`ai_edge_litert` is the maintained one; `tflite_runtime` 2.14 is its ancestor, with the same
interface, for systems that still have it. The latter breaks beside numpy 2.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import re
import struct
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from edgeinc.errors import EdgeincError, ModelFormatError, RuntimeUnavailableError
from edgeinc.runtimes.base import DTYPES, RuntimeInfo, TensorSpec
from edgeinc.runtimes.chatter import without_chatter
from edgeinc.runtimes.helpers import first_line

__all__ = [
    "ERRORS",
    "NAME",
    "ON_CPU",
    "Step",
    "info",
    "installed",
    "interpreter",
    "load_delegate",
    "reading",
    "said",
    "spec",
    "steps",
]

NAME = "litert"
ON_CPU = "CPU"
PACKAGES = ("ai_edge_litert", "tflite_runtime")
ERRORS = (ValueError, RuntimeError, TypeError)  # what the interpreter raises
# Remarks of its own, which LiteRT puts right behind the words of an operator or a delegate.
_WHICH = re.compile(r"[.\s]*(Node number \d+ \()")
_RESTORED = "Restored original execution plan"
_LIMITS = {dtype: np.iinfo(dtype) for dtype in (np.uint8, np.int8, np.uint16, np.int16)}
Step = tuple[str, list[dict[str, Any]], list[dict[str, Any]]]


def installed() -> bool:
    """Return whether one of the packages is here and can work, without loading it."""
    return _package() is not None and not _breaks()


def info() -> RuntimeInfo:
    """Return the package's version, and the delegates whose libraries load.

    Raises:
        RuntimeUnavailableError: No package is installed, or it cannot work.
    """
    # Here, because it takes longer to import than a network to open.
    import importlib.metadata

    from edgeinc.runtimes.delegates import here

    package = _module().__name__.split(".")[0].replace("_", "-")
    return RuntimeInfo(NAME, f"{package} {importlib.metadata.version(package)}", (ON_CPU, *here()))


def interpreter(content: bytes, **options: Any) -> Any:
    """Return an interpreter for the content of a `.tflite` file, nothing allocated yet.

    Args:
        content: The file.
        options: As the package's class `Interpreter` names them.

    Raises:
        ModelFormatError: The file is damaged.
        RuntimeUnavailableError: As `info`.
    """
    module = _module()
    with without_chatter(), reading(), warnings.catch_warnings():
        # `experimental_preserve_all_tensors` warns that it is meant for debugging.
        warnings.simplefilter("ignore", UserWarning)
        net = module.Interpreter(model_content=content, **options)
        _check(net)
    return net


def _check(net: Any) -> None:
    """Refuse quantisation that cannot be, on which LiteRT's kernels crash.

    Raises:
        ModelFormatError: A scale is negative or no number, or a zero point is out of range.
    """
    for detail in net.get_tensor_details():
        limits = _LIMITS.get(detail["dtype"])
        numbers = detail["quantization_parameters"]
        scales, zeros = numbers["scales"], numbers["zero_points"]
        if limits is None or len(scales) == 0:
            continue
        sound = scales.min() >= 0 and scales.max() < np.inf
        if not sound or zeros.min() < limits.min or zeros.max() > limits.max:
            raise ModelFormatError(
                f"The quantisation of tensor {detail['name']!r} makes no sense; fetch the "
                "network again."
            )


def load_delegate(library: str, options: dict[str, str]) -> Any:
    """Return the delegate of a library, by the package's own loader; raises what it raises."""
    return _module().load_delegate(library, options)


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Turn what interpreter and schema classes raise about a file into ModelFormatError."""
    try:
        yield
    except EdgeincError:
        raise
    except (*ERRORS, ArithmeticError, AttributeError, LookupError, struct.error) as exc:
        if "unresolved custom op" in str(exc):
            raise ModelFormatError(
                f"This network was compiled for a device ({said(exc)}); ask for it by its "
                "delegate, for instance libedgetpu.so.1."
            ) from exc
        raise ModelFormatError(
            f"LiteRT cannot read this network ({said(exc)}); fetch it again."
        ) from exc


def said(exc: BaseException) -> str:
    """Return what LiteRT says, on one line and without its last full stop; empty for nothing.

    >>> said(RuntimeError("the chip is on fireNode number 1 (Test) failed to invoke."))
    'the chip is on fire; Node number 1 (Test) failed to invoke'
    """
    own = _WHICH.sub(r"; \1", first_line(exc).partition(_RESTORED)[0])
    return own.removeprefix("; ").rstrip(". ")


def steps(net: Any) -> Iterator[Step]:
    """Yield each operator that depends on the input: its name, what it reads, what it computes.

    Args:
        net: An interpreter that is not allocated yet (afterwards delegates hide operators).

    Yields:
        The operator's name; the details of the tensors that it reads and that depend on the
        input themselves; the details of the tensors that it computes.
    """
    details = {d["index"]: d for d in net.get_tensor_details()}
    from_input = {d["index"] for d in net.get_input_details()}
    for operator in net._get_ops_details():  # no public call tells the operators
        read = [details[i] for i in operator["inputs"] if i in from_input]
        if read:
            made = [details[i] for i in operator["outputs"] if i in details]
            from_input.update(d["index"] for d in made)
            yield operator["op_name"], read, made


def spec(detail: dict[str, Any], shape: Any = None) -> TensorSpec:
    """Return one of the interpreter's descriptions of a tensor as a record.

    Args:
        detail: The description.
        shape: The shape to give instead of the one that is laid out.

    Raises:
        ModelFormatError: Its element type is none that sessions take.
    """
    dtype = np.dtype(detail["dtype"]).name
    if dtype not in DTYPES:
        raise ModelFormatError(
            f"The tensor {detail['name']!r} is of type {dtype}; choose one of {', '.join(DTYPES)}."
        )
    shape = tuple(int(n) for n in (detail["shape"] if shape is None else shape))
    scales = detail["quantization_parameters"]["scales"]
    if len(scales) != 1 or not np.issubdtype(dtype, np.integer):
        return TensorSpec(detail["name"], shape, dtype)
    zero_point = int(detail["quantization_parameters"]["zero_points"][0])
    return TensorSpec(detail["name"], shape, dtype, float(scales[0]), zero_point)


def _package() -> str | None:
    """Return the package that is installed, the maintained one first."""
    return next((p for p in PACKAGES if importlib.util.find_spec(p) is not None), None)


def _breaks() -> bool:
    """Return whether all there is is tflite-runtime beside numpy 2."""
    return _package() == PACKAGES[1] and int(np.__version__.split(".")[0]) >= 2


def _module() -> Any:
    """Return the package's module `interpreter`."""
    package = _package()
    if package is None:
        raise RuntimeUnavailableError(
            "LiteRT is not installed; run `pip install 'edgeinc[litert]'`."
        )
    if _breaks():
        raise RuntimeUnavailableError(
            "The package tflite-runtime does not work with numpy 2; run `pip install "
            "'edgeinc[litert]'`, or stay with numpy 1: `pip install 'edgeinc[tflite-legacy]'`."
        )
    try:
        return importlib.import_module(f"{package}.interpreter")
    except ImportError as exc:
        raise RuntimeUnavailableError(
            f"The package {package} does not load ({exc}); run `pip install --force-reinstall "
            "'edgeinc[litert]'`."
        ) from exc
