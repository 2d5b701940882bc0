"""The log of a training: one JSON object a line, whatever interrupts its writing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from files import disk_sentences


def append_line(path: Path, line: dict[str, Any]) -> None:
    """Add a line; where the last one was left half, on a line of its own."""
    with disk_sentences(path), path.open("a+b") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(json.dumps(line).encode() + b"\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines, by step; half ones are left out.

    Steps after the last checkpoint are done, and logged, again: the last word counts.
    """
    lines: dict[int, dict[str, Any]] = {}
    for text in path.read_bytes().splitlines():
        try:
            line = json.loads(text)
        except ValueError:  # also what is no UTF-8
            continue
        if isinstance(line, dict) and "step" in line:
            lines[line["step"]] = line
    return [lines[step] for step in sorted(lines)]
