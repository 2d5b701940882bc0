"""What every command shares: the global options, output, progress, and an open engine.

Results go to stdout, everything for people (progress, warnings, reports) to stderr.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from edgeinc.cards import ModelCard
    from edgeinc.engine import Engine
    from edgeinc.store import Store

__all__ = [
    "Settings",
    "emit",
    "find_backbone",
    "note",
    "open_engine",
    "open_store",
    "pass_settings",
    "progress",
]


class Settings(NamedTuple):
    """The global options, as the person gave them."""

    store: str
    backbone: str | None
    head: str
    device: str
    strict: bool
    threads: int | None
    json: bool


pass_settings = click.make_pass_decorator(Settings)


def emit(settings: Settings, record: Mapping[str, Any], text: str) -> None:
    """Prints one result: one JSON object on one line with `--json`, else the text."""
    if settings.json:
        # Surrogates of undecodable file names must not stop the printing of a result.
        line = json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace")
        click.echo(line.decode("utf-8"))
    elif text:
        click.echo(text)


def note(message: str) -> None:
    """Prints one line for people."""
    click.echo(message, err=True)


def open_engine(settings: Settings) -> Engine:
    """Opens the store that the options name, with their backbone, head and device."""
    from edgeinc.engine import Engine

    return Engine.open(
        settings.store,
        backbone=settings.backbone,
        head=settings.head,
        device=settings.device,
        strict=settings.strict,
        threads=settings.threads,
    )


def find_backbone(settings: Settings) -> ModelCard:
    """The card that the options name: `--backbone`, else the store's, else the embedded one."""
    from edgeinc.engine import choose_backbone
    from edgeinc.weights import find_card

    return find_card(settings.backbone or choose_backbone(settings.store))


def open_store(settings: Settings) -> Store:
    """Opens the store alone: what is stored can be managed without the backbone's weights."""
    from edgeinc.store import Store

    card = find_backbone(settings)
    return Store.open(
        settings.store, backbone=card.name, fingerprint=card.fingerprint, dim=card.dim
    )


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr; the caller reports `(done, total)`.

    Nothing is drawn where stderr is no terminal.
    """
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    with click.progressbar(
        length=1, label=label, file=sys.stderr, show_pos=True, show_eta=True
    ) as bar:

        def report(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        yield report
