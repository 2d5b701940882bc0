"""`edgeinc models`: cards and weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgeinc.cli.adding import add_command
from edgeinc.cli.background import background_command
from edgeinc.cli.common import Settings, emit, note, pass_settings, plain_card, printable, progress
from edgeinc.cli.options import takes
from edgeinc.cli.verifying import verify_command

if TYPE_CHECKING:
    from edgeinc.catalogue import Listed

__all__ = ["models_command"]


@takes()
@click.group("models")
def models_command() -> None:
    """List, fetch, add and check backbones."""


for command in (add_command, background_command, verify_command):
    models_command.add_command(command)


@takes()
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
        f"{_state(one):9s}  {printable(one.card.title)}"
        for one in listed
    ]
    for one in listed:
        if one.missing is not None:
            note(f"{one.card.name} is installed and cannot run: {one.missing}")
    emit(settings, {"models": models}, "\n".join(lines))


@takes()
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
    emit(settings, {**record, "fingerprint": card.fingerprint, **plain_card(card)}, text.rstrip())


@takes()
@models_command.command("pull")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@pass_settings
def pull_command(settings: Settings, names: tuple[str, ...]) -> None:
    """Fetch the weights of models.

    $EDGEINC_MODELS (a folder or a base address) is tried before a card's own source; the
    sha256 in the card is checked either way.
    """
    from edgeinc.catalogue import pull
    from edgeinc.weights import find_card, installed_path, weights_dir

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
        if pulled.fetched:
            what, folders = f"{', '.join(pulled.fetched)} fetched", [str(weights_dir(card))]
        else:
            # They lie beside the card, or where they were fetched to, or some here and some there.
            places = [installed_path(card, one) for one in card.assets]
            what, folders = "was here already", [str(path.parent) for path in places if path]
        lines.append(f"{card.name}: {what}, in {' and '.join(dict.fromkeys(folders))}")
    emit(settings, {"models": done}, "\n".join(lines))


def _state(one: Listed) -> str:
    """What a list says of a model's weights, in one word."""
    if one.missing is not None:
        return "unusable"
    return "installed" if one.installed else "-"
