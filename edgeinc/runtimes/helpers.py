"""What the runtimes share: reading a model, naming what is missing, warning the caller.

What is said of devices is in `edgeinc.runtimes.refusals`.
"""

from __future__ import annotations

import dataclasses
import inspect
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from edgeinc.devices import MOST_THREADS, brief
from edgeinc.errors import InputError, ModelFormatError, TensorNotFoundError
from edgeinc.runtimes.base import TensorSpec

__all__ = [
    "check_settings",
    "first_line",
    "fixed_shape",
    "model_bytes",
    "near",
    "one_of",
    "some",
    "tensor_not_found",
    "warn_caller",
]

MOST_NAMED = 8
T = TypeVar("T")


def warn_caller(message: str) -> None:
    """Give a `RuntimeWarning` that points at the line of whoever called edgeinc."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("edgeinc."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, RuntimeWarning, stacklevel=level)


def check_settings(threads: int | None, **switches: bool) -> None:
    """Refuse what is no number of threads, and what says neither yes nor no.

    Raises:
        InputError: `threads` is no whole number from 1 to 1024; or a switch, such as `strict`,
            is no bool.
    """
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise InputError(f"{name} is {brief(value)}; give True or False.")
    if threads is None:
        return
    if not isinstance(threads, int) or isinstance(threads, bool):
        raise InputError(f"{brief(threads)} is no number of threads; give a whole number, or None.")
    if not 1 <= threads <= MOST_THREADS:
        raise InputError(
            f"{brief(threads)} threads cannot run a network; give from 1 to {MOST_THREADS}."
        )


def some(names: Sequence[object]) -> str:
    """Return a list in words; what is beyond eight is counted."""
    named = ", ".join(map(str, names[:MOST_NAMED]))
    more = len(names) - MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named


def near(name: str, names: Iterable[str], most: int = 5) -> tuple[str, ...]:
    """Return up to `most` of `names` that resemble `name`, the likeliest first.

    >>> near("AvgPol", ["Conv2D", "AvgPool", "Softmax"])
    ('AvgPool',)
    """
    names = list(names)
    parts = [n for n in names if name.lower() in n.lower()]
    import difflib

    close = [*parts, *difflib.get_close_matches(name, names, n=most, cutoff=0.5)]
    return tuple(dict.fromkeys(close))[:most]


def tensor_not_found(name: str, names: Iterable[str]) -> TensorNotFoundError:
    """Return the error for a name at which a network cannot be cut.

    Args:
        name: What was asked for.
        names: Every tensor that could have been meant, best candidates first.
    """
    names = list(names)
    listed = near(name, names) or tuple(names[:5])
    hint = f"try {', '.join(map(repr, listed))}" if listed else "it computes none"
    return TensorNotFoundError(f"The network computes no tensor named {name!r}; {hint}.")


def model_bytes(model: bytes | Path) -> bytes:
    """Return the content of a model that is given as bytes or as a path.

    Raises:
        ModelFormatError: The file cannot be read, or is empty.
    """
    if isinstance(model, bytes):
        content = model
    else:
        try:
            content = Path(model).read_bytes()
        except OSError as exc:
            raise ModelFormatError(
                f"The model {model} cannot be read ({exc.strerror}); check its path, or fetch it "
                "again."
            ) from exc
    if not content:
        raise ModelFormatError("The model is empty; fetch it again.")
    return content


def one_of(things: Sequence[T], what: str) -> T:
    """Return the only element.

    Args:
        things: Inputs or outputs of a network.
        what: Which they are, `inputs` or `outputs`, for the error.

    Raises:
        ModelFormatError: There is none, or more than one.
    """
    if len(things) != 1:
        advice = (
            "export it with a single input, or name an embedding that needs only one of them"
            if what == "inputs"
            else "name the one output to keep"
        )
        raise ModelFormatError(
            f"The network has {len(things)} {what} where one is needed; {advice}."
        )
    return things[0]


def fixed_shape(spec: TensorSpec) -> TensorSpec:
    """Return an input with its batch axis, where the file leaves it open, set to one.

    Raises:
        ModelFormatError: Another axis is open.
    """
    shape = (1, *spec.shape[1:]) if spec.shape[:1] == (-1,) else spec.shape
    if -1 in shape:
        raise ModelFormatError(
            f"The input {spec.name!r} leaves its size open, {spec.shape}; export the network "
            "with a fixed size."
        )
    return dataclasses.replace(spec, shape=shape)


def first_line(exc: BaseException) -> str:
    """Return the first line of a runtime's message, for our own."""
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0]
