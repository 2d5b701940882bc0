"""`python -m benchmarks [NAME...] [--keep FILE]`: measures the figures and prints a table.

With `--keep` the table is written to a file too, with machine and date.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import (
    accuracy,
    base,
    bursts,
    calibration,
    devices,
    embedded,
    quantize,
    regimes,
    review,
    scale,
    speed,
    strangers,
    views,
    waits,
    whole,
)
from benchmarks.common import Figure, machine, shared

GROUPS: dict[str, Callable[[], Iterator[Figure]]] = {
    "coral": accuracy.coral_split,
    "shots": accuracy.few_shots,
    "regimes": regimes.regimes,
    "views": views.views,
    "linear": accuracy.linear_models,
    "imprinting": accuracy.imprinting,
    "strangers": strangers.strangers,
    "bursts": bursts.bursts,
    "calibration": calibration.calibration,
    "base": base.base,
    "base-relearned": base.relearned,
    "review": review.review,
    "pebble": embedded.embedded,
    "pebble-time": embedded.embedded_time,
    "quantize": quantize.quantize,
    "devices": devices.devices,
    "predict": speed.predict_overhead,
    "enrolment": speed.enrolment,
    "head": speed.head_alone,
    "cold": whole.cold_start,
    "import": whole.folder_import,
    "scale": scale.scale,
    "waits": waits.waits,
}


def main() -> int:
    """Measures the groups named on the command line, by default all; 1 when a bound is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="NAME", help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--keep", metavar="FILE", type=Path, help="write the table there too")
    options = parser.parse_args()
    if unknown := set(options.groups) - set(GROUPS):
        parser.error(f"no such group: {', '.join(sorted(unknown))}")
    if not shared().is_dir():
        parser.error("the pictures are missing; set EDGEINC_SHARED to the folder that has them")
    os.environ.setdefault("EDGEINC_MODELS", str(shared() / "models"))
    fetch_backbones()
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    lines = [f"{machine()}; {today}", "", "| figure | measured | bound | |", "|---|---|---|---|"]
    print(*lines, sep="\n", flush=True)
    missed = 0
    for name in options.groups or GROUPS:
        for figure in GROUPS[name]():
            verdict = {True: "holds", False: "MISSED", None: ""}[figure.holds]
            lines.append(f"| {figure.name} | {figure.value} | {figure.bound} | {verdict} |")
            print(lines[-1], flush=True)
            missed += figure.holds is False
    if options.keep:
        options.keep.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return int(missed > 0)


def fetch_backbones() -> None:
    """Pulls the public backbones that the figures name, where they are not yet here."""
    from benchmarks.base import BACKBONE
    from benchmarks.common import V1, V2
    from edgeinc.catalogue import pull
    from edgeinc.weights import find_card, is_installed

    for name in (V1, V2, BACKBONE):
        if not is_installed(find_card(name)):
            pull(name)


if __name__ == "__main__":
    sys.exit(main())
