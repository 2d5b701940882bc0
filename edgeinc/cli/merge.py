"""`edgeinc merge`."""

from __future__ import annotations

import click

from edgeinc.cli.common import Settings, emit, open_store, pass_settings

__all__ = ["merge_command"]


@click.command("merge")
@click.argument("others", metavar="OTHER...", nargs=-1, required=True, type=click.Path())
@pass_settings
def merge_command(settings: Settings, others: tuple[str, ...]) -> None:
    """Add what other stores, or archives of stores, hold.

    All of them in one transaction. The others are only read. What was forgotten in any of
    them is forgotten, what was purged in any of them is destroyed here too; merging again
    changes nothing. A store that is not there is made, with the backbone of the first.
    """
    with open_store(settings, like=others[0]) as store:
        change = store.merge(others)
    emit(
        settings,
        {"added": change.came, "removed": change.went},
        f"{change.came} added, {change.went} removed",
    )
