"""What every runtime promises: one array in, one array out, and the device that really ran.

Whatever a runtime's package raises becomes an error of `edgeinc.errors` in the modules beside
this one; no other room imports these packages.
"""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeinc.devices import Placement
from edgeinc.errors import InferenceError, InputError

__all__ = [
    "CPU",
    "DTYPES",
    "Array",
    "Inspection",
    "RuntimeInfo",
    "Session",
    "TensorInfo",
    "TensorSpec",
    "physical_cores",
]

Array = NDArray[np.generic]

CPU = ("auto", "cpu")
"""What a session's `device` may say for the CPU; for `auto` see `edgeinc.backbone.opening`."""

DTYPES = ("uint8", "int8", "uint16", "int16", "int32", "int64", "float16", "float32", "float64")
"""Element types that a session takes and gives, by their numpy names."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor of a network.

    Attributes:
        name: Its name in the model file.
        shape: Its shape; -1 where the file leaves an axis open (never in a session).
        dtype: Its element type by its numpy name, for instance `uint8`.
        scale: Quantisation step, `real = scale * (integer - zero_point)`; None for floats,
            and where the file does not tell.
        zero_point: The integer that stands for zero; None where `scale` is None.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None


class TensorInfo(NamedTuple):
    """A tensor at which a network can be cut.

    Attributes:
        spec: The tensor as a session opened with `output=spec.name` gives it: where the
            network goes on in integers, these integers.
        operator: The operator that computes it, in the runtime's own word.
        pooled: True for the output of a pooling over the whole picture: an embedding.
    """

    spec: TensorSpec
    operator: str
    pooled: bool


class Inspection(NamedTuple):
    """What is in a model file.

    Attributes:
        inputs: The network's inputs.
        outputs: The network's outputs.
        candidates: Every tensor that could serve as embedding: pooled ones first, and the
            deepest first among equals.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    candidates: tuple[TensorInfo, ...]

    @property
    def proposed(self) -> TensorInfo | None:
        """The deepest pooled tensor, or None where no layer pools."""
        return next((c for c in self.candidates if c.pooled), None)


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """A runtime that is installed: its name, its package's version, its devices."""

    name: str
    version: str
    devices: tuple[str, ...]


class Session(ABC):
    """One network on one device, ready to run.

    Threads may share a session: it serialises its own runs with a lock. Sessions are
    independent of one another. A session is also a context manager that closes itself.

    Attributes:
        runtime: `litert`, `onnx`, another's name (see `offered`), or `function`.
        device: What really runs it, in the runtime's own words.
        placement: The device asked for, and how much of the network the device runs.
        input: The one array that it takes.
        output: The one array that it gives.
    """

    runtime: str
    device: str
    placement: Placement
    input: TensorSpec
    output: TensorSpec

    def __init__(
        self, runtime: str, placement: Placement, input: TensorSpec, output: TensorSpec
    ) -> None:
        self.runtime = runtime
        self.device = placement.device
        self.placement = placement
        self.input = input
        self.output = output
        self._dtype = np.dtype(input.dtype)
        self._lock = threading.Lock()
        self._closed = False

    def run(self, array: Array) -> Array:
        """Run the network once.

        Args:
            array: Of exactly `input.shape` and `input.dtype`; it is read, never kept.

        Returns:
            A new array of `output.shape` and `output.dtype`. Integers stay integers.

        Raises:
            InputError: The array has another shape or type.
            InferenceError: The runtime failed, or the session is closed.
        """
        if array.dtype != self._dtype or array.shape != self.input.shape:
            raise InputError(
                f"The network takes {self.input.dtype} of shape {self.input.shape}, not "
                f"{array.dtype} of shape {array.shape}; bring the picture to its input first."
            )
        with self._lock:
            if self._closed:
                raise InferenceError("This session is closed; open another one.")
            return self._run(array)

    @abstractmethod
    def _run(self, array: Array) -> Array:
        """Run the network on an array that fits; one thread at a time."""

    def close(self) -> None:
        """Let go of the network and its memory; harmless when repeated."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._release()

    @abstractmethod
    def _release(self) -> None:
        """Let go of what the runtime holds; called once."""

    def __enter__(self) -> Session:
        """Return the session itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the session."""
        self.close()


def physical_cores() -> int:
    """Return how many physical cores this process may use, at least 1.

    Logical processors that share a core (hyper-threads) count once. Read from Linux's
    `/sys/devices/system/cpu/cpu*/topology`; where that is missing, every logical processor
    counts as a core.
    """
    if hasattr(os, "sched_getaffinity"):
        usable = sorted(os.sched_getaffinity(0))
    else:
        usable = list(range(os.cpu_count() or 1))
    cores = set()
    for cpu in usable:
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        try:
            cores.add(siblings.read_text(encoding="ascii").strip())
        except OSError:
            return len(usable)
    return max(1, len(cores))
