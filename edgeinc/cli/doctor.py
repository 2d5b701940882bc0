"""`edgeinc doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import click

from edgeinc.cli.common import (
    NEGATIVES,
    Settings,
    emit,
    find_backbone,
    note,
    pass_settings,
    printable,
)
from edgeinc.cli.options import Place, takes
from edgeinc.devices import Device
from edgeinc.errors import EdgeincError, StoreError
from edgeinc.types import NEGATIVE, counted

if TYPE_CHECKING:
    from edgeinc.cards import ModelCard
    from edgeinc.doctor import Examination
    from edgeinc.store.repair.examination import Condition

__all__ = ["doctor_command"]

MOST = 20
"""Damaged examples that are listed for people; `--json` has them all."""


@takes("store", "backbone", "device", "strict")
@click.command("doctor")
@click.option(
    "--repair",
    metavar="NEW",
    type=Place(),
    help="Save what is sound of the store into a new file; the store itself is only read.",
)
@pass_settings
def doctor_command(settings: Settings, repair: str | None) -> int:
    """Show what this device has and lacks, and check the store.

    The store is not changed; private copies of stores that killed processes left behind are
    deleted. The exit status is 1 where the store is damaged, or cannot be checked: a newer
    edgeinc wrote it, another process keeps it to itself, or it is an archive. So it is where
    `--backbone` names what cannot be read, or `--device` what is no device or, with `--strict`,
    one that does not run all of the backbone.
    """
    from edgeinc.doctor import examine, tidy

    gone = tidy(settings.store)
    if gone:
        note(f"private copies of stores that killed processes had left, now deleted: {gone}")
    if repair is not None:
        return _repair(settings, repair)
    card, problem = _card(settings)
    found = examine(settings.store, card, device=settings.device, strict=settings.strict)
    if problem is not None:
        found = replace(found, advice=(*found.advice, problem))
    memory = "unknown" if found.memory is None else f"{found.memory / 2**30:.1f} GiB"
    free = "" if found.free is None else f", {found.free / 2**30:.1f} free"
    text = [
        f"edgeinc {found.edgeinc}, Python {found.python}",
        f"{found.machine}, {found.cores} cores, memory {memory}{free}",
        *_machine(found),
        "",
        "runtimes",
        *(f"  {r.name:8s} {r.version:10s} {', '.join(r.devices)}" for r in found.runtimes),
        "",
        "packages",
        *(f"  {name:12s} {version or 'missing'}" for name, version in found.packages.items()),
        "",
        f"models (weights in {found.cache})",
        *_models(found),
    ]
    if found.placement is not None:
        text.append(f"  {found.backbone} on {found.placement.asked}: {found.placement.words}")
    if found.install is not None:
        text += ["", f"all that is missing: {found.install}"]
    faults: list[str] = []
    if found.store is not None:
        faults = found.store.faults
        text += ["", f"store {printable(found.store.path)}", *_store(found.store)]
    for line in (*found.advice, *faults, *(found.store.advice if found.store else ())):
        note(line)
    placement = None if found.placement is None else found.placement._asdict()
    record = {
        **asdict(found),
        "placement": placement,
        "processor": found.processor._asdict(),
        "cameras": [camera._asdict() for camera in found.cameras],
        "uses": {name: [use._asdict() for use in them] for name, them in found.uses.items()},
    }
    emit(settings, record, "\n".join(text))
    unread = settings.backbone is not None and card is None
    unsound = found.store is not None and not found.store.sound
    return 1 if unread or unsound or _lacks_device(settings, found) else 0


def _lacks_device(settings: Settings, found: Examination) -> bool:
    """Whether there is no device of the name that was asked for, or it is not to be had."""
    from edgeinc.runtimes.meant import is_nothing

    wanted = Device.of(settings.device)
    refused = found.backbone is not None and found.placement is None
    return is_nothing(wanted) or (settings.strict and wanted.name != "auto" and refused)


def _machine(found: Examination) -> Iterator[str]:
    """Processor, cameras and energy, a line each."""
    chip = found.processor
    words = {True: "sums products of bytes", False: "no sums of products of bytes", None: "unknown"}
    listed = ", ".join(name for name, here in chip.features.items() if here) or "-"
    yield f"{printable(chip.name or 'processor')}: for int8 {listed} ({words[chip.int8]})"
    for camera in found.cameras:
        usable = "" if camera.usable else " (this user may not open it)"
        yield f"camera {printable(camera.name)} at {camera.path}{usable}"
    if not found.cameras:
        yield "no camera"
    yield f"energy: {found.energy or 'can be measured'}"


def _models(found: Examination) -> Iterator[str]:
    """Each card, and what its files can use."""
    for name, here in found.models.items():
        yield f"  {name}" if here else f"  {name}: edgeinc models pull {name}"
        for use in found.uses.get(name, ()):
            ways = ", ".join(use.devices) if use.missing is None else f"no: {use.missing}"
            yield f"    {use.runtime:8s} {ways}"


def _card(settings: Settings) -> tuple[ModelCard | None, str | None]:
    """The backbone to open, else what is wrong with it; neither where the store does not tell."""
    try:
        return find_backbone(settings), None
    except StoreError:
        # What is wrong with the store is told below its name.
        return None, None
    except EdgeincError as exc:
        return None, str(exc)


def _repair(settings: Settings, new: str) -> int:
    """Saves what is sound into a new store, and says what was lost."""
    from edgeinc.doctor import repair

    given = None if settings.backbone is None else find_backbone(settings)
    saved = repair(settings.store, new, given)
    for label, n in saved.lost.items():
        note(f"lost: {n} of {label!r}" if label else f"lost: {n} negatives")
    for table, n in saved.unreadable.items():
        note(f"unreadable: {n} rows of {table}")
    emit(
        settings,
        {"repair": asdict(saved)},
        f"{counted(saved.examples, 'examples')} and {counted(saved.operations, 'operations')} "
        f"saved in {saved.path}",
    )
    return 0


def _store(store: Condition) -> Iterator[str]:
    """What was found about a store, a line each."""
    words = {True: "sound", False: "damaged", None: "not checked"}
    yield f"  {words[store.sound]}, {store.size / 2**20:.1f} MiB, {store.free / 2**20:.0f} MiB free"
    if store.version is not None and store.backbone is None:
        yield f"  format {store.version}"
    elif store.version is not None:
        yield f"  format {store.version}, backbone {store.backbone} ({store.dim} dimensions)"
    if store.counts:
        yield "  " + ", ".join(counted(n, name) for name, n in store.counts.items())
    if store.statistics is not None:
        yield f"  statistics beside the examples: {store.statistics}"
    if not store.writable:
        yield "  it can only be read"
    for holder in store.holders:
        yield f"  in use by {printable(holder)}"
    if store.journal is not None:
        yield f"  a journal lies beside it: {store.journal}"
    for example in store.damaged[:MOST]:
        label = NEGATIVES if example.label == NEGATIVE else printable(example.label or "-")
        yield f"  damaged example {example.id} {label}"
