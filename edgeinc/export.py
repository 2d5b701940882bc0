"""Features for other tools, as HDF5; needs the extra `hdf5` (h5py).

A file holds `features` (n, ...) float32, `labels` (n,) int64 indices, and `label_names`.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinc.backbone import Backbone
from edgeinc.cache import part_of, reserve, settle
from edgeinc.cards import ModelCard
from edgeinc.devices import AskedDevice
from edgeinc.engine import DEFAULT_BACKBONE, Engine
from edgeinc.errors import ImageError, InputError, RuntimeUnavailableError
from edgeinc.features import UNIT
from edgeinc.images import LabelledPictures, labelled_images
from edgeinc.store import clean_label
from edgeinc.store.disk.files import file_to_write
from edgeinc.types import NEGATIVE

__all__ = ["Written", "embed_folder", "export_hdf5"]

# Bytes of features that are held before they are written.
CHUNK_BYTES = 8 * 2**20
MOST_ROWS = 256

# Room for what an HDF5 file holds besides features: a row's label and its share of the
# indexes, a label's name, and all the rest.
ROW_BYTES = 256
NAME_BYTES = 1024
SPARE_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Written:
    """What `embed_folder` wrote: the shape of `features`, and a sentence a skipped file."""

    shape: tuple[int, ...]
    skipped: tuple[str, ...]


def embed_folder(
    folder: str | Path,
    path: str | Path,
    *,
    backbone: str | Path | ModelCard | Backbone | None = None,
    tensor: str | None = None,
    device: AskedDevice = "auto",
    strict: bool = False,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Writes the features of a folder, one folder a label, straight to HDF5.

    The features are the real values of the layer, dequantised, not normalised. They are
    written in pieces, so that they may be larger than memory. Unreadable files are skipped,
    and so are those that are no pictures.
    The file appears under its name only when it is complete.

    Args:
        folder: One folder a label; symbolic links are followed.
        path: The HDF5 file to write; one that exists is replaced, unless it is a database.
        backbone: A model's name, a card, or an open backbone; the embedded one by default.
        tensor: Another layer, pooled or not; not with an open backbone.
        device: As in `Engine.open`.
        strict: As in `Engine.open`.
        threads: As in `Engine.open`.
        progress: Called with (done, total).

    Raises:
        InputError: No readable picture, an open backbone with `tensor`, or the file cannot
            be written; all the room that it may need is taken before the work begins.
        LabelError: A folder's name is no label.
        TensorNotFoundError: The network has no such tensor.
        RuntimeUnavailableError: h5py is not installed.
    """
    pictures, passed_over = labelled_images(folder)
    found = LabelledPictures([(clean_label(name), file) for name, file in pictures], passed_over)
    if isinstance(backbone, Backbone):
        if tensor is not None:
            raise InputError("An open backbone has its layer; open it with `tensor` instead.")
        return _embed(backbone, found, path, progress)
    name = DEFAULT_BACKBONE if backbone is None else backbone
    with Backbone.open(
        name, tensor=tensor, device=device, strict=strict, threads=threads
    ) as opened:
        return _embed(opened, found, path, progress)


def export_hdf5(engine: Engine, path: str | Path) -> tuple[int, int]:
    """Writes the enrolled features: what the heads are fitted to, L2-normalised.

    Negatives are left out: they have no label, and who reads the file asks for classes.

    Args:
        engine: Its committed examples are written, in canonical order.
        path: The HDF5 file to write; one that exists is replaced, unless it is a database.

    Returns:
        Shape of `features`.

    Raises:
        InputError: The file cannot be written, or is a database.
        RuntimeUnavailableError: h5py is not installed.
    """
    snapshot = engine.fitted().snapshot
    # In canonical order negatives come first.
    names = [label for label in snapshot.labels if label != NEGATIVE]
    away = len(snapshot.labels) - len(names)
    first = int(snapshot.counts[:away].sum())
    shape = snapshot.total - first, snapshot.dim
    with _hdf5(path, _room(4 * shape[0] * shape[1], shape[0], len(names))) as file:
        features = file.create_dataset("features", shape, "float32")
        for start in range(0, shape[0], MOST_ROWS):
            index = np.arange(start, min(start + MOST_ROWS, shape[0]))
            rows = snapshot.some(first + index)
            features[start : start + len(index)] = rows.astype(np.float32) / UNIT
        file.create_dataset("labels", data=snapshot.y[first:].astype(np.int64) - away)
        _write_names(file, names)
    return shape


def _embed(
    backbone: Backbone,
    found: LabelledPictures,
    path: str | Path,
    progress: Callable[[int, int], None] | None,
) -> Written:
    files = found.pictures
    names = sorted({label for label, _ in files})
    index = {name: i for i, name in enumerate(names)}
    size = 4 * int(np.prod(backbone.shape))
    rows = max(1, min(MOST_ROWS, CHUNK_BYTES // size))
    # Space is given out by whole chunks.
    bound = size * rows * -(-len(files) // rows)
    skipped = [*found.passed_over]
    with _hdf5(path, _room(bound, len(files), len(names))) as file:
        features = _growing(file, "features", "float32", rows, backbone.shape)
        labels = _growing(file, "labels", "int64", MOST_ROWS)
        for start in range(0, len(files), rows):
            batch = files[start : start + rows]
            values, y = [], []
            for label, picture in batch:
                try:
                    values.append(backbone.activations(picture))
                except ImageError as exc:
                    skipped.append(str(exc))
                else:
                    y.append(index[label])
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


def _growing(file: Any, name: str, dtype: str, rows: int, shape: tuple[int, ...] = ()) -> Any:
    """A dataset without rows that grows by them; `rows` lie together on the disk."""
    return file.create_dataset(
        name, (0, *shape), dtype, maxshape=(None, *shape), chunks=(rows, *shape)
    )


def _append(dataset: Any, rows: NDArray[Any]) -> None:
    dataset.resize(len(dataset) + len(rows), axis=0)
    dataset[-len(rows) :] = rows


def _write_names(file: Any, names: Sequence[str]) -> None:
    h5py = importlib.import_module("h5py")
    file.create_dataset("label_names", data=list(names), dtype=h5py.string_dtype("utf-8"))


def _room(features: int, rows: int, names: int) -> int:
    """Bytes that a file may need: of its features, and of so many rows and label names."""
    return features + ROW_BYTES * rows + NAME_BYTES * names + SPARE_BYTES


@contextmanager
def _hdf5(given: str | Path, room: int) -> Iterator[Any]:
    """Opens a new file beside the path; moves it there when the block ends well.

    All the room that it may need is taken first, and what is left over given back: a disk
    that is too small says so before the work, and HDF5 never meets a full one, on which it
    crashes the process.
    """
    try:
        h5py = importlib.import_module("h5py")
    except ImportError as exc:
        message = "HDF5 files need h5py; install it with: pip install 'edgeinc[hdf5]'"
        raise RuntimeUnavailableError(message) from exc
    path = file_to_write(given)
    blank = io.BytesIO()
    h5py.File(blank, "w").close()
    try:
        partial = part_of(path)
        try:
            with partial.open("xb") as stream:
                stream.write(blank.getvalue())
                reserve(stream, room)
            with h5py.File(partial, "r+") as file:
                yield file
            settle(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as exc:
        why = exc.strerror or str(exc).partition("\n")[0]
        raise InputError(
            f"{path} cannot be written ({why}); it may take {room / 2**20:.0f} MiB. Check its "
            "folder and the room there."
        ) from exc
