"""`edgeinc models verify`: a model's files, and whether they agree."""

from __future__ import annotations

import click

from edgeinc.cli.common import Settings, emit, note, pass_settings

__all__ = ["verify_command"]


@click.command("verify")
@click.argument("name")
@pass_settings
def verify_command(settings: Settings, name: str) -> int:
    """Check a model's files.

    Their sha256, then loading and running one picture.
    """
    from edgeinc.catalogue import verify

    found = verify(name)
    checks = [{"file": c.name, "ok": c.ok, "message": c.message} for c in found.checks]
    lines = [f"{c.name} {c.message}" for c in found.checks]
    emit(settings, {"name": found.card.name, "ok": found.ok, "checks": checks}, "\n".join(lines))
    if not found.ok:
        note(f"edgeinc: {found.card.name} cannot be used: {found.advice}")
    return 0 if found.ok else 1
