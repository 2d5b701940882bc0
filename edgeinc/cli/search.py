"""`edgeinc search`."""

from __future__ import annotations

from dataclasses import asdict

import click

from edgeinc.cli.common import Settings, emit, name_of, open_engine, pass_settings, printable
from edgeinc.cli.options import Place, takes

__all__ = ["search_command"]


@takes("store", "backbone", "device", "strict", "threads", "tta")
@click.command("search")
@click.argument("file", type=Place())
@click.option("-k", default=5, show_default=True, type=click.IntRange(min=1), help="How many.")
@pass_settings
def search_command(settings: Settings, file: str, k: int) -> None:
    """Find the enrolled examples nearest to a picture.

    This is content-based retrieval: nearest descriptors by cosine, best first.
    """
    with open_engine(settings) as engine:
        matches = engine.search(file, k=k)
    lines = [
        f"{m.similarity:.3f}  {name_of(m.label)}  {printable(m.source or '-')}  {m.id}"
        for m in matches
    ]
    emit(
        settings,
        {"matches": [asdict(m) for m in matches]},
        "\n".join(lines) or "nothing is enrolled",
    )
