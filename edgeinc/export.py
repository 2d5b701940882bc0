"""Features for other tools, as HDF5; needs the extra `hdf5` (h5py).

A file holds `features` (n, ...) float32, `labels` (n,) int64 indices, and `label_names`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinc.backbone import Backbone
from edgeinc.engine import DEFAULT_BACKBONE, Engine
from edgeinc.errors import ImageError, InputError, RuntimeUnavailableError
from edgeinc.features import UNIT
from edgeinc.images import labelled_images

__all__ = ["Written", "embed_folder", "export_hdf5"]

# Bytes of features that are held before they are written.
CHUNK_BYTES = 8 * 2**20


@dataclass(frozen=True, slots=True)
class Written:
    """What `embed_folder` wrote: the shape of `features`, and a sentence a skipped file."""

    shape: tuple[int, ...]
    skipped: tuple[str, ...]


def embed_folder(
    folder: str | Path,
    path: str | Path,
    *,
    backbone: str | Path | Backbone | None = None,
    tensor: str | None = None,
    device: str = "auto",
    strict: bool = False,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Writes the features of a folder, one folder a label, straight to HDF5.

    The features are the real values of the layer, dequantised, not normalised. They are
    written in pieces, so that they may be larger than memory. Unreadable files are skipped.
    The file appears under its name only when it is complete.

    Args:
        folder: One folder a label; symbolic links are followed.
        path: The HDF5 file to write; one that exists is replaced.
        backbone: A model's name, a card, or an open backbone; the embedded one by default.
        tensor: Another layer, pooled or not; not with an open backbone.
        device: As in `Engine.open`.
        strict: As in `Engine.open`.
        threads: As in `Engine.open`.
        progress: Called with (done, total).

    Raises:
        InputError: No readable picture, or the file cannot be written.
        TensorNotFoundError: The network has no such tensor.
        RuntimeUnavailableError: h5py is not installed.
    """
    files = labelled_images(folder)
    if not files:
        raise InputError(f"{folder} holds no picture; give a folder of label folders.")
    if isinstance(backbone, Backbone):
        return _embed(backbone, files, Path(path), progress)
    name = DEFAULT_BACKBONE if backbone is None else backbone
    with Backbone.open(
        name, tensor=tensor, device=device, strict=strict, threads=threads
    ) as opened:
        return _embed(opened, files, Path(path), progress)


def export_hdf5(engine: Engine, path: str | Path) -> tuple[int, int]:
    """Writes the enrolled features: what the heads are fitted to, L2-normalised.

    Args:
        engine: Its committed examples are written, in canonical order.
        path: The HDF5 file to write; one that exists is replaced.

    Returns:
        Shape of `features`.

    Raises:
        InputError: The file cannot be written.
        RuntimeUnavailableError: h5py is not installed.
    """
    snapshot = engine.fitted().snapshot
    features = snapshot.rows.astype(np.float32) / UNIT
    with _hdf5(Path(path)) as file:
        file.create_dataset("features", data=features)
        file.create_dataset("labels", data=snapshot.y.astype(np.int64))
        _write_names(file, snapshot.labels)
    return features.shape[0], features.shape[1]


def _embed(
    backbone: Backbone,
    files: Sequence[tuple[str, Path]],
    path: Path,
    progress: Callable[[int, int], None] | None,
) -> Written:
    names = sorted({label for label, _ in files})
    size = 4 * int(np.prod(backbone.shape))
    rows = max(1, min(256, CHUNK_BYTES // size))
    skipped: list[str] = []
    with _hdf5(path) as file:
        features = file.create_dataset(
            "features", (0, *backbone.shape), "float32", maxshape=(None, *backbone.shape)
        )
        labels = file.create_dataset("labels", (0,), "int64", maxshape=(None,))
        for start in range(0, len(files), rows):
            batch = files[start : start + rows]
            values, y = [], []
            for label, picture in batch:
                try:
                    values.append(backbone.activations(picture))
                except ImageError as exc:
                    skipped.append(str(exc))
                else:
                    y.append(names.index(label))
            if values:
                _append(features, np.stack(values))
                _append(labels, np.array(y, np.int64))
            if progress is not None:
                progress(start + len(batch), len(files))
        if not len(labels):
            raise InputError("No picture of the folder can be read; nothing was written.")
        shape = tuple(features.shape)
        _write_names(file, names)
    return Written(shape, tuple(skipped))


def _append(dataset: Any, rows: NDArray[Any]) -> None:
    dataset.resize(len(dataset) + len(rows), axis=0)
    dataset[-len(rows) :] = rows


def _write_names(file: Any, names: Sequence[str]) -> None:
    h5py = importlib.import_module("h5py")
    file.create_dataset("label_names", data=list(names), dtype=h5py.string_dtype("utf-8"))


@contextmanager
def _hdf5(path: Path) -> Iterator[Any]:
    """Opens a new file beside `path`; moves it there when the block ends well."""
    try:
        h5py = importlib.import_module("h5py")
    except ImportError as exc:
        message = "HDF5 files need h5py; install it with: pip install 'edgeinc[hdf5]'"
        raise RuntimeUnavailableError(message) from exc
    partial = path.with_name(f".{path.name}.part")
    try:
        with h5py.File(partial, "w") as file:
            yield file
        partial.replace(path)
    except OSError as exc:
        raise InputError(f"{path} cannot be written ({exc}); check its folder.") from exc
    finally:
        partial.unlink(missing_ok=True)
