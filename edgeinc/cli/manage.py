"""The commands that look at a store and change what is in it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeinc.cli.common import (
    NEGATIVES,
    Settings,
    emit,
    note,
    open_engine,
    open_store,
    pass_settings,
    printable,
)
from edgeinc.cli.options import Place, takes
from edgeinc.errors import InputError
from edgeinc.types import LogEntry, SampleInfo, counted

if TYPE_CHECKING:
    from edgeinc.store import Change, Store

__all__ = [
    "classes_command",
    "forget_command",
    "log_command",
    "purge_command",
    "rename_command",
    "samples_command",
    "threshold_command",
    "undo_command",
]


@takes("store", "backbone", "device", "strict", "threads", "base_classes")
@click.command("classes")
@pass_settings
def classes_command(settings: Settings) -> None:
    """List what is enrolled."""
    with open_engine(settings) as engine:
        classes, negatives = engine.classes(), engine.negatives()
        own = len(engine.base_classes)
    lines = [
        f"{c.examples:6d}  {c.label}{'' if c.automatic else f'  (threshold {c.threshold:g})'}"
        for c in classes
    ]
    if negatives:
        lines.append(f"{negatives:6d}  {NEGATIVES}")
    lines = lines or ["nothing is enrolled"]
    if own:
        lines.append(f"and {counted(own, 'classes')} of the backbone's own")
    emit(
        settings,
        {
            "classes": [asdict(c) for c in classes],
            "negatives": negatives,
            "base_classes": own,
        },
        "\n".join(lines),
    )


@takes("store", "backbone")
@click.command("samples")
@click.argument("label", required=False)
@click.option("--negative", is_flag=True, help="Those that are of none of the classes.")
@click.option(
    "--thumbnails", "folder", metavar="DIR", type=Place(), help="Write them there, as ID.jpg."
)
@pass_settings
def samples_command(
    settings: Settings, label: str | None, negative: bool, folder: str | None
) -> None:
    """List the examples of a class."""
    if (label is None) != negative:
        raise click.UsageError("Give either LABEL or --negative.")
    with open_store(settings) as store:
        samples = store.samples(label)
        if folder is not None:
            _write_thumbnails(store, samples, Path(folder))
    emit(
        settings,
        {"samples": [{"id": s.id, "source": s.source, "time": s.time} for s in samples]},
        "\n".join(f"{s.id}  {_clock(s.time)}  {printable(s.source or '-')}" for s in samples),
    )


@takes("store", "backbone")
@click.command("forget")
@click.argument("label", required=False)
@click.option("--negative", is_flag=True, help="All that is of none of the classes.")
@click.option("--sample", metavar="ID", help="One example instead of a class.")
@click.option("--purge", is_flag=True, help="Destroy it too, beyond undo.")
@pass_settings
def forget_command(
    settings: Settings, label: str | None, negative: bool, sample: str | None, purge: bool
) -> None:
    """Take a class or one example out.

    `undo` brings it back, unless it was purged.
    """
    from edgeinc.store import clean_label

    if (label is not None) + negative + (sample is not None) != 1:
        raise click.UsageError("Give either LABEL, --negative or --sample ID.")
    if label is not None:
        # To the store an empty one means that none was given.
        clean_label(label)
    with open_store(settings) as store:
        if sample is not None:
            change = store.forget(sample=sample, purge=purge)
        else:
            change = store.forget(label, purge=purge)
    removed = len(change.ids)
    emit(settings, {"removed": removed}, f"{removed} removed")


@takes("store", "backbone")
@click.command("purge")
@pass_settings
def purge_command(settings: Settings) -> None:
    """Destroy what was forgotten, beyond undo.

    Embedding, source and hashes are overwritten in the file; only the random id stays.
    """
    with _open_store_or_say(settings) as store:
        removed = len(store.purge().ids)
    emit(settings, {"removed": removed}, f"{removed} destroyed")


@takes("store", "backbone")
@click.command("rename")
@click.argument("old")
@click.argument("new")
@pass_settings
def rename_command(settings: Settings, old: str, new: str) -> None:
    """Give a class another name."""
    with open_store(settings) as store:
        # Not those that are forgotten or there twice, though they are renamed too.
        moved = len(store.rename(old, new).added)
    words = "example is" if moved == 1 else "examples are"
    emit(settings, {"renamed": moved}, f"{moved} {words} now {new!r}")


@takes("store", "backbone")
# A negative number is no option, but a threshold that is refused in plain words.
@click.command("threshold", context_settings={"ignore_unknown_options": True})
@click.argument("label")
@click.argument("value", metavar="VALUE|auto")
@pass_settings
def threshold_command(settings: Settings, label: str, value: str) -> None:
    """Set how familiar a picture must be to be known as a class.

    VALUE is 0 to 1; `auto` has it worked out again.
    """
    try:
        number = None if value == "auto" else float(value)
    except ValueError as exc:
        raise click.UsageError(f"{value!r} is neither a number nor `auto`.") from exc
    with open_store(settings) as store:
        store.set_threshold(label, number)
    emit(
        settings,
        {"label": label, "threshold": number},
        f"the threshold of {label!r} is {'auto' if number is None else f'{number:g}'}",
    )


@takes("store", "backbone")
@click.command("undo")
@click.option("-n", default=1, show_default=True, type=click.IntRange(min=1), help="Steps.")
@pass_settings
def undo_command(settings: Settings, n: int) -> None:
    """Take back the last operations."""
    with _open_store_or_say(settings) as store:
        change = store.undo(n)
        passed_over = _passed_over(store, change)
    undone = change.undone
    for entry in passed_over:
        note(f"passed over {entry.number} ({entry.detail}), which cannot be taken back")
    emit(
        settings,
        {"undone": [asdict(entry) for entry in undone]},
        "\n".join(f"took back {e.number}: {e.detail}" for e in undone) or "nothing to undo",
    )


@takes("store", "backbone")
@click.command("log")
@click.option("-n", type=click.IntRange(min=1), help="Only the last N entries.")
@pass_settings
def log_command(settings: Settings, n: int | None) -> None:
    """Show what was done to the store, newest first."""
    with _open_store_or_say(settings) as store:
        entries = store.log(n)
    emit(
        settings,
        {"log": [asdict(entry) for entry in entries]},
        "\n".join(
            f"{e.number:5d}  {_clock(e.time)}  {e.operation:9s} {printable(e.detail)}"
            f"{f', from {printable(e.source)}' if e.source else ''}"
            f"{'  (undone)' if e.undone else ''}"
            for e in entries
        ),
    )


@contextmanager
def _open_store_or_say(settings: Settings) -> Iterator[Store]:
    """Opens the store; says so where there is none, which is as an empty one."""
    if not os.path.lexists(settings.store):
        note(f"there is no store at {settings.store}")
    with open_store(settings) as store:
        yield store


def _write_thumbnails(store: Store, samples: Sequence[SampleInfo], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for sample in samples:
            if (image := store.thumbnail(sample.id)) is not None:
                Path(folder, f"{sample.id}.jpg").write_bytes(image)
    except OSError as exc:
        why = "it is no folder" if isinstance(exc, FileExistsError) else exc.strerror
        raise InputError(f"{folder} takes no thumbnails ({why}); name another folder.") from exc


def _passed_over(store: Store, change: Change) -> list[LogEntry]:
    """What was done after the oldest operation that an undo took back, and stays."""
    if change.operation is None:
        return []
    later = store.log(change.operation - change.undone[-1].number)
    return [entry for entry in later if not entry.undone and entry.operation != "undo"]


def _clock(seconds: float) -> str:
    """Local time; a clock may have been set to anything, or a store been tampered with."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):
        return f"{seconds:g} s"
