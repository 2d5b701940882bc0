"""The last steps: files, card, figures; each from the checkpoint, so each can be run again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from card import write_card
from data import Pictures, held_out
from export import Exported, calibration, export, folded, read_checkpoint
from files import write_bytes, write_json
from judge import coral, features, judged, read_squares, shots
from numpy.typing import NDArray
from onnx_file import Float
from quantise import quantise
from sessions import Onnx, TfLite, milliseconds
from settings import RecipeError, Settings
from shots import episodes, feature
from tflite_file import tflite_model
from training import HELD_OUT

from edgeinc.backbone.opening import cut_network
from edgeinc.cards import dump_card, read_card
from edgeinc.features import Background
from edgeinc.weights import find_card, is_installed

HEADS = ("auto", "ridge", "lda", "proto", "knn")
RIVAL = "tf2_mobilenet_v2_1.0_224_ptq"
ABOUT = """\
What: a residual network of dense 3x3 convolutions, grown by the recipe in models/pebble/recipe by
imitating its teachers ({teachers}) on {pictures} pictures of {stored} pixels in
{classes} classes; embeddings for telling things apart on devices.
{about}"""
log = logging.getLogger("pebble.finish")


def finish(steps: list[str], settings: Settings, pictures: Pictures, run: Path, out: Path) -> None:
    """Run those of `export`, `card` and `judge` that are in `steps`; the files are made once.

    Raises `RecipeError` where nothing is trained, the training is not at its end (`card`), there is
    no card yet (`judge`).
    """
    made = export(settings, pictures, run)
    if "card" in steps:
        notes = ABOUT.format(
            pictures=len(pictures.pixels),
            stored=settings.stored_size,
            classes=len(pictures.names),
            teachers=", ".join(find_card(teacher).name for teacher in settings.teachers),
            about=settings.about,
        )
        write_card(settings, made, out, notes)
    if "judge" in steps:
        if settings.judge is None:
            log.warning("nothing is measured: no labelled pictures are given with --judge")
            return
        _judge(settings, pictures, made, run, out, settings.judge)


def _judge(
    settings: Settings, pictures: Pictures, made: Exported, run: Path, out: Path, judge: Path
) -> None:
    path = out / f"{settings.name}.yaml"
    if not (path.exists() and path.with_suffix(".background.npz").exists()):
        raise RecipeError(f"{path} has no card or no background; run the step `card` first.")
    figures = measure(settings, pictures, made, run, out, judge)
    write_json(run / "figures.json", figures)
    table = as_table(figures)
    write_bytes(out / "figures.md", table.encode())
    card = read_card(path)
    notes = (card.notes or "").split("\nFigures")[0].rstrip("\n") + "\n\nFigures\n" + table
    write_bytes(path, dump_card(replace(card, notes=notes)).encode())


def measure(
    settings: Settings, pictures: Pictures, made: Exported, run: Path, out: Path, judge: Path
) -> dict[str, dict[str, str]]:
    """All figures: a table's rows, each a mapping of column to text."""
    size = settings.input_size
    shown = read_squares(judge, judged(judge), size)
    background = Background.from_bytes((out / f"{settings.name}.background.npz").read_bytes())
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
    rival = find_card(RIVAL)
    if is_installed(rival):
        # Without its classifier, as the SDK runs it.
        other = TfLite(cut_network(rival, rival.files[0], rival.files[0].embedding.tensor))
        figures["episodes"] = _episodes(settings, pictures, run, other)
        figures["cost"] = _cost(settings, made, other)
    else:
        log.warning("%s is not installed: neither episodes nor cost are measured", RIVAL)
    figures["files"] = {
        "ONNX, bytes": str(len(made.onnx)),
        "TFLite, bytes": str(len(made.tflite)),
        "cosine between them": f"{made.agreement:.5f}",
    }
    return figures


def _cost(settings: Settings, made: Exported, rival: TfLite) -> dict[str, str]:
    """Time of one picture in LiteRT, one thread, beside the rival in the same run."""
    ours, theirs = f"{settings.name}, LiteRT, ms", "MobileNet V2, LiteRT, ms"
    times = milliseconds({ours: (TfLite(made.tflite), settings.input_size), theirs: (rival, 224)})
    return {
        **{name: f"{value:.2f}" for name, value in times.items()},
        "ratio": f"{times[ours] / times[theirs]:.2f}",
        f"{settings.name}, million multiply-accumulates": f"{made.macs / 1e6:.0f}",
    }


def _episodes(settings: Settings, pictures: Pictures, run: Path, rival: TfLite) -> dict[str, str]:
    """20-way 5-shot on classes that the network had not seen when it stood where it is taken.

    That is at the end of the last stage that left them out; the pictures are those that lie
    beside the training set (`val`). Both networks are int8.
    """
    names = [pictures.names[i] for i in held_out(settings, pictures.names)]
    val, kept = settings.pictures / "val", run / HELD_OUT
    if not val.is_dir() or len(names) < 20 or not kept.exists():
        return {"none": "it takes 20 held-out classes, a stage that left them out, a val folder"}
    steps = folded(read_checkpoint(kept)["averaged"])
    size = settings.input_size
    quantised = quantise(steps, calibration(settings, pictures, 1), size)
    found = {}
    for name, network, side in (
        (f"{settings.name} before it saw them", TfLite(tflite_model(quantised)), size),
        ("MobileNet V2", rival, 224),
    ):
        shown = read_squares(val, names, side)
        rows = np.concatenate([network(picture) for picture in shown.pixels])
        mean, half = episodes(feature(rows), shown.labels, ways=20, shots=5, queries=15, draws=600)
        found[name] = (100 * mean, 100 * half)
    ours, theirs = (mean for mean, _ in found.values())
    table = {name: f"{mean:.1f} ± {half:.1f}" for name, (mean, half) in found.items()}
    return {**table, "ratio": f"{ours / theirs:.2f}"}


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
