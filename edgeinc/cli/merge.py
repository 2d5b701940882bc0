"""`edgeinc merge`."""

from __future__ import annotations

import click

from edgeinc.cli.common import Settings, emit, pass_settings
from edgeinc.cli.options import Place, takes

__all__ = ["merge_command"]


@takes("store", "backbone")
@click.command("merge")
@click.argument("others", metavar="OTHER...", nargs=-1, required=True, type=Place())
@pass_settings
def merge_command(settings: Settings, others: tuple[str, ...]) -> None:
    """Add what other stores, or archives of stores, hold.

    All of them in one transaction. The others are only read. What was forgotten in any of
    them is forgotten, what was purged in any of them is destroyed here too; merging again
    changes nothing. A store that is not there is made, with the backbone of the first.
    """
    from edgeinc.engine import merge_stores

    done = merge_stores(settings.store, others, backbone=settings.backbone)
    emit(
        settings,
        {"added": done.added, "removed": done.removed},
        f"{done.added} added, {done.removed} removed",
    )
