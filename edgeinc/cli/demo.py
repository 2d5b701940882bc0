"""`edgeinc demo`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import click

from edgeinc.cli.common import Settings, note, open_engine, pass_settings
from edgeinc.cli.options import Place, takes

__all__ = ["demo_command"]


@takes("backbone", "device", "strict", "threads", "head", "base_classes", "tta")
@click.command("demo")
@click.option(
    "--shots",
    default=5,
    show_default=True,
    type=click.IntRange(min=1),
    help="Pictures a class to learn from.",
)
@click.option(
    "--stream",
    default=100,
    show_default=True,
    type=click.IntRange(min=1),
    help="Pictures to recognise.",
)
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of what is drawn."
)
@click.option(
    "-o",
    "--output",
    default="demo-output/parts.png",
    show_default=True,
    metavar="FILE",
    type=Place(dir_okay=False),
    help="The annotated picture to write.",
)
@pass_settings
def demo_command(settings: Settings, shots: int, stream: int, seed: int, output: str) -> None:
    """Learn and recognise parts that are drawn on the spot.

    Uses a store of its own, which is thrown away. The last line on stdout is JSON.
    """
    from edgeinc.demo import demo_table, run_demo

    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder, "demo.db"))
        with open_engine(settings._replace(store=store)) as engine:
            result = run_demo(engine, output, shots=shots, stream=stream, seed=seed, on_event=note)
    for line in ("", *demo_table(result).splitlines(), f"picture: {result.picture}"):
        note(line)
    record = {"top1": round(result.top1, 6), "n": result.n, "picture": str(result.picture)}
    click.echo(json.dumps(record))
