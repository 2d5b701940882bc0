"""Prints the wheels that a plain install takes on 64-bit Arm, and how large they are.

    python3.13 tests/arm64/wheels.py

Nothing is installed: pip of the Python that runs this resolves for another machine.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
# glibc 2.36 and 2.41 are Raspberry Pi OS bookworm's and trixie's.
GLIBC = ("manylinux2014", *(f"manylinux_2_{minor}" for minor in range(17, 37)))


def main() -> int:
    """Prints the table."""
    version = ".".join(map(str, sys.version_info[:2]))
    core, litert = requirements()
    plain = wheels(version, core)
    more = wheels(version, [*core, *litert])
    print(f"\nPython {version}, 64-bit Arm\n\n| wheel | MB |\n|---|---|")
    for name in sorted(more, key=str.lower):
        print(f"| `{name}`{'' if name in plain else ' (`litert`)'} | {more[name] / 1e6:.2f} |")
    print(f"| plain install: {len(plain)} wheels | {sum(plain.values()) / 1e6:.1f} |")
    print(f"| with `litert`: {len(more)} wheels | {sum(more.values()) / 1e6:.1f} |")
    return 0


def requirements() -> tuple[list[str], list[str]]:
    """What the project asks for, and what its extra `litert` asks for besides."""
    text = PROJECT.read_text(encoding="utf-8")
    core, litert = (
        re.search(pattern, text, re.M | re.S)
        for pattern in (r"^dependencies = \[(.*?)^\]", r"^litert = \[(.*?)\]$")
    )
    assert core is not None
    assert litert is not None
    return re.findall(r'"(.+?)"', core[1]), re.findall(r'"(.+?)"', litert[1])


def wheels(version: str, wanted: list[str]) -> dict[str, int]:
    """Names and bytes of the files that pip would take."""
    platforms = [word for name in GLIBC for word in ("--platform", f"{name}_aarch64")]
    kinds = ["--abi", f"cp{version.replace('.', '')}", "--abi", "abi3", "--abi", "none"]
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        words = [sys.executable, "-m", "pip", "install", "--dry-run", "--target", scratch]
        words += ["--quiet", "--quiet", "--disable-pip-version-check", "--report", str(report)]
        words += ["--only-binary=:all:", "--implementation", "cp", "--python-version", version]
        subprocess.run([*words, *kinds, *platforms, *wanted], check=True)
        found: list[dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))["install"]
    links = [one["download_info"]["url"] for one in found]
    return {urllib.parse.unquote(link.rpartition("/")[2]): size(link) for link in links}


def size(link: str) -> int:
    """Bytes of a file on this machine, or as its server tells."""
    if link.startswith("file:"):
        return Path(urllib.request.url2pathname(urllib.parse.urlsplit(link).path)).stat().st_size
    asked = urllib.request.Request(link, method="HEAD")
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return int(answer.headers["Content-Length"])


if __name__ == "__main__":
    sys.exit(main())
