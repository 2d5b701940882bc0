"""The package of ONNX Runtime: loading it, its errors, the options of its sessions."""

from __future__ import annotations

import os
import re
from typing import Any

from edgeinc.errors import RuntimeUnavailableError
from edgeinc.runtimes.base import physical_cores
from edgeinc.runtimes.helpers import first_line

__all__ = ["DTYPES", "errors", "options", "package", "reason"]

DTYPES = {
    f"tensor({theirs})": ours
    for theirs, ours in {
        "uint8": "uint8",
        "int8": "int8",
        "uint16": "uint16",
        "int16": "int16",
        "int32": "int32",
        "int64": "int64",
        "float16": "float16",
        "float": "float32",
        "double": "float64",
    }.items()
}
"""Numpy's names of the element types that a session takes and gives."""

# Its number for the kind of error; then where in its sources, and which function.
_KIND = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : ")
_WHERE = re.compile(r"^(/|[A-Z]:\\).*?\.(cc|h):\d+ .*?\) (?=[A-Z])")


def package() -> Any:
    """Return the package, told to report nothing to anybody.

    Its builds for Linux since 1.29 tell their maker about every model that is loaded, and keep
    an id of the device, unless told not to before they are loaded.

    Raises:
        RuntimeUnavailableError: It is not installed, or does not load.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        import onnxruntime
    except ImportError as exc:
        raise RuntimeUnavailableError(
            f"ONNX Runtime does not load ({exc}); run `pip install onnxruntime`."
        ) from exc
    # For a program that had loaded it before.
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def errors() -> tuple[type[Exception], ...]:
    """Return every error that ONNX Runtime raises; they share no base of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    theirs = [c for c in vars(state).values() if isinstance(c, type) and issubclass(c, Exception)]
    return (*theirs, RuntimeError, ValueError, TypeError)


def reason(exc: BaseException) -> str:
    """Return what ONNX Runtime says, without the places in its sources."""
    return _WHERE.sub("", _KIND.sub("", first_line(exc))).strip()


def options(threads: int | None) -> Any:
    """Return options of a session on this many threads; the physical cores unless given."""
    ort = package()
    made = ort.SessionOptions()
    made.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    made.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    made.intra_op_num_threads = threads or physical_cores()
    made.inter_op_num_threads = 1
    # Spinning threads burn most of a core between two frames and gain nothing: see the notes
    # on `session.intra_op.allow_spinning` in ONNX Runtime's documentation of threads.
    made.add_session_config_entry("session.intra_op.allow_spinning", "0")
    made.add_session_config_entry("session.inter_op.allow_spinning", "0")
    made.log_severity_level = 4  # what goes wrong is raised; stderr stays the caller's
    return made
