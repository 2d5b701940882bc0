"""`edgeinc models verify`: a model's files, and whether they agree."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from edgeinc.cli.common import Settings, emit, note, pass_settings
from edgeinc.cli.options import Place, takes

if TYPE_CHECKING:
    from edgeinc.cards import ModelCard
    from edgeinc.catalogue import Check, Comparison, Pair

__all__ = ["verify_command"]


@takes("device", "strict")
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
    quantisation, or different. A device that --device names and that runs none of the files is a
    fault; with --strict so is one that runs only a part of one.
    """
    from edgeinc.catalogue import compare, verify

    found = verify(name)
    checks = [{"file": c.name, "ok": c.ok, "message": c.message} for c in found.checks]
    lines = [_line(found.card, check) for check in found.checks]
    record: dict[str, Any] = {"name": found.card.name, "ok": found.ok, "checks": checks}
    if not found.ok:
        empty = {"pictures": 0, "runs": [], "pairs": [], "left_out": [], "failed": []}
        emit(settings, {**record, **empty}, "\n".join(lines))
        note(f"edgeinc: {found.refused} cannot be used: {found.advice}")
        return 1
    compared = compare(found.card, pictures, device=settings.device, strict=settings.strict)
    record |= {
        "ok": compared.ok,
        "pictures": compared.pictures,
        "runs": [asdict(run) for run in compared.runs],
        "pairs": [pair._asdict() for pair in compared.pairs],
        "left_out": list(compared.left_out),
        "failed": list(compared.failed),
    }
    emit(settings, record, "\n".join([*lines, *_lines(compared)]))
    for sentence in compared.left_out:
        note(f"not compared: {sentence}")
    wrong = list(compared.failed)
    if not compared.agree:
        wrong.append(
            f"{found.card.name} gives other embeddings in one place than in another; "
            f"{compared.advice}."
        )
    if wrong:
        note(f"edgeinc: {' '.join(wrong)}")
    return 0 if compared.ok else 1


def _line(card: ModelCard, check: Check) -> str:
    """What was found out about a file, after its name; errors begin with that, or its path."""
    from edgeinc.weights import weights_dir

    folders = [folder for folder in (card.folder, weights_dir(card)) if folder is not None]
    named = (f"{check.name} ", *(f"{folder / check.name} " for folder in folders))
    return check.message if check.message.startswith(named) else f"{check.name} {check.message}"


def _lines(compared: Comparison) -> list[str]:
    if not compared.runs:
        return ["no file could be run, and none compared"]
    if not compared.pairs:
        return [f"one run of {compared.pictures} pictures, and none to compare it with"]
    return [f"on {compared.pictures} pictures:", *(_words(pair) for pair in compared.pairs)]


def _words(pair: Pair) -> str:
    how = {"equal": "equal bit for bit", "one step": "within one step"}.get(
        pair.verdict, f"{pair.steps:g} steps apart at most"
    )
    more = "" if pair.verdict == "equal" else f", cosine {pair.cosine:.6f} (least {pair.least:.6f})"
    return f"  {pair.one} and {pair.other}: {how}{more}"
