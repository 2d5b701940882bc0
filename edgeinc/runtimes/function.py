"""A runtime without a package: the caller's own function, `array -> array`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinc.devices import Placement
from edgeinc.errors import InferenceError, InputError
from edgeinc.runtimes.base import DTYPES, Array, Session, TensorSpec

__all__ = ["NAME", "FunctionSession"]

NAME = "function"


class FunctionSession(Session):
    """A function that takes and gives one array, spoken to as a network.

    The function is tried once, on zeros, to learn what it gives. What it raises itself
    reaches the caller as it is.

    >>> import numpy as np
    >>> halves = FunctionSession(lambda x: x[..., :2], (1, 4), "uint8")
    >>> halves.run(np.array([[1, 2, 3, 4]], np.uint8))
    array([[1, 2]], dtype=uint8)
    """

    def __init__(
        self,
        function: Callable[[NDArray[Any]], NDArray[Any]],
        shape: tuple[int, ...],
        dtype: str = "float32",
        *,
        scale: float | None = None,
        zero_point: int | None = None,
        name: str = "function",
    ) -> None:
        """Take a function.

        Args:
            function: It gets an array of `shape` and `dtype`, and returns an array whose
                shape and type are always the same.
            shape: Shape of what it takes, for instance `(1, 224, 224, 3)`.
            dtype: Element type of what it takes, one of `runtimes.base.DTYPES`.
            scale: Where it gives integers: the step between them, if that matters.
            zero_point: Where it gives integers: the one that stands for zero.
            name: What `device` reports.

        Raises:
            InputError: The shape or the type is none.
            InferenceError: The function gives no array of a type in `DTYPES`.
        """
        if dtype not in DTYPES or not shape or min(shape) < 1:
            raise InputError(
                f"A function cannot take {dtype} of shape {shape}; the type is one of "
                f"{', '.join(DTYPES)} and every axis is at least 1."
            )
        self._function = function
        result = self._checked(function(np.zeros(shape, dtype)))
        output = TensorSpec("output", result.shape, result.dtype.name, scale, zero_point)
        entry = TensorSpec("input", tuple(shape), dtype)
        super().__init__(NAME, Placement("auto", name), entry, output)

    def _run(self, array: Array) -> Array:
        result = self._checked(self._function(array))
        if result.dtype.name != self.output.dtype or result.shape != self.output.shape:
            expected = dataclasses.astuple(self.output)[1:3]
            raise InferenceError(
                f"The function gave {(result.shape, result.dtype.name)} and {expected} before; "
                "make it give the same shape and type for every picture."
            )
        # Handing its own input or buffer back would let two runs share memory.
        return result.copy()

    @staticmethod
    def _checked(result: Any) -> Array:
        if not isinstance(result, np.ndarray) or result.dtype.name not in DTYPES:
            raise InferenceError(
                f"The function gave a {type(result).__name__} instead of a numpy array of "
                f"{', '.join(DTYPES)}; convert its result."
            )
        return result

    def _release(self) -> None:
        del self._function
