"""`edgeinc models background`: statistics of a card's features over a folder of pictures."""

from __future__ import annotations

import click

from edgeinc.cli.common import Settings, emit, note, pass_settings, progress, warn
from edgeinc.cli.options import Place, takes

__all__ = ["background_command"]


@takes("device", "strict", "threads")
@click.command("background")
@click.argument("name", metavar="NAME|CARD")
@click.argument("folder", metavar="DIR", type=Place())
@click.option(
    "-o",
    "--output",
    metavar="OUT.npz",
    type=Place(),
    help="Only write the statistics there, and print the lines of a card that name them.",
)
@click.option(
    "--most",
    metavar="N",
    type=click.IntRange(min=1),
    default=20_000,
    show_default=True,
    help="Of more pictures, so many are drawn, always the same.",
)
@pass_settings
def background_command(
    settings: Settings, name: str, folder: str, output: str | None, most: int
) -> None:
    """Measure what a model's features look like on pictures of nothing in particular.

    Any pictures of your world will do, without labels, 100 at least and thousands better. The
    card gets the result; of a card that ships with edgeinc a copy of your own does.
    """
    from edgeinc.catalogue import add_background

    with progress("Embedding") as report_progress:
        done = add_background(
            name,
            folder,
            output=output,
            most=most,
            device=settings.device,
            strict=settings.strict,
            threads=settings.threads,
            progress=report_progress,
        )
    warn(done.skipped)
    text = f"{done.card.name}: background of {done.count} pictures, in {done.path}"
    if output is not None:
        note(text)
        text = done.lines.rstrip()
    elif done.copied:
        note(
            f"{done.card.name} ships with edgeinc; your copy goes before it from now on. To go "
            f"back, delete {done.card.folder}"
        )
    record = {
        "name": done.card.name,
        "count": done.count,
        "skipped": len(done.skipped),
        "file": str(done.path),
        "bytes": done.asset.bytes,
        "sha256": done.asset.sha256,
    }
    emit(settings, record, text)
