"""`edgeinc models verify`: a model's files, and whether they agree."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from edgeinc.cli.common import Settings, emit, note, pass_settings
from edgeinc.cli.options import Place
from edgeinc.devices import is_cpu
from edgeinc.errors import EdgeincError

if TYPE_CHECKING:
    from edgeinc.cards import ModelCard
    from edgeinc.catalogue import Comparison, Pair, Verification

__all__ = ["verify_command"]


@click.command("verify")
@click.argument("name", metavar="NAME|CARD")
@click.option(
    "--pictures",
    metavar="DIR",
    type=Place(),
    help="Compare on pictures from here; else on parts that are drawn.",
)
@pass_settings
def verify_command(settings: Settings, name: str, pictures: str | None) -> int:
    """Check a model's files, and whether they agree.

    Their sha256, then loading and running one picture. Then the same pictures go through every
    file on every device that is here: each pair is equal bit for bit, within one step of the
    quantisation, or different.
    """
    from edgeinc.catalogue import compare, verify

    found = verify(name)
    checks = [{"file": c.name, "ok": c.ok, "message": c.message} for c in found.checks]
    # Some messages begin with the file's name, as errors do wherever else they are read.
    lines = [f"{c.name} {c.message.removeprefix(f'{c.name} ')}" for c in found.checks]
    record: dict[str, Any] = {"name": found.card.name, "ok": found.ok, "checks": checks}
    if not found.ok:
        empty = {"pictures": 0, "runs": [], "pairs": [], "left_out": []}
        emit(settings, {**record, **empty}, "\n".join(lines))
        note(f"edgeinc: {found.card.name} cannot be used: {_advice(found)}")
        return 1
    compared = compare(found.card, pictures, device=settings.device)
    record |= {
        "ok": compared.ok,
        "pictures": compared.pictures,
        "runs": [asdict(run) for run in compared.runs],
        "pairs": [pair._asdict() for pair in compared.pairs],
        "left_out": list(compared.left_out),
    }
    emit(settings, record, "\n".join([*lines, *_lines(compared)]))
    for sentence in compared.left_out:
        note(f"not compared: {sentence}")
    if not compared.ok:
        note(
            f"edgeinc: {found.card.name} gives other embeddings in one place than in another; use "
            f"one file and one device for a store{_other_way(compared)}"
        )
    return 0 if compared.ok else 1


def _advice(found: Verification) -> str:
    """What to do about a model that cannot be used; fetching files that are sound is no help."""
    files = {file.name for file in found.card.files}
    others = any(check.ok is False and check.name not in files for check in found.checks)
    waiting = any(check.missing is not None for check in found.checks)
    if others or waiting or not _are_sound(found.card):
        return found.advice
    if any(check.ok is False for check in found.checks):
        return (
            "its files are what its card says, and do not run: the fault may be a device's library "
            "or a runtime; see `edgeinc doctor`, or use another model"
        )
    return "no device that its files are for is here; connect or install one, or use another model"


def _are_sound(card: ModelCard) -> bool:
    """Whether every weight file is here, with the right sha256."""
    from edgeinc.weights import load_file

    try:
        for file in card.files:
            load_file(card, file)
    except EdgeincError:
        return False
    return True


def _other_way(compared: Comparison) -> str:
    """What else can be done; nothing where the files agree on the CPU, so that a device drifts."""
    from edgeinc.catalogue.comparing import GOLDEN, LEAST_COSINE

    plain = {run.name for run in compared.runs if is_cpu(run.device) or run.runtime == GOLDEN}
    pairs = [pair for pair in compared.pairs if {pair.one, pair.other} <= plain]
    if pairs and all(pair.cosine >= LEAST_COSINE for pair in pairs):
        apart = [run.name for run in compared.runs if run.name not in plain]
        return f"; what differs is the device, not the files: {', '.join(apart)}"
    return ", or fetch the files again"


def _lines(compared: Comparison) -> list[str]:
    if not compared.pairs:
        return [f"one run of {compared.pictures} pictures, and none to compare it with"]
    return [f"on {compared.pictures} pictures:", *(_words(pair) for pair in compared.pairs)]


def _words(pair: Pair) -> str:
    how = {"equal": "equal bit for bit", "one step": "within one step"}.get(
        pair.verdict, f"{pair.steps:g} steps apart at most"
    )
    more = "" if pair.verdict == "equal" else f", cosine {pair.cosine:.6f} (least {pair.least:.6f})"
    return f"  {pair.one} and {pair.other}: {how}{more}"
