"""Weights that an `.onnx` network keeps in files beside it, as PyTorch's exporter writes them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

from edgeinc.cache import is_file
from edgeinc.errors import ModelFormatError
from edgeinc.runtimes.onnx_proto import parsed, reading, tensors

__all__ = ["LARGEST", "gathered"]

LARGEST = (1 << 31) - 1
"""Bytes: a file of this format cannot hold more."""


class _Place(NamedTuple):
    """Where the numbers of a tensor lie, in bytes."""

    tensor: Any
    path: Path
    offset: int
    length: int


def gathered(model: bytes, folder: Path) -> bytes:
    """Take the weights that lie in other files into the network's own.

    Args:
        model: Content of an `.onnx` file.
        folder: Where it lies. Only what is in it, or below, is read.

    Returns:
        Content of a single file; the same bytes where nothing lies elsewhere.

    Raises:
        ModelFormatError: It is damaged; or one of the files lies outside of the folder, is
            missing, or shorter than the network says; or all of it is too large.
        RuntimeUnavailableError: The package `onnx` is not installed.
    """
    proto = parsed(model)
    with reading():
        places = [_place(t, folder.resolve()) for t in tensors(proto) if _is_elsewhere(t)]
        if not places:
            return model
        total = len(model) + sum(place.length for place in places)
        if total > LARGEST:
            raise ModelFormatError(
                f"This network takes {total / 1e9:.1f} GB with its weights, and a single .onnx "
                "file holds 2.1 at most; choose a smaller network."
            )
        for place in places:
            place.tensor.raw_data = _read(place)
            place.tensor.ClearField("external_data")
            place.tensor.data_location = place.tensor.DEFAULT
        content: bytes = proto.SerializeToString()
        return content


def _is_elsewhere(tensor: Any) -> bool:
    return bool(tensor.data_location == tensor.EXTERNAL)


def _place(tensor: Any, folder: Path) -> _Place:
    """Where a tensor lies, in a file that is there and long enough."""
    said = {entry.key: entry.value for entry in tensor.external_data}
    name = said.get("location", "")
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    path = folder / name
    outside = not name or windows.drive or windows.root or ".." in (*posix.parts, *windows.parts)
    # Links are followed first: what counts is where the file itself lies.
    if outside or not _real(path).is_relative_to(folder):
        raise ModelFormatError(
            f"This network keeps weights in {name!r}, outside of its own folder, where nothing is "
            "read; export it anew, or save it as a single file."
        )
    if not is_file(path):
        raise ModelFormatError(
            f"The file {name!r} with this network's weights is not beside it; copy it there, or "
            "save the network as a single file."
        )
    size, offset = path.stat().st_size, int(said.get("offset", 0))
    length = int(said.get("length", size - offset))
    if offset < 0 or length < 0 or offset + length > size:
        raise ModelFormatError(
            f"The file {name!r} with this network's weights is shorter than the network says; "
            "copy it again."
        )
    return _Place(tensor, path, offset, length)


def _real(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path  # no file is there


def _read(place: _Place) -> bytes:
    try:
        with place.path.open("rb") as stream:
            stream.seek(place.offset)
            content = stream.read(place.length)
    except OSError as exc:
        raise ModelFormatError(
            f"The file {place.path.name!r} with this network's weights cannot be read "
            f"({exc.strerror}); check it."
        ) from exc
    return content
