"""`edgeinc models add`: a card for a network of one's own."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from edgeinc.cli.common import Settings, emit, note, pass_settings, plain_card, warn
from edgeinc.cli.options import Place, is_given, takes

if TYPE_CHECKING:
    from edgeinc.cards import ModelCard
    from edgeinc.catalogue import Quantized

__all__ = ["add_command"]

SHOWN_CANDIDATES = 8


@takes()
@click.command("add")
@click.argument("file", type=Place())
@click.option("--embedding", metavar="TENSOR", help="The embedding; else a pooled layer is taken.")
@click.option("--mean", metavar="M[,M,M]", help="Of the pixels, 0 to 255: real = (pixel-mean)/std.")
@click.option("--std", metavar="S[,S,S]", help="Of the pixels.")
@click.option("--color", type=click.Choice(["RGB", "BGR"]), default="RGB", show_default=True)
@click.option(
    "--crop", type=click.Choice(["center", "squash"]), default="center", show_default=True
)
@click.option("--licence", default="unknown", show_default=True, help="Of the weights.")
@click.option("--title", help="One line about the model.")
@click.option("--labels", metavar="FILE", type=Place(), help="Classes of its own classifier.")
@click.option("--nonnegative", is_flag=True, help="The embedding is never below zero.")
@click.option(
    "--quantize",
    metavar="DIR",
    type=Place(),
    help="Make a float .onnx file int8, on pictures of what it will see: 40 at least.",
)
@click.option(
    "--least-cosine",
    metavar="C",
    type=click.FloatRange(0, 1),
    default=0.98,
    show_default=True,
    help="With --quantize: of float and int8 embeddings, in the mean; below it nothing is added.",
)
@click.option("--overwrite", is_flag=True, help="Take the place of a model of that name.")
@pass_settings
def add_command(
    settings: Settings,
    file: str,
    embedding: str | None,
    mean: str | None,
    std: str | None,
    color: Any,
    crop: Any,
    licence: str,
    title: str | None,
    labels: str | None,
    nonnegative: bool,
    quantize: str | None,
    least_cosine: float,
    overwrite: bool,
) -> None:
    """Make a model of a .tflite or .onnx file.

    Input and quantisation are read from the file. Without --embedding the tensors that
    could serve are listed, and the deepest pooled one is taken. With --quantize the network
    is cut there, made int8, and compared with itself in float on pictures held out; a single
    dense layer behind it is kept as the network's own classes.
    """
    from edgeinc.catalogue import Preprocessing, add, add_quantized, candidates

    if quantize is None and is_given(click.get_current_context(), "least_cosine"):
        raise click.UsageError("--least-cosine is for --quantize DIR; give both, or leave it out.")
    numbers = Preprocessing(_numbers(mean, "--mean"), _numbers(std, "--std"), color, crop)
    if embedding is None:
        _list_candidates(candidates(file))
    if quantize is not None:
        done = add_quantized(
            file,
            quantize,
            embedding=embedding,
            preprocessing=numbers,
            licence=licence,
            title=title,
            labels=labels,
            nonnegative=nonnegative,
            overwrite=overwrite,
            least_cosine=least_cosine,
            note=note,
        )
        _tell_quantized(settings, done)
        return
    card = add(
        file,
        embedding=embedding,
        preprocessing=numbers,
        licence=licence,
        title=title,
        labels=labels,
        nonnegative=nonnegative,
        overwrite=overwrite,
    )
    _note_classes(card, "classifier of quantised rows lies behind the embedding")
    text = f"{card.name} added, {card.dim} dimensions of {card.layer!r}, in {card.folder}"
    record = {"name": card.name, "folder": str(card.folder), **plain_card(card)}
    emit(settings, {**record, "quantized": None}, text)


def _tell_quantized(settings: Settings, done: Quantized) -> None:
    warn(done.skipped)
    card = done.card
    _note_classes(card, "single dense layer behind an embedding of integers")
    measured = {key: value for key, value in asdict(done).items() if key not in ("card", "skipped")}
    record = {"name": card.name, "folder": str(card.folder), **plain_card(card)}
    quantized = {**measured, "skipped": len(done.skipped)}
    text = f"{card.name} added in int8, {card.dim} dimensions, in {card.folder}: {done.words}"
    emit(settings, {**record, "quantized": quantized}, text)


def _note_classes(card: ModelCard, wanted: str) -> None:
    """What there is of the network's own classes."""
    if card.classifier is None:
        unused = "" if card.labels is None else f", and {card.labels.name} names nothing"
        note(f"no {wanted}: no --base-classes{unused}")
    elif card.labels is None:
        note(f"its {card.classifier.classes} own classes have no names: --labels gives them")


def _numbers(text: str | None, option: str) -> list[float] | None:
    """One number or three, separated by commas."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as exc:
        raise click.BadParameter(
            "give one number, or three with commas.", param_hint=option
        ) from exc


def _list_candidates(found: Any) -> None:
    note("tensors that could be the embedding (--embedding takes one):")
    for one in found.candidates[:SHOWN_CANDIDATES]:
        mark = "*" if one is found.proposed else " "
        shape = "x".join(str(side) for side in one.spec.shape)
        note(f"{mark} {one.spec.name}  {shape} {one.spec.dtype} ({one.operator})")
    if len(found.candidates) > SHOWN_CANDIDATES:
        note(f"  and {len(found.candidates) - SHOWN_CANDIDATES} more")
