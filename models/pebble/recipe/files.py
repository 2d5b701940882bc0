"""Writing files so that an interruption or a full disk leaves either the old one or the new one."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from settings import RecipeError


@contextmanager
def disk_sentences(path: Path) -> Iterator[None]:
    """Turn a full or refusing disk into one sentence."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RecipeError(
                f"The disk is full while writing {path}; make room and run the step again,"
                " what is done is kept."
            ) from exc
        raise RecipeError(
            f"{path} cannot be written ({exc.strerror}); choose another --work folder."
        ) from exc


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write through a neighbour file and rename it into place."""
    with disk_sentences(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        with part.open("wb") as file:
            write(file)
        part.replace(path)


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


def quiet() -> None:
    """For a worker's start: an interruption is the main process's to tell."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def reserve(path: Path, shape: tuple[int, ...]) -> np.memmap[Any, np.dtype[np.uint8]]:
    """Open a uint8 .npy of `shape` for writing in place; its disk space is taken at once.

    A file of the same shape is gone on with, so that finished chunks survive.
    """
    with disk_sentences(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            old = open_memmap(path, mode="r+")
            if old.shape == shape and old.dtype == np.uint8:
                return old
            del old
            path.unlink()
        part = path.with_name(path.name + ".part")
        array = open_memmap(part, mode="w+", dtype=np.uint8, shape=shape)
        head, total = part.stat().st_size - array.nbytes, array.nbytes
        del array
        with part.open("r+b") as file:
            # A sparse file would die of SIGBUS when the disk fills; this fails with ENOSPC now.
            os.posix_fallocate(file.fileno(), head, total)
        part.replace(path)
        return open_memmap(path, mode="r+")
