"""From the averaged weights to files: float ONNX, QDQ ONNX, TFLite; and how well they agree."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from data import Pictures, square
from files import write_bytes
from graph import Step, build, macs
from numpy.typing import NDArray
from onnx_file import float_model, qdq_model
from quantise import Quantised, pooled, quantise
from sessions import Onnx, TfLite
from settings import RecipeError, Settings
from tflite_file import tflite_model

LARGEST = 3_000_000  # bytes of a file
log = logging.getLogger("pebble.export")


@dataclass(frozen=True, slots=True)
class Exported:
    """The network in all its forms, and whether its training had come to its end."""

    steps: list[Step]
    quantised: Quantised
    onnx: bytes
    tflite: bytes
    macs: int
    agreement: float
    finished: bool


def export(settings: Settings, pictures: Pictures, run: Path) -> Exported:
    """Fold, quantise and write both files, and a float ONNX beside them, into `run`/export.

    Raises `RecipeError` where nothing is trained yet or a file grew too large.
    """
    state = read_checkpoint(run / "checkpoint.pt")
    finished = state["step"] >= (total := sum(state["steps"]))
    if not finished:
        log.warning("the training stands at step %d of %d", state["step"], total)
    steps = folded(state["averaged"])
    size = settings.input_size
    quantised = quantise(steps, calibration(settings, pictures, 1), size)
    made = qdq_model(quantised), tflite_model(quantised)
    for model in made:
        if len(model) > LARGEST:
            raise RecipeError(f"A file has {len(model)} bytes; make the network smaller.")
    agreement = _agreement(*made, calibration(settings, pictures, 2)[:200])
    folder = run / "export"
    models = (*made, float_model(steps, size))
    for suffix, model in zip(("onnx", "tflite", "float.onnx"), models, strict=True):
        write_bytes(folder / f"{settings.name}.{suffix}", model)
    log.info("embedding scale %.5f", float(pooled(quantised).scale))
    return Exported(steps, quantised, *made, macs(steps, size), agreement, finished)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a training left at `path`.

    Raises `RecipeError` where there is nothing.
    """
    if not path.exists():
        raise RecipeError(f"{path} is missing; train first.")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def folded(state: Mapping[str, torch.Tensor]) -> list[Step]:
    """A student's layers with batch norm folded in."""
    return build({k: v.float().numpy() for k, v in state.items()})


def calibration(settings: Settings, pictures: Pictures, seed: int) -> NDArray[np.uint8]:
    """A fixed draw of training pictures at the network's size."""
    rng = np.random.default_rng((settings.seed, seed))
    rows = np.sort(rng.permutation(len(pictures.pixels))[: settings.calibration])
    return np.stack([square(pictures.pixels[i], settings.input_size) for i in rows])


def _agreement(onnx: bytes, tflite: bytes, pictures: NDArray[np.uint8]) -> float:
    """Mean cosine between the embeddings of the two files."""
    networks = Onnx(onnx), TfLite(tflite)
    a, b = (
        np.concatenate([network(picture) for picture in pictures]).astype(np.float64)
        for network in networks
    )
    cosines = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1) + 1e-12)
    return float(cosines.mean())
