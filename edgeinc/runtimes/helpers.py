"""What the runtimes share: reading a model, naming what is missing, falling back to the CPU."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable
from pathlib import Path

from edgeinc.errors import DeviceError, ModelFormatError, TensorNotFoundError

__all__ = ["fall_back", "model_bytes", "near", "tensor_not_found"]


def fall_back(message: str, *, strict: bool) -> None:
    """Say that the device asked for will not run the network.

    Args:
        message: What is wrong with the device.
        strict: True makes it an error; False makes it one `RuntimeWarning` (module
            `warnings`), after which the caller uses the CPU.

    Raises:
        DeviceError: `strict` is True.
    """
    if strict:
        raise DeviceError(f"{message}; ask for another device, or drop strict to use the CPU")
    warnings.warn(f"{message}; using the CPU", RuntimeWarning, stacklevel=4)


def near(name: str, names: Iterable[str], most: int = 5) -> tuple[str, ...]:
    """Return up to `most` of `names` that resemble `name`, the likeliest first.

    >>> near("AvgPol", ["Conv2D", "AvgPool", "Softmax"])
    ('AvgPool',)
    """
    names = list(names)
    parts = [n for n in names if name.lower() in n.lower()]
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
    hint = f"try {', '.join(map(repr, listed))}" if listed else "it computes none by name"
    return TensorNotFoundError(f"the network computes no tensor named {name!r}; {hint}")


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
            raise ModelFormatError(f"cannot read the model {model}: {exc.strerror}") from exc
    if not content:
        raise ModelFormatError("the model is empty; fetch it again")
    return content
