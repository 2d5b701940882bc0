"""What every command shares: the global options, output, progress, and an open engine.

Results go to stdout, everything for people (progress, warnings, reports) to stderr.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from edgeinc.cards import ModelCard
    from edgeinc.engine import Engine
    from edgeinc.store import Store

__all__ = [
    "NEGATIVES",
    "Settings",
    "emit",
    "find_backbone",
    "name_of",
    "note",
    "open_engine",
    "open_store",
    "pass_settings",
    "plain_card",
    "printable",
    "progress",
    "store_path",
    "warn",
]


NEGATIVES = "(not any of mine)"
"""Where a class is named: that it is none."""


SHOWN = 20
"""Warnings of one kind that are printed: a folder may be full of what is no picture."""


class Settings(NamedTuple):
    """The global options, as the person gave them."""

    store: str
    backbone: str | None
    head: str
    base_classes: bool
    tta: bool
    device: str
    strict: bool
    threads: int | None
    json: bool


pass_settings = click.make_pass_decorator(Settings)


def emit(settings: Settings, record: Mapping[str, Any], text: str) -> None:
    """Prints one result: one JSON object on one line with `--json`, else the text."""
    line = json.dumps(record, ensure_ascii=False) if settings.json else text
    if line:
        # Surrogates of undecodable file names must not stop the printing of a result.
        click.echo(line.encode("utf-8", "backslashreplace").decode("utf-8"))


def printable(text: str) -> str:
    """A name from the file system on one line: control characters as escapes."""
    return "".join(c if c >= " " and c != "\x7f" else repr(c)[1:-1] for c in text)


def plain_card(card: ModelCard) -> dict[str, Any]:
    """What a card says, for JSON."""
    from dataclasses import asdict

    plain = asdict(card)
    return {key: plain[key] for key in plain if key not in ("name", "folder")}


def name_of(label: str | None) -> str:
    """A class as people read it in a list; negatives are of none."""
    return NEGATIVES if label is None else label


def note(message: str) -> None:
    """Prints one line for people, whatever the names in it are."""
    click.echo(printable(message), err=True)


def warn(sentences: Sequence[str]) -> None:
    """Prints warnings for people, and of many how many more there are."""
    for sentence in sentences[:SHOWN]:
        note(f"warning: {sentence}")
    if (more := len(sentences) - SHOWN) > 0:
        note(f"warning: and {more} more")


@contextmanager
def open_engine(settings: Settings, *, create: bool = False) -> Iterator[Engine]:
    """Opens the store that the options name, with their backbone, head and device.

    Only what enrols makes a store where there is none (`create`): for everything else one
    that is not there is an empty one.
    """
    from edgeinc.engine import Engine

    with (
        store_path(settings, create=create) as path,
        Engine.open(
            path,
            backbone=settings.backbone,
            head=settings.head,
            base_classes=settings.base_classes,
            tta=settings.tta,
            device=settings.device,
            strict=settings.strict,
            threads=settings.threads,
        ) as engine,
    ):
        yield engine


@contextmanager
def store_path(settings: Settings, *, create: bool = False) -> Iterator[str]:
    """The store's path; that of an empty one, gone afterwards, where there is none."""
    if create or os.path.lexists(settings.store):
        yield settings.store
        return
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="edgeinc-") as folder:
        yield str(Path(folder) / "empty.db")


def find_backbone(settings: Settings) -> ModelCard:
    """The card that the options name: `--backbone`, else the store's, else the embedded one."""
    from edgeinc.engine import choose_backbone
    from edgeinc.weights import find_card

    if settings.backbone is not None:
        return find_card(settings.backbone)
    return choose_backbone(settings.store)


@contextmanager
def open_store(settings: Settings) -> Iterator[Store]:
    """Opens the store alone: what it holds can be managed without its backbone, or its card.

    Raises:
        BackboneMismatchError: `--backbone` names another than the store's.
    """
    from edgeinc.store import Identity, Store, peek

    with store_path(settings) as path:
        bound = peek(path)
        if bound is None:
            card = find_backbone(settings)
            bound = Identity(card.name, card.fingerprint, card.dim, card.nonnegative)
        elif settings.backbone is not None:
            from edgeinc.engine import check_bound

            check_bound(path, bound, settings.backbone)
        with Store.open(path, **bound._asdict()) as store:
            yield store


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
