"""`edgeinc bench`."""

from __future__ import annotations

from dataclasses import asdict

import click

from edgeinc.cli.common import Settings, emit, find_backbone, pass_settings, progress

__all__ = ["bench_command"]


@click.command("bench")
@click.option(
    "--seconds",
    default=2.0,
    show_default=True,
    type=click.FloatRange(min=0.1),
    help="How long to measure each row.",
)
@pass_settings
def bench_command(settings: Settings, seconds: float) -> None:
    """Measure speed on this device.

    Times the backbone, from a 1280x720 frame to its embedding, in every runtime that is
    installed, with one thread and with all cores.
    """
    from edgeinc.bench import bench

    with progress("Measuring") as report_progress:
        rows = bench(
            find_backbone(settings),
            seconds=seconds,
            device=settings.device,
            strict=settings.strict,
            threads=settings.threads,
            progress=report_progress,
        )
    lines = [f"{'runtime':8s} {'threads':>7s} {'p50 ms':>8s} {'p95 ms':>8s} {'1/s':>7s}  device"]
    lines += [
        f"{r.runtime:8s} {r.threads:7d} {r.p50_ms:8.2f} {r.p95_ms:8.2f} {r.per_second:7.1f}"
        f"  {r.placement.words}"
        for r in rows
    ]
    emit(
        settings,
        {
            "model": rows[0].model,
            "rows": [{**asdict(row), "placement": row.placement._asdict()} for row in rows],
        },
        "\n".join([rows[0].model, *lines]),
    )
