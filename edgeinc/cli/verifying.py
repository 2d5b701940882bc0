"""`edgeinc models verify`: a model's files, and whether they agree."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from edgeinc.cli.common import Settings, emit, note, pass_settings
from edgeinc.cli.options import Place, takes

if TYPE_CHECKING:
    from edgeinc.catalogue import Comparison, Pair

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
    # Some messages begin with the file's name, as errors do wherever else they are read.
    lines = [f"{c.name} {c.message.removeprefix(f'{c.name} ')}" for c in found.checks]
    record: dict[str, Any] = {"name": found.card.name, "ok": found.ok, "checks": checks}
    if not found.ok:
        empty = {"pictures": 0, "runs": [], "pairs": [], "left_out": [], "failed": []}
        emit(settings, {**record, **empty}, "\n".join(lines))
        note(f"edgeinc: {found.card.name} cannot be used: {found.advice}")
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
    for sentence in compared.failed:
        note(f"edgeinc: {sentence}")
    if not compared.agree:
        note(
            f"edgeinc: {found.card.name} gives other embeddings in one place than in another; "
            f"{compared.advice}"
        )
    return 0 if compared.ok else 1


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
