"""What the teachers see: each one's last feature map of every picture, computed once and kept.

A map is averaged over a grid of cells and stored as uint8, companded: stored = 255 * sqrt(v / 6),
v in 0..6 (the teachers end in ReLU6). From the cells, the teacher's pooled embedding of *any* crop
of the picture follows as a weighted mean, so the student may look at random crops and is still told
what the teacher sees in that very crop, without the teacher running again.
"""

from __future__ import annotations

import logging
import multiprocessing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from data import Pictures
from files import disk_sentences, reserve
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from settings import RecipeError, Settings

CHUNK = 500
TOP = 6.0
log = logging.getLogger("pebble.teachers")


@dataclass(frozen=True, slots=True)
class Task:
    """One worker's share: every `step`-th unfinished chunk of one teacher."""

    model: Path
    pixels: Path
    out: Path
    n: int
    grid: int
    chunks: tuple[int, ...]


def embed_all(settings: Settings, pictures: Pictures) -> list[NDArray[np.uint8]]:
    """Maps of all teachers, each (n, grid, grid, d) uint8; finished chunks are kept.

    Raises `RecipeError` where a teacher's file is missing or is no network of this kind.
    """
    models = [settings.teachers_folder / f"{name}.tflite" for name in settings.teachers]
    for model in models:
        if not model.is_file():
            raise RecipeError(
                f"Teacher {model} is missing; fetch it with `edgeinc models pull {model.stem}`"
                " or give the folder that holds it with --teachers."
            )
    return [_embed(settings, pictures, model) for model in models]


def cell_means(size: int, grid: int) -> NDArray[np.float32]:
    """(grid, size): weights that average `size` samples into `grid` equal cells by overlap."""
    edges = np.linspace(0, size, grid + 1)
    low = np.maximum(edges[:-1, None], np.arange(size))
    high = np.minimum(edges[1:, None], np.arange(1, size + 1))
    weights = np.clip(high - low, 0, None)
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


def _embed(settings: Settings, pictures: Pictures, model: Path) -> NDArray[np.uint8]:
    n, folder = len(pictures.pixels), settings.work / "teachers"
    depth = _Teacher(model, settings.grid).depth
    out = folder / f"{model.stem}.npy"
    maps = reserve(out, (n, settings.grid, settings.grid, depth))
    marks = out.with_suffix(".chunks")
    with disk_sentences(marks):
        marks.mkdir(exist_ok=True)
    left = [c for c in range(-(-n // CHUNK)) if not (marks / f"{c:05d}").exists()]
    if left:
        log.info("%s: %d of %d chunks to do", model.stem, len(left), -(-n // CHUNK))
        pixels = settings.work / "data" / "pixels.npy"
        share = [
            Task(model, pixels, out, n, settings.grid, tuple(left[rank :: settings.workers]))
            for rank in range(settings.workers)
        ]
        with multiprocessing.get_context("spawn").Pool(settings.workers) as pool:
            for done in pool.imap_unordered(_work, share):
                log.info("%s: %d chunks done by one worker", model.stem, done)
    return np.asarray(maps)


def _work(task: Task) -> int:
    teacher = _Teacher(task.model, task.grid)
    pixels = np.load(task.pixels, mmap_mode="r")
    maps = open_memmap(task.out, mode="r+")
    for chunk in task.chunks:
        for i in range(chunk * CHUNK, min((chunk + 1) * CHUNK, task.n)):
            maps[i] = teacher.look(pixels[i])
        maps.flush()
        with disk_sentences(task.out):
            (task.out.with_suffix(".chunks") / f"{chunk:05d}").touch()
    return len(task.chunks)


class _Teacher:
    """A quantised network of the catalogue, read at the feature map before its average pool."""

    def __init__(self, model: Path, grid: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            self.net = Interpreter(
                str(model), num_threads=1, experimental_preserve_all_tensors=True
            )
            self.net.allocate_tensors()
        except (ValueError, RuntimeError) as exc:
            raise RecipeError(f"{model} is no network that LiteRT reads ({exc}).") from exc
        details = self.net.get_tensor_details()
        spatial = [d for d in details if len(d["shape"]) == 4 and d["shape"][0] == 1]
        spatial = [d for d in spatial if d["shape"][1] > 1 and d["shape"][1] == d["shape"][2]]
        given = self.net.get_input_details()[0]
        if not spatial or given["dtype"] != np.uint8:
            raise RecipeError(f"{model} has no feature map or no uint8 input; choose another.")
        last = max(spatial, key=lambda d: int(d["index"]))
        self.input, self.size = int(given["index"]), int(given["shape"][1])
        self.map, self.depth = int(last["index"]), int(last["shape"][3])
        self.scale, self.zero = last["quantization"]
        self.mean = cell_means(int(last["shape"][1]), grid)

    def look(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(s, s, 3) uint8 RGB -> (grid, grid, d) uint8, companded."""
        import cv2

        view = cv2.resize(pixels, (self.size, self.size), interpolation=cv2.INTER_CUBIC)
        self.net.set_tensor(self.input, view[None])
        self.net.invoke()
        q = self.net.get_tensor(self.map)[0].astype(np.float32) - self.zero
        cells = np.einsum("iy,jx,yxd->ijd", self.mean, self.mean, q, optimize=True) * self.scale
        return np.asarray(np.rint(255 * np.sqrt(np.clip(cells, 0, TOP) / TOP)), np.uint8)
