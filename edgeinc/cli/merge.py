"""`edgeinc merge`."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeinc.cli.common import Settings, emit, open_store, pass_settings
from edgeinc.cli.options import Place, takes

if TYPE_CHECKING:
    from edgeinc.store.merging.shared import Source

__all__ = ["merge_command"]

WAIT = 5.0
"""Longest wait for another process's lock, seconds."""


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
    from edgeinc.store.merging.sources import open_source

    with ExitStack() as stack:
        opened: list[str | Path | Source] = [*others]
        if not os.path.lexists(settings.store):
            # None is made for what turns out not to be sound.
            opened = [stack.enter_context(open_source(one, timeout=WAIT)) for one in others]
        with open_store(settings, like=others[0]) as store:
            change = store.merge(opened, timeout=WAIT)
    emit(
        settings,
        {"added": change.came, "removed": change.went},
        f"{change.came} added, {change.went} removed",
    )
