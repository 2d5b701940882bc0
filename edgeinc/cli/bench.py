"""`edgeinc bench`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from edgeinc.cli.common import Settings, emit, find_backbone, note, pass_settings, progress
from edgeinc.cli.options import Place, takes
from edgeinc.errors import EdgeincError

if TYPE_CHECKING:
    from edgeinc.bench import BenchReport, BenchRow
    from edgeinc.cards import ModelCard

__all__ = ["bench_command"]


@takes("store", "backbone", "device", "strict", "threads")
@click.command("bench")
@click.option(
    "--seconds",
    default=2.0,
    show_default=True,
    type=click.FloatRange(min=0.1),
    help="How long to measure each row.",
)
@click.option("--plot", metavar="FILE.png", type=Place(), help="Write a picture of the medians.")
@pass_settings
def bench_command(settings: Settings, seconds: float, plot: str | None) -> None:
    """Measure speed on this device, and say how to run the backbone.

    Times the network, from a 1280x720 frame to its embedding, in every runtime, on every
    device and with every number of threads that is here: the store's backbone and each other
    installed model, or the one that --backbone names. --device and --threads name one.
    """
    from edgeinc.bench import bench

    if plot is not None:
        from edgeinc.plot import check_place

        check_place(plot)
    cards = _cards(settings)
    with progress("Measuring") as report_progress:
        report = bench(
            cards,
            seconds=seconds,
            device=settings.device,
            strict=settings.strict,
            threads=settings.threads,
            progress=report_progress,
        )
    # What fails with one thread mostly fails with two.
    for line in dict.fromkeys(
        f"{one.model}, {one.runtime} on {one.device}, not measured: {one.why}"
        for one in report.skipped
    ):
        note(line)
    names = {card.name: _word(card, settings) for card in cards}
    record = {
        "rows": [_plain(row, report, names) for row in report.rows],
        "skipped": [asdict(one) for one in report.skipped],
        "recommended": _plain(report.recommended, report, names),
        "energy": report.energy,
    }
    emit(settings, record, "\n".join(_table(report, names)))
    if plot is not None:
        from edgeinc.plot import plot_bench

        plot_bench(report, plot)


def _cards(settings: Settings) -> list[ModelCard]:
    """The backbone of the store or of the options, and, without an option, all others here."""
    from edgeinc.weights import is_installed, list_cards

    first = find_backbone(settings)
    if settings.backbone is not None:
        return [first]
    return [first, *(c for c in list_cards() if c.name != first.name and is_installed(c))]


def _word(card: ModelCard, settings: Settings) -> str:
    """What to give for `--backbone`: a card's name; what was given, where that finds another."""
    from edgeinc.weights import find_card

    try:
        found = find_card(card.name) == card
    except EdgeincError:
        found = False
    return card.name if found or settings.backbone is None else settings.backbone


def _options(row: BenchRow, names: Mapping[str, str]) -> str | None:
    """The options of the shell that choose a row; None where there are none."""
    more = row.options
    return None if more is None else f"--backbone {quote(names[row.model])} {more}"


def _plain(row: BenchRow, report: BenchReport, names: Mapping[str, str]) -> dict[str, Any]:
    """A row for JSON."""
    plain = {**asdict(row), "placement": row.placement._asdict()}
    del plain["chosen"]  # it is in the options
    return {**plain, "best": row is report.best[row.model], "options": _options(row, names)}


def _table(report: BenchReport, names: Mapping[str, str]) -> Iterator[str]:
    """The rows, a star at the best of each model, and the way that is recommended."""
    wide = max(len(row.model) for row in report.rows)
    yield (
        f"  {'model':{wide}s} {'runtime':8s} {'threads':>7s} {'p50 ms':>8s} {'p95 ms':>8s} "
        f"{'1/s':>7s} {'MiB':>5s} {'mJ':>6s}  device"
    )
    for row in report.rows:
        star = "*" if row is report.best[row.model] else " "
        memory = "-" if row.memory is None else f"{row.memory / 2**20:.0f}"
        energy = "-" if row.joules is None else f"{1000 * row.joules:.1f}"
        yield (
            f"{star} {row.model:{wide}s} {row.runtime:8s} {row.threads:7d} {row.p50_ms:8.2f} "
            f"{row.p95_ms:8.2f} {row.per_second:7.1f} {memory:>5s} {energy:>6s}  "
            f"{row.placement.words}"
        )
    yield ""
    if report.energy:
        yield f"mJ: {report.energy}"
    best = report.recommended
    options = _options(best, names)
    if options is None:
        yield (
            f"for {best.model} here: {best.runtime} on {best.device}, threads: {best.threads}; no "
            "option chooses that, unless the card lists that file first"
        )
    else:
        yield f"for {best.model} here: edgeinc {options}"
