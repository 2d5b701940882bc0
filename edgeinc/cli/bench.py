"""`edgeinc bench`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from edgeinc.cli.common import Settings, emit, find_backbone, note, pass_settings, progress

if TYPE_CHECKING:
    from edgeinc.bench import BenchReport, BenchRow
    from edgeinc.cards import ModelCard

__all__ = ["bench_command"]


@click.command("bench")
@click.option(
    "--seconds",
    default=2.0,
    show_default=True,
    type=click.FloatRange(min=0.1),
    help="How long to measure each row.",
)
@click.option(
    "--plot", metavar="FILE.png", type=click.Path(), help="Write a picture of the medians."
)
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
    with progress("Measuring") as report_progress:
        report = bench(
            _cards(settings),
            seconds=seconds,
            device=settings.device,
            strict=settings.strict,
            threads=settings.threads,
            progress=report_progress,
        )
    for one in report.skipped:
        note(f"{one.model}, {one.runtime} on {one.device}, not measured: {one.why}")
    record = {
        "rows": [_plain(row, report) for row in report.rows],
        "skipped": [asdict(one) for one in report.skipped],
        "recommended": _plain(report.recommended, report),
        "energy": report.energy,
    }
    emit(settings, record, "\n".join(_table(report)))
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


def _plain(row: BenchRow, report: BenchReport) -> dict[str, Any]:
    """A row for JSON."""
    plain = {**asdict(row), "placement": row.placement._asdict()}
    return {**plain, "best": row is report.best[row.model], "options": row.options}


def _table(report: BenchReport) -> Iterator[str]:
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
    yield f"for {report.recommended.model} here: edgeinc {report.recommended.options}"
