"""Writing files so that an interruption or a full disk leaves either the old one or the new one."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib.format import open_memmap, write_array_header_1_0
from numpy.typing import NDArray
from settings import RecipeError

Memory = np.memmap[Any, np.dtype[np.uint8]]


@contextmanager
def disk_sentences(path: Path) -> Iterator[None]:
    """Turn a full or refusing disk into one sentence."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise RecipeError(
                f"The disk is full while writing {path}; make room and run the step again,"
                " what is done is kept."
            ) from exc
        raise RecipeError(
            f"{path} cannot be written ({exc.strerror}); choose another --work folder."
        ) from exc


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write through a neighbour file and rename it into place; a failure leaves no part of it."""
    with disk_sentences(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        try:
            with part.open("wb") as file:
                write(file)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data`."""
    write_whole(path, lambda file: file.write(data))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON."""
    write_bytes(path, json.dumps(value, indent=1).encode())


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array as .npy."""
    write_whole(path, lambda file: np.save(file, array))


def read_ahead(path: Path) -> None:
    """Ask for a file to be read into memory: at random places, a disk is far slower."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


@contextmanager
def deaf() -> Iterator[None]:
    """Start workers in here: an interruption is the main process's to tell, and theirs is ignored.

    Ignoring it only once they run would be late: their imports take seconds.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def array_at(path: Path, shape: tuple[int, ...]) -> Memory | None:
    """A uint8 .npy of this shape, opened for writing in place; None for anything else."""
    try:
        array = open_memmap(path, mode="r+")
    except (FileNotFoundError, ValueError):
        return None
    return array if array.shape == shape and array.dtype == np.uint8 else None


def reserve(path: Path, shape: tuple[int, ...]) -> Memory:
    """Open a uint8 .npy of `shape` for writing in place; its disk space is taken at once.

    A file of the same shape is gone on with, so that finished chunks survive.
    """
    with disk_sentences(path):
        old = array_at(path, shape)
    if old is not None:
        return old

    def zeros(file: BinaryIO) -> None:
        # Written, not skipped: a sparse file would die of SIGBUS when the disk fills.
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        write_array_header_1_0(file, header)
        left = math.prod(shape)
        while left > 0:
            left -= file.write(bytes(min(left, 1 << 20)))

    write_whole(path, zeros)
    with disk_sentences(path):
        return open_memmap(path, mode="r+")
