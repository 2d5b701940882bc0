"""The card of the finished network, its background statistics and golden embeddings."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import numpy as np
from data import link_others
from export import Exported
from files import write_bytes, write_json
from quantise import pooled
from settings import RecipeError, Settings

from edgeinc.backbone import Backbone
from edgeinc.cards import (
    Asset,
    EmbeddingTensor,
    InputSpec,
    InputTensor,
    ModelCard,
    ModelFile,
    Quantization,
    dump_card,
    read_card,
)
from edgeinc.catalogue import measure_background
from edgeinc.catalogue.golden import scale_of
from edgeinc.parts import KINDS, draw_part

GOLDEN = 12
AGREEMENT = 0.995  # least mean cosine between the two files


def write_card(settings: Settings, made: Exported, folder: Path, notes: str) -> ModelCard:
    """Write weights, card, background and golden embeddings into `folder`.

    The background needs the network and the card needs the background, so the card is written
    twice: first without it. Raises `RecipeError` where the training is unfinished or the two files
    disagree.
    """
    if not made.finished:
        raise RecipeError("The training is not at its end; run the step `train` before `card`.")
    if made.agreement < AGREEMENT:
        raise RecipeError(
            f"The embeddings of the two files have a mean cosine of {made.agreement:.4f}, less than"
            f" {AGREEMENT}; raise calibration, or train longer."
        )
    name = settings.name
    for suffix, model in (("onnx", made.onnx), ("tflite", made.tflite)):
        write_bytes(folder / f"{name}.{suffix}", model)
    path = folder / f"{name}.yaml"
    _write(path, _card(settings, made, None, notes))
    # What stages with `hold_out` leave out is no background either: it serves as strangers.
    with tempfile.TemporaryDirectory() as scratch:
        world = link_others(settings, Path(scratch))
        statistics = measure_background(path, world, most=settings.background).content
    at = f"{name}.background.npz"
    write_bytes(folder / at, statistics)
    asset = Asset(at, len(statistics), hashlib.sha256(statistics).hexdigest(), None)
    _write(path, _card(settings, made, asset, notes))
    write_golden(path, folder / f"{name}.golden.json")
    return read_card(path)


def write_golden(card: Path, out: Path) -> None:
    """Embeddings of drawn parts, in hex, with their scale and the sha256 of their pictures."""
    rows = []
    with Backbone.open(card, threads=1) as backbone:
        (file,) = (one for one in read_card(card).files if one.runtime == backbone.runtime)
        for seed in range(GOLDEN):
            kind = KINDS[seed % len(KINDS)]
            picture = draw_part(kind, np.random.default_rng(seed))
            (embedding,) = backbone.embed([picture])
            rows.append(
                {
                    "kind": kind,
                    "seed": seed,
                    "picture": hashlib.sha256(picture.tobytes()).hexdigest(),
                    "scale": scale_of(file),
                    "embedding": embedding.astype(np.uint8).tobytes().hex(),
                }
            )
    write_json(out, rows)


def _card(settings: Settings, made: Exported, background: Asset | None, notes: str) -> ModelCard:
    scale, size = pooled(made.quantised), settings.input_size
    middle = (128.0, 128.0, 128.0)
    # The weights' own digest: two trainings of the same recipe are two networks.
    digest = hashlib.sha256(made.tflite).hexdigest()[:12]
    return ModelCard(
        name=settings.name,
        title=f"{settings.name}, {settings.embedding} numbers from {size} pixels, int8",
        licence=settings.licence,
        homepage=None,
        network=f"{settings.name} {digest}",
        input=InputSpec(size, size, "RGB", middle, middle, "center"),
        layer="global average pool",
        dim=settings.embedding,
        nonnegative=True,
        files=tuple(
            ModelFile(
                name=f"{settings.name}.{suffix}",
                bytes=len(model),
                sha256=hashlib.sha256(model).hexdigest(),
                source=None,
                runtime="onnx" if suffix == "onnx" else "litert",
                input=InputTensor(
                    "NCHW" if suffix == "onnx" else "NHWC",
                    "uint8" if suffix == "onnx" else "int8",
                    Quantization(1 / 128, 128 if suffix == "onnx" else 0),
                ),
                embedding=EmbeddingTensor(
                    "embedding",
                    "uint8" if suffix == "onnx" else "int8",
                    Quantization(float(scale.scale), 0 if suffix == "onnx" else -128),
                ),
            )
            for suffix, model in (("tflite", made.tflite), ("onnx", made.onnx))
        ),
        background=background,
        notes=notes,
    )


def _write(path: Path, card: ModelCard) -> None:
    write_bytes(path, dump_card(card).encode())
