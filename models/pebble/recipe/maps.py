"""The files of the teachers' maps: what each was made of, and which of its chunks are finished.

Beside `NAME.npy` lie `NAME.json`, which says of what pictures and by what network it was made, and
the folder `NAME.chunks` with an empty file for each finished chunk.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from data import Pictures
from files import Memory, array_at, disk_sentences, read_ahead, reserve, write_json
from numpy.typing import NDArray
from settings import RecipeError, Settings

from edgeinc.weights import find_card

CHUNK = 500
Origin = dict[str, str | int]


def maps_of(settings: Settings, teacher: str) -> Path:
    """Where a teacher's maps are kept; its card may be given by a path."""
    return settings.work / "teachers" / f"{find_card(teacher).name}.npy"


def chunks_of(n: int) -> int:
    """Chunks of n pictures."""
    return -(-n // CHUNK)


def mark(maps: Path, chunk: int) -> None:
    """Write down that a chunk is finished."""
    with disk_sentences(maps):
        (_marks(maps) / f"{chunk:05d}").touch()


def begin(settings: Settings, pictures: Pictures, teacher: str, depth: int) -> Memory:
    """The file to write (n, grid, grid, depth) maps into.

    What is there is gone on with if it is of these pictures, this teacher and this grid; if not,
    nothing counts as finished.
    """
    path, origin = maps_of(settings, teacher), _origin(settings, pictures, teacher)
    shape = (len(pictures.pixels), settings.grid, settings.grid, depth)
    with disk_sentences(path):
        if array_at(path, shape) is None or not _is_of(path, origin):
            # First, so that no interruption leaves marks of other maps.
            for old in _marks(path).glob("*"):
                old.unlink()
        _marks(path).mkdir(parents=True, exist_ok=True)
    maps = reserve(path, shape)
    write_json(path.with_suffix(".json"), origin)
    return maps


def unfinished(settings: Settings, pictures: Pictures, teacher: str) -> list[int]:
    """The chunks of a teacher's maps that are still to do, or were made of something else."""
    path = maps_of(settings, teacher)
    chunks = range(chunks_of(len(pictures.pixels)))
    if not path.exists() or not _is_of(path, _origin(settings, pictures, teacher)):
        return list(chunks)
    return [chunk for chunk in chunks if not (_marks(path) / f"{chunk:05d}").exists()]


def open_maps(settings: Settings, pictures: Pictures) -> list[NDArray[np.uint8]]:
    """The teachers' finished maps, each (n, grid, grid, d) uint8, read from disk as needed.

    Raises `RecipeError` where one is not finished or of other pictures.
    """
    maps = []
    for teacher in settings.teachers:
        path = maps_of(settings, teacher)
        left = unfinished(settings, pictures, teacher)
        shape = (len(pictures.pixels), settings.grid, settings.grid)
        found = None if left else np.load(path, mmap_mode="r")
        if found is None or found.shape[:3] != shape:
            raise RecipeError(
                f"{path} is not finished, or of other pictures (chunks to do: {len(left)});"
                " run the step `teach` first."
            )
        read_ahead(path)
        maps.append(found)
    return maps


def _marks(maps: Path) -> Path:
    return maps.with_suffix(".chunks")


def _origin(settings: Settings, pictures: Pictures, teacher: str) -> Origin:
    file = find_card(teacher).files[0]
    return {"pictures": pictures.digest, "grid": settings.grid, "teacher": file.sha256}


def _is_of(path: Path, origin: Origin) -> bool:
    """Whether maps were made of this; older ones, which do not say, belong to older pictures."""
    try:
        kept = json.loads(path.with_suffix(".json").read_text("utf-8"))
    except FileNotFoundError:
        return origin["pictures"] == ""
    return bool(kept == origin)
