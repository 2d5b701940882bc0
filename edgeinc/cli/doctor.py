"""`edgeinc doctor`."""

from __future__ import annotations

from dataclasses import asdict

import click

from edgeinc.cli.common import Settings, emit, note, pass_settings

__all__ = ["doctor_command"]


@click.command("doctor")
@pass_settings
def doctor_command(settings: Settings) -> None:
    """Show what this device has, and how to install what is missing."""
    from edgeinc.doctor import examine

    found = examine()
    memory = "unknown" if found.memory is None else f"{found.memory / 2**30:.1f} GiB"
    text = [
        f"edgeinc {found.edgeinc}, Python {found.python}",
        f"{found.machine}, {found.cores} cores, memory {memory}",
        "",
        "runtimes",
        *(f"  {r.name:8s} {r.version:10s} {', '.join(r.devices)}" for r in found.runtimes),
        "",
        "packages",
        *(f"  {name:12s} {version or 'missing'}" for name, version in found.packages.items()),
        "",
        f"models (weights in {found.cache})",
        *(f"  {'installed' if here else '-':10s} {name}" for name, here in found.models.items()),
    ]
    for line in found.advice:
        note(line)
    emit(settings, asdict(found), "\n".join(text))
