"""`edgeinc check`."""

from __future__ import annotations

from dataclasses import asdict

import click

from edgeinc.cli.common import Settings, emit, note, open_engine, pass_settings, printable
from edgeinc.cli.options import Place, takes

__all__ = ["check_command"]

WEAKEST = 5
"""Classes that are listed."""


@takes("store", "backbone", "device", "strict", "threads", "head")
@click.command("check")
@click.option(
    "--plot", metavar="FILE.png", type=Place(), help="Draw a map of the classes and confusion."
)
@pass_settings
def check_command(settings: Settings, plot: str | None) -> None:
    """Take a second look at everything enrolled.

    Wrong labels, copies, outliers, classes that are taken for each other, the weakest ones, and
    whether more examples would help. Nothing is changed.
    """
    from edgeinc.review import found_again, layout, sentences

    if plot is not None:
        from edgeinc.plot import check_place

        check_place(plot)
    with open_engine(settings) as engine:
        review = engine.review()
        places = None if plot is None else layout(engine.fitted().snapshot)
    lines = [found_again(review)]
    weak = [look for look in review.classes if look.accuracy is not None and look.accuracy < 1]
    lines += [f"{w.accuracy:8.3f}  {w.label} ({w.examples})" for w in weak[:WEAKEST]]
    lines += [*map(printable, sentences(review)), review.enough]
    emit(settings, asdict(review), "\n".join(lines))
    if plot is not None and places is not None:
        from edgeinc.plot import plot_review

        plot_review(review, places, plot)
        note(f"plot written to {plot}")
