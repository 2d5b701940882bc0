"""`edgeinc models`: cards and weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgeinc.cli.background import background_command
from edgeinc.cli.common import Settings, emit, note, pass_settings, progress

if TYPE_CHECKING:
    from edgeinc.cards import ModelCard
    from edgeinc.catalogue import Listed

__all__ = ["models_command"]

SHOWN_CANDIDATES = 8


@click.group("models")
def models_command() -> None:
    """List, fetch, add and check backbones."""


models_command.add_command(background_command)


@models_command.command("list")
@pass_settings
def list_command(settings: Settings) -> None:
    """List the models that there are."""
    from edgeinc.catalogue import catalogue

    listed = catalogue()
    models = [
        {
            "name": one.card.name,
            "runtime": one.runtime,
            "dim": one.card.dim,
            "installed": one.installed,
        }
        for one in listed
    ]
    wide = max((len(one.card.name) for one in listed), default=0)
    lines = [
        f"{one.card.name:{wide}}  {one.runtime:7s} {one.card.dim:5d}  "
        f"{_state(one):9s}  {one.card.title}"
        for one in listed
    ]
    for one in listed:
        if one.missing is not None:
            note(f"{one.card.name} is installed and cannot run: {one.missing}")
    emit(settings, {"models": models}, "\n".join(lines))


@models_command.command("show")
@click.argument("name")
@pass_settings
def show_command(settings: Settings, name: str) -> None:
    """Show a model's card.

    NAME is a model's name or the path of a card.
    """
    from edgeinc.cards import dump_card
    from edgeinc.catalogue import describe
    from edgeinc.weights import find_card, installed_path

    card = find_card(name)
    here = [asset.name for asset in card.assets if installed_path(card, asset) is not None]
    found = describe(card)
    wants = "" if found.missing is None else f"# cannot run here: {found.missing}\n"
    text = (
        f"# {card.folder}\n# fingerprint {card.fingerprint}\n"
        f"# installed: {', '.join(here) or 'nothing'}\n{wants}{dump_card(card)}"
    )
    record = {"name": card.name, "runtime": found.runtime, "installed": found.installed}
    emit(settings, {**record, "fingerprint": card.fingerprint, **_plain(card)}, text.rstrip())


@models_command.command("pull")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@pass_settings
def pull_command(settings: Settings, names: tuple[str, ...]) -> None:
    """Fetch the weights of models.

    $EDGEINC_MODELS (a folder or a base address) is tried before a card's own source; the
    sha256 in the card is checked either way.
    """
    from edgeinc.catalogue import pull
    from edgeinc.weights import find_card, weights_dir

    done, lines = [], []
    for card in [find_card(name) for name in names]:
        with progress(card.name) as report_progress:
            pulled = pull(card, progress=report_progress)
        for file in pulled.missing:
            note(f"{file} has no public source; EDGEINC_MODELS can name one that has it.")
        if pulled.without is not None:
            note(f"{card.name} has no classes of its own here: {pulled.without}")
        done.append(
            {
                "name": card.name,
                "fetched": list(pulled.fetched),
                "present": list(pulled.present),
                "missing": list(pulled.missing),
                "base_classes": pulled.classes,
            }
        )
        what = ", ".join(pulled.fetched) + " fetched" if pulled.fetched else "was here already"
        lines.append(f"{card.name}: {what}, in {weights_dir(card)}")
    emit(settings, {"models": done}, "\n".join(lines))


@models_command.command("add")
@click.argument("file", type=click.Path())
@click.option("--embedding", metavar="TENSOR", help="The embedding; else a pooled layer is taken.")
@click.option("--mean", metavar="M[,M,M]", help="Of the pixels, 0 to 255: real = (pixel-mean)/std.")
@click.option("--std", metavar="S[,S,S]", help="Of the pixels.")
@click.option("--color", type=click.Choice(["RGB", "BGR"]), default="RGB", show_default=True)
@click.option(
    "--crop", type=click.Choice(["center", "squash"]), default="center", show_default=True
)
@click.option("--licence", default="unknown", show_default=True, help="Of the weights.")
@click.option("--title", help="One line about the model.")
@click.option("--labels", metavar="FILE", type=click.Path(), help="Classes of its own classifier.")
@click.option("--nonnegative", is_flag=True, help="The embedding is never below zero.")
@click.option("--overwrite", is_flag=True, help="Replace a model added under that name.")
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
    overwrite: bool,
) -> None:
    """Make a model of a .tflite or .onnx file.

    Input and quantisation are read from the file. Without --embedding the tensors that
    could serve are listed, and the deepest pooled one is taken.
    """
    from edgeinc.catalogue import Preprocessing, add, candidates

    numbers = Preprocessing(_numbers(mean, "--mean"), _numbers(std, "--std"), color, crop)
    if embedding is None:
        _list_candidates(candidates(file))
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
    if card.classifier is None:
        note("no classifier of quantised rows lies behind the embedding: no --base-classes")
    elif card.labels is None:
        note(f"its {card.classifier.classes} own classes have no names: --labels gives them")
    text = f"{card.name} added, {card.dim} dimensions of {card.layer!r}, in {card.folder}"
    emit(settings, {"name": card.name, "folder": str(card.folder), **_plain(card)}, text)


@models_command.command("verify")
@click.argument("name")
@pass_settings
def verify_command(settings: Settings, name: str) -> int:
    """Check a model's files.

    Their sha256, then loading and running one picture.
    """
    from edgeinc.catalogue import verify

    found = verify(name)
    checks = [{"file": c.name, "ok": c.ok, "message": c.message} for c in found.checks]
    lines = [f"{c.name} {c.message}" for c in found.checks]
    emit(settings, {"name": found.card.name, "ok": found.ok, "checks": checks}, "\n".join(lines))
    if not found.ok:
        note(f"edgeinc: {found.card.name} cannot be used: {found.advice}")
    return 0 if found.ok else 1


def _state(one: Listed) -> str:
    """What a list says of a model's weights, in one word."""
    if one.missing is not None:
        return "unusable"
    return "installed" if one.installed else "-"


def _plain(card: ModelCard) -> dict[str, Any]:
    """What a card says, for JSON."""
    from dataclasses import asdict

    plain = asdict(card)
    return {key: plain[key] for key in plain if key not in ("name", "folder")}


def _numbers(text: str | None, option: str) -> list[float] | None:
    """One number or three, separated by commas."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as exc:
        raise click.BadParameter(
            "give one number, or three with commas", param_hint=option
        ) from exc


def _list_candidates(found: Any) -> None:
    note("tensors that could be the embedding (--embedding takes one):")
    for one in found.candidates[:SHOWN_CANDIDATES]:
        mark = "*" if one is found.proposed else " "
        shape = "x".join(str(side) for side in one.spec.shape)
        note(f"{mark} {one.spec.name}  {shape} {one.spec.dtype} ({one.operator})")
    if len(found.candidates) > SHOWN_CANDIDATES:
        note(f"  and {len(found.candidates) - SHOWN_CANDIDATES} more")
