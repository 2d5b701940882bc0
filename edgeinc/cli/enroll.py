"""`edgeinc enroll`."""

from __future__ import annotations

from dataclasses import asdict

import click

from edgeinc.cli.common import (
    NEGATIVES,
    Settings,
    emit,
    note,
    open_engine,
    pass_settings,
    progress,
    warn,
)
from edgeinc.cli.options import Place, takes

__all__ = ["enroll_command"]


@takes("store", "backbone", "device", "strict", "threads", "head", "base_classes", "tta")
@click.command("enroll")
@click.argument("label", required=False)
@click.argument("files", nargs=-1, type=Place())
@click.option(
    "--from",
    "folder",
    metavar="DIR",
    type=Place(),
    help="A folder that holds one folder a label; can be run again to go on.",
)
@click.option("--negative", is_flag=True, help="The pictures are of none of the classes.")
@click.option("--thumbnails", is_flag=True, help="Keep a small picture with each example.")
@pass_settings
def enroll_command(
    settings: Settings,
    label: str | None,
    files: tuple[str, ...],
    folder: str | None,
    negative: bool,
    thumbnails: bool,
) -> int:
    """Learn a class from pictures.

    `enroll LABEL FILE...` commits one class in one transaction; `enroll --negative FILE...`
    pictures that are not any of yours; `enroll --from DIR` takes a folder of label folders.
    Unreadable files are reported and skipped.
    """
    from edgeinc.errors import StoreError
    from edgeinc.review import found_again, sentences
    from edgeinc.store import clean_label

    if (folder is None) == (label is None) or (negative and folder is not None):
        raise click.UsageError("Give either LABEL FILE..., --negative FILE..., or --from DIR.")
    if negative:
        # There is no label: what stands in its place is a picture too.
        label, files = None, (str(label), *files)
    elif label is not None and not files:
        raise click.UsageError("Give at least one picture after the label.")
    if label is not None:
        # Before a store is made for it.
        clean_label(label)
    with open_engine(settings, create=True) as engine:
        if folder is not None:
            with progress("Enrolling") as report_progress:
                report = engine.enroll_folder(
                    folder, progress=report_progress, thumbnails=thumbnails
                )
        else:
            report = engine.enroll(label, files, skip_unreadable=True, thumbnails=thumbnails)
        review = None
        try:
            review = engine.review(report.ids)
        except StoreError as exc:
            # What was enrolled is enrolled.
            note(f"warning: enrolled, but not looked at again: {exc}")
    warn(report.warnings)
    if report.skipped:
        twice = report.skipped - report.unreadable
        note(f"skipped: {twice} enrolled already, {report.unreadable} unreadable")
    if review is not None and report.added and not negative:
        for line in sentences(review):
            note(line)
        note(found_again(review))
        note(review.enough)
    listed = [*report.classes.items(), (NEGATIVES, report.negatives)]
    counts = ", ".join(f"{name} {count}" for name, count in listed if count)
    emit(
        settings,
        {
            "added": report.added,
            "skipped": report.skipped,
            "classes": dict(report.classes),
            "negatives": report.negatives,
            "warnings": list(report.warnings),
            "review": None if review is None else asdict(review),
        },
        f"{report.added} added, {report.skipped} skipped; now {counts or 'nothing'}",
    )
    if report.unreadable == report.added + report.skipped:
        note("edgeinc: No picture could be read; nothing was enrolled.")
        return 1
    return 0
