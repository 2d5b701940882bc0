"""What came of a campaign, in words."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from tests.fuzz.campaign import Settings, Tally

__all__ = ["machine", "put", "words"]

BEGIN, END = "<!-- run: written by the script -->", "<!-- end of the run -->"
PACKAGES = (
    *("numpy", "opencv-python-headless", "onnxruntime", "onnx", "ai-edge-litert", "PyYAML"),
)


def machine() -> str:
    """Where it ran: processor, system, Python and what parses the inputs."""
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            versions.append(f"{package} missing")
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"model name\s*: (.+)", cpuinfo.read_text(encoding="utf-8"))
        model = f" ({found[1]})" if found else ""
    return (
        f"{platform.machine()}{model}, {os.cpu_count()} cores, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}, SQLite "
        f"{sqlite3.sqlite_version}, {', '.join(versions)}"
    )


def words(
    settings: Settings, tallies: Mapping[str, Tally], *, command: str, when: str, took: float
) -> str:
    """Tables of a campaign.

    Args:
        settings: How it was run.
        tallies: By kind.
        command: That can be run again.
        when: The date.
        took: Seconds of the clock; of the last part, where a state file was gone on from.
    """
    worked = sum(tally.cpu_ms for tally in tallies.values()) / 60_000
    total = sum(tally.inputs for tally in tallies.values())
    findings = [finding for tally in tallies.values() for finding in tally.findings]
    lines = [
        f"- command: `{command}`",
        f"- seed {settings.seed}, {when}, {took / 60:.0f} minutes with {settings.workers} workers, "
        f"{worked:.1f} minutes of processor time in them",
        f"- machine: {machine()}",
        f"- an input may take {settings.seconds} s of processor time and {settings.cap} MiB",
        f"- **{total:,} inputs, {len(findings)} findings**",
        "",
        "| kind | inputs | findings | ms an input | slowest, ms | most memory, MiB |",
        "|---|---|---|---|---|---|",
    ]
    for kind, tally in tallies.items():
        mean = tally.cpu_ms / max(tally.inputs, 1)
        lines.append(
            f"| {kind} | {tally.inputs:,} | {len(tally.findings)} | {mean:.1f} "
            f"| {tally.slowest_ms:.0f} | {tally.peak_kib / 1024:.0f} |"
        )
    lines += ["", "| kind | outcome | inputs |", "|---|---|---|"]
    for kind, tally in tallies.items():
        lines += [f"| {kind} | {name} | {n:,} |" for name, n in tally.outcomes.most_common()]
    if findings:
        lines += ["", *(f"- {f.kind} {f.number}: {f.what}" for f in findings)]
    return "\n".join(lines) + "\n"


def put(text: str, path: Path) -> None:
    """Puts the tables into a report, between the two marks; what people wrote stays."""
    whole = path.read_text(encoding="utf-8") if path.exists() else f"# Fuzzing\n\n{BEGIN}\n{END}\n"
    before, _, rest = whole.partition(BEGIN)
    after = rest.partition(END)[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{before}{BEGIN}\n{text}{END}{after}", encoding="utf-8")
