"""The last steps: files, card, figures; each from the checkpoint, so each can be run again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from card import NAME, write_card
from data import Pictures, held_out, square
from export import Exported, export
from files import write_bytes, write_json
from judge import coral, features, read_judge, shots
from numpy.typing import NDArray
from onnx_file import Float
from sessions import Onnx, TfLite, milliseconds
from settings import RecipeError, Settings
from shots import episodes, feature

from edgeinc.cards import dump_card, read_card
from edgeinc.features import Background
from edgeinc.runtimes.cut_tflite import cut
from edgeinc.weights import find_card

HEADS = ("auto", "ridge", "lda", "proto", "knn")
RIVAL = "tf2_mobilenet_v2_1.0_224_ptq"
ABOUT = """\
What: a residual network of dense 3x3 convolutions, grown by the recipe in models/pebble/recipe by
imitating two teachers on pictures of Tiny-ImageNet; embeddings for telling things apart on devices.
Limits: trained on {pictures} pictures of {stored} pixels in {classes} classes of ImageNet. Fine
detail, text, faces and medical or aerial pictures are outside of what it has seen. Not for
decisions about people. On things of ImageNet's classes its results are transfer, not novelty.
Data: Tiny-ImageNet (Stanford CS231n), pictures of ImageNet, whose terms allow research use of the
pictures; no picture is in the weights' files or in this project.
Teachers: {teachers}, of google-coral/test_data, Apache-2.0.
"""
log = logging.getLogger("pebble.finish")


def finish(step: str, settings: Settings, pictures: Pictures, run: Path, out: Path) -> None:
    """Run `export`, `card` or `judge`."""
    made = export(settings, pictures, run)
    if step == "card":
        notes = ABOUT.format(
            pictures=len(pictures.pixels),
            stored=settings.stored_size,
            classes=len(pictures.names),
            teachers=" and ".join(settings.teachers),
        )
        write_card(settings, made, out, notes)
    elif step == "judge":
        figures = measure(settings, pictures, made, out)
        write_json(run / "figures.json", figures)
        table = as_table(figures)
        write_bytes(out / "figures.md", table.encode())
        card = read_card(out / f"{NAME}.yaml")
        notes = (card.notes or "").split("\nFigures")[0].rstrip("\n") + "\n\nFigures\n" + table
        text = dump_card(replace(card, notes=notes))
        write_bytes(out / f"{NAME}.yaml", text.encode())


def measure(
    settings: Settings, pictures: Pictures, made: Exported, out: Path
) -> dict[str, dict[str, str]]:
    """All figures: a table's rows, each a mapping of column to text."""
    if settings.judge is None or not settings.judge.is_dir():
        raise RecipeError("There are no pictures to judge with; give a folder with --judge.")
    size = settings.input_size
    shown = read_judge(settings.judge, size)
    background = Background.from_bytes((out / f"{NAME}.background.npz").read_bytes())
    exact = Float(made.steps, size)
    forms: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.generic]]] = {
        "float": lambda picture: fixed_point(exact.all(picture)["embedding"]),
        "int8 ONNX": Onnx(made.onnx),
        "int8 TFLite": TfLite(made.tflite),
    }
    figures: dict[str, dict[str, str]] = {}
    for name, embed in forms.items():
        rows = features(embed, shown)
        row = {"split": str(coral(rows, shown.labels, "auto", background))}
        for head in HEADS if name == "int8 TFLite" else HEADS[:1]:
            key = "5 shots" if head == "auto" else f"5 shots, {head}"
            found = shots(rows, shown.labels, head, background, count=5, draws=20)
            row[key] = str(found)
            if head != "auto":
                row[f"split, {head}"] = str(coral(rows, shown.labels, head, background))
        figures[name] = row
        log.info("%s: %s", name, row)
    rival = settings.teachers_folder / f"{RIVAL}.tflite"
    if rival.is_file():
        # Without its classifier, as the SDK runs it.
        tensor = find_card(RIVAL).files[0].embedding.tensor
        other = TfLite(cut(rival.read_bytes(), tensor))
        figures["episodes"] = _episodes(settings, pictures, made, other)
        figures["cost"] = _cost(settings, made, other)
    figures["files"] = {
        "ONNX, bytes": str(len(made.onnx)),
        "TFLite, bytes": str(len(made.tflite)),
        "cosine between them": f"{made.agreement:.5f}",
    }
    return figures


def _cost(settings: Settings, made: Exported, rival: TfLite) -> dict[str, str]:
    """Time of one picture in LiteRT, one thread, beside the rival in the same run."""
    ours, theirs = "pebble, LiteRT, ms", "MobileNet V2, LiteRT, ms"
    times = milliseconds({ours: (TfLite(made.tflite), settings.input_size), theirs: (rival, 224)})
    return {
        **{name: f"{value:.2f}" for name, value in times.items()},
        "ratio": f"{times[ours] / times[theirs]:.2f}",
        "pebble, million multiply-accumulates": f"{made.macs / 1e6:.0f}",
        "MobileNet V2, million multiply-accumulates": "301",
    }


def _episodes(
    settings: Settings, pictures: Pictures, made: Exported, rival: TfLite
) -> dict[str, str]:
    """20-way 5-shot on pictures beside the training set (`val`), of the 40 fixed classes."""
    chosen = held_out(replace(settings, held_out_classes=40), pictures.names)
    names = [pictures.names[i] for i in chosen]
    val = settings.pictures / "val"
    if not val.is_dir():
        return {"none": f"{settings.pictures} has no val folder"}
    found = {}
    for name, network, size in (
        ("pebble", TfLite(made.tflite), settings.input_size),
        ("MobileNet V2", rival, 224),
    ):
        shown = _of_classes(val, names, size)
        rows = np.concatenate([network(picture) for picture in shown[0]])
        mean, half = episodes(feature(rows), shown[1], ways=20, shots=5, queries=15, draws=600)
        found[name] = f"{100 * mean:.1f} ± {100 * half:.1f}"
    seen = "held out of training" if settings.held_out_classes else "other pictures of them taught"
    return {**found, "classes": seen}


def _of_classes(
    folder: Path, names: list[str], size: int
) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64]]:
    from data import list_pictures, read_rgb

    pixels, labels = [], []
    for label, path in list_pictures(folder):
        image = read_rgb(path) if label in names else None
        if image is not None:
            pixels.append(square(image, size))
            labels.append(names.index(label))
    return pixels, np.array(labels, np.int64)


def as_table(figures: dict[str, dict[str, str]]) -> str:
    """Markdown: one line a figure."""
    lines = ["| of | figure | value |", "|---|---|---|"]
    lines += [
        f"| {of} | {key} | {value} |" for of, row in figures.items() for key, value in row.items()
    ]
    return "\n".join(lines) + "\n"


def fixed_point(embedding: NDArray[np.float32]) -> NDArray[np.int16]:
    """Rows of floats as int16; a row's scale cancels in its feature."""
    top = np.maximum(np.abs(embedding).max(1, keepdims=True), 1e-12)
    return np.asarray(np.rint(embedding / top * 32767), np.int16)
