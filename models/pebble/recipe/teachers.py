"""What the teachers see: each one's last feature map of every picture, computed once and kept.

A map is averaged over a grid of cells and stored as uint8, companded: stored = 255 * sqrt(v / 6),
v in 0..6 (the teachers end in ReLU6). From the cells, the teacher's pooled embedding of *any* crop
of the picture follows as a weighted mean, so the student may look at random crops and is still told
what the teacher sees in that very crop, without the teacher running again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from data import Pictures
from maps import CHUNK, begin, chunks_of, maps_of, mark, unfinished
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from settings import RecipeError, Settings
from workers import each

from edgeinc.backbone import Backbone
from edgeinc.cards import ModelCard
from edgeinc.catalogue import pull
from edgeinc.runtimes import inspect
from edgeinc.weights import find_card, is_installed, load_file

TOP = 6.0
log = logging.getLogger("pebble.teachers")


@dataclass(frozen=True, slots=True)
class Task:
    """One chunk of pictures for one teacher.

    A worker whose main process was killed cannot tell what it has done and ends, so a task is what
    it works on at most.
    """

    teacher: str
    pixels: Path
    out: Path
    n: int
    grid: int
    chunk: int


def embed_all(settings: Settings, pictures: Pictures) -> list[NDArray[np.uint8]]:
    """Maps of all teachers, each (n, grid, grid, d) uint8; finished chunks are kept.

    A teacher is a card of the SDK, by its name or path; its weights are fetched where they are
    not installed. Raises `RecipeError` where it has no feature map, and what the SDK raises
    where there is no such card or its weights cannot be had.
    """
    for name in settings.teachers:
        card = find_card(name)
        if not is_installed(card):
            pull(card)
    return [_embed(settings, pictures, name) for name in settings.teachers]


def cell_means(size: int, grid: int) -> NDArray[np.float32]:
    """(grid, size): weights that average `size` samples into `grid` equal cells by overlap."""
    edges = np.linspace(0, size, grid + 1)
    low = np.maximum(edges[:-1, None], np.arange(size))
    high = np.minimum(edges[1:, None], np.arange(1, size + 1))
    weights = np.clip(high - low, 0, None)
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


def _embed(settings: Settings, pictures: Pictures, name: str) -> NDArray[np.uint8]:
    depth = _teacher(name, settings.grid).depth
    maps = begin(settings, pictures, name, depth)
    left = unfinished(settings, pictures, name)
    if not left:
        return np.asarray(maps)
    out, n = maps_of(settings, name), len(pictures.pixels)
    chunks = chunks_of(n)
    log.info("%s: %d of %d chunks to do", out.stem, len(left), chunks)
    pixels = settings.work / "data" / "pixels.npy"
    tasks = [Task(name, pixels, out, n, settings.grid, chunk) for chunk in left]
    for done, _ in enumerate(each(_work, tasks, settings.workers), chunks - len(left) + 1):
        if done == chunks or 20 * done // chunks > 20 * (done - 1) // chunks:
            log.info("%s: %d of %d chunks", out.stem, done, chunks)
    return np.asarray(maps)


def _work(task: Task) -> None:
    pixels = np.load(task.pixels, mmap_mode="r")
    maps = open_memmap(task.out, mode="r+")
    teacher = _teacher(task.teacher, task.grid)
    for i in range(task.chunk * CHUNK, min((task.chunk + 1) * CHUNK, task.n)):
        maps[i] = teacher.look(pixels[i])
    maps.flush()
    mark(task.out, task.chunk)


@lru_cache(1)
def _teacher(name: str, grid: int) -> _Teacher:
    """Opened once a process."""
    return _Teacher(name, grid)


class _Teacher:
    """A network of the catalogue, cut at the feature map before its average pool."""

    def __init__(self, name: str, grid: int) -> None:
        card = find_card(name)
        tensor = _last_map(card)
        self.backbone = Backbone.open(card, runtime=card.files[0].runtime, threads=1, tensor=tensor)
        height, _, self.depth = self.backbone.shape
        self.size = card.input.height, card.input.width
        self.mean = cell_means(height, grid)

    def look(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(s, s, 3) uint8 RGB -> (grid, grid, d) uint8, companded."""
        import cv2

        # Cubic, since the pictures are smaller than what the teacher was taught with.
        view = cv2.resize(pixels[:, :, ::-1], self.size[::-1], interpolation=cv2.INTER_CUBIC)
        real = self.backbone.activations(view)
        cells = np.einsum("iy,jx,yxd->ijd", self.mean, self.mean, real, optimize=True)
        return np.asarray(np.rint(255 * np.sqrt(np.clip(cells, 0, TOP) / TOP)), np.uint8)


def _last_map(card: ModelCard) -> str:
    """The deepest square feature map of a card's first file, channels last."""
    file = card.files[0]
    for candidate in inspect(load_file(card, file), file.runtime).candidates:
        shape = candidate.spec.shape
        if len(shape) == 4 and 1 < shape[1] == shape[2]:
            return candidate.spec.name
    raise RecipeError(f"{card.name} has no square feature map; choose another teacher.")
