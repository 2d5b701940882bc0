"""Quantising a network and measuring how far it drifts: the part that loads it, in a trial."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinc.backbone import Backbone
from edgeinc.cards import ModelCard
from edgeinc.catalogue.adding import make_card
from edgeinc.catalogue.drift import cosines, nearest
from edgeinc.catalogue.reading import Preprocessing
from edgeinc.errors import ImageError, InputError
from edgeinc.images import Preparation, read_image
from edgeinc.runtimes import available
from edgeinc.runtimes.quantize_onnx import check_float, quantized

__all__ = ["quantize_and_measure"]

ROUNDS = 30


def quantize_and_measure(
    name: str,
    *,
    embedding: str | None,
    preprocessing: Preprocessing,
    nonnegative: bool,
    pictures: Sequence[str],
    least: int,
    share: int,
) -> dict[str, Any]:
    """Quantises the network in the working folder. This loads it: only in a trial.

    Args:
        name: Its file.
        embedding: As in `adding.make_card`, and so are `preprocessing` and `nonnegative`.
        preprocessing: Of its input.
        nonnegative: No value is ever below zero.
        pictures: Paths, in the order in which they are to be taken.
        least: How many pictures must be readable.
        share: One of so many judges, the others calibrate.

    Returns:
        `network` in base64; `embedding`, the tensor's name; `measured`, see
        `quantizing.Quantized`; `skipped`, a sentence a picture; `tool`, its name and release.

    Raises:
        EdgeincError: As `quantizing.add_quantized`.
    """
    content = Path(name).read_bytes()
    check_float(content)
    card = _card(name, content, embedding, preprocessing, nonnegative)
    file = card.files[0]
    shown, skipped = _readable(pictures, max(card.input.height, card.input.width))
    if len(shown) < least:
        raise InputError(
            f"{len(shown)} of the pictures can be read, and quantising needs {least} at least; add "
            f"more of what the network will see.{' For instance: ' + skipped[0] if skipped else ''}"
        )
    judges, calibrating = shown[::share], [p for i, p in enumerate(shown) if i % share]
    prepare = Preparation(card.input, layout=file.input.layout, dtype="float32")
    tensor = file.embedding.tensor
    inputs = (prepare(read_image(path)) for path in calibrating)
    whole = quantized(content, tensor, inputs, scratch=Path())
    folder = Path("int8")
    folder.mkdir()
    (folder / name).write_bytes(whole)
    small = _card(name, whole, tensor, preprocessing, nonnegative)
    measured = _measure(replace(card, folder=Path()), replace(small, folder=folder), judges)
    (version,) = (info.version for info in available() if info.name == "onnx")
    return {
        "network": base64.b64encode(whole).decode(),
        "embedding": tensor,
        "measured": {"calibrated": len(calibrating), "held_out": len(judges), **measured},
        "skipped": skipped,
        "tool": f"ONNX Runtime {version}",
    }


def _card(
    name: str,
    content: bytes,
    embedding: str | None,
    preprocessing: Preprocessing,
    nonnegative: bool,
) -> ModelCard:
    return make_card(
        name,
        content,
        "onnx",
        embedding=embedding,
        preprocessing=preprocessing,
        licence="unknown",
        title=None,
        labels=None,
        nonnegative=nonnegative,
    )


def _readable(pictures: Sequence[str], side: int) -> tuple[list[str], list[str]]:
    """The pictures that can be decoded, and a sentence for each of the others."""
    shown, skipped = [], []
    for path in pictures:
        try:
            read_image(path, least=side)
        except ImageError as exc:
            skipped.append(str(exc))
        else:
            shown.append(path)
    return shown, skipped


def _measure(whole: ModelCard, small: ModelCard, judges: Sequence[str]) -> dict[str, float]:
    """What float and int8 make of the same pictures, and how fast."""
    with Backbone.open(whole, threads=1) as a, Backbone.open(small, threads=1) as b:
        x, y = (_activations(backbone, judges) for backbone in (a, b))
        alike = cosines(x, y)
        frame = _frame(whole)
        times = np.array(list(_turns(a, b, frame)))
    return {
        "cosine": float(alike.mean()),
        "least": float(alike.min()),
        "neighbours": float((nearest(x) == nearest(y)).mean()),
        "float_ms": 1000 * float(np.median(times[:, 0])),
        "int8_ms": 1000 * float(np.median(times[:, 1])),
        "speedup": float(np.median(times[:, 0] / times[:, 1])),
    }


def _activations(backbone: Backbone, pictures: Sequence[str]) -> NDArray[np.float32]:
    return np.stack([backbone.activations(picture).reshape(-1) for picture in pictures])


def _frame(card: ModelCard) -> NDArray[np.uint8]:
    """A picture of the network's own size: what is timed is the network."""
    shape = (card.input.height, card.input.width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def _turns(a: Backbone, b: Backbone, frame: NDArray[np.uint8]) -> Iterator[tuple[float, float]]:
    """Seconds of each, in turn, so that a drift of the machine's speed meets both."""
    for turn in range(ROUNDS + 3):
        pair = (a, b) if turn % 2 == 0 else (b, a)
        spent = {}
        for backbone in pair:
            start = time.perf_counter()
            backbone.embed([frame])
            spent[backbone] = time.perf_counter() - start
        if turn >= 3:
            yield spent[a], spent[b]
