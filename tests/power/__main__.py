"""The full run: `python -m tests.power --points 10000 --kills 500 --seed N --report FILE`."""

from __future__ import annotations

import argparse
import datetime
import platform
import random
import sqlite3
import sys
from pathlib import Path

from benchmarks.common import machine
from edgeinc import __version__
from tests.power import trace
from tests.power.cuts import Cuts, cut_power
from tests.power.disk import STYLES
from tests.power.kills import Kills, kill

PAGE = """\
# {title}: a full run

Written by `{command}`; what it does is in [power.md](../power.md).

| | |
|---|---|
| date | {date} |
| machine | {machine}, kernel {kernel}, SQLite {sqlite} |
| edgeinc | {version} |
| seed | {seed} |

{tables}"""
CUTS = """\
## Simulated power cuts

| figure | bound | found |
|---|---|---|
| power-cut points tried | >= 10,000 | {points:,} |
| acknowledged operations lost | 0 | {lost} |
| operations half there | 0 | {half} |
| states that did not open, or failed `integrity_check` | 0 | {damaged} |
| states with bytes that an acknowledged purge destroyed | 0 | {traces} |
| states in which the next enrolment failed | 0 | {stuck} |
| states of the disk opened, {choices} drawn a point, equal ones once | | {states:,} |
| of these with a journal to play back | | {hot:,} |
| of these with statistics kept beside the examples | | {kept:,} |
| of these in which an operation that had not returned was wholly there | | {there:,} |
| recorded processes, most going on from what a cut had left | | {histories} |
| operations acknowledged | | {operations} |
| calls recorded | | {calls} |
| minutes | | {minutes:.1f} |
"""
KILLS = """\
## Kills

| figure | bound | found |
|---|---|---|
| processes ended by SIGKILL | >= 500 | {kills} |
| acknowledged operations lost | 0 | {lost} |
| operations half there | 0 | {half} |
| stores that did not open, or failed `integrity_check` | 0 | {damaged} |
| stores with bytes that an acknowledged purge destroyed | 0 | {traces} |
| stores in which the next enrolment failed | 0 | {stuck} |
| kills in the middle of an operation | | {during} |
| kills that left a journal to play back | | {hot} |
| kills after which an operation that had not returned was wholly there | | {there} |
| operations acknowledged | | {operations} |
| minutes | | {minutes:.1f} |
"""


def main() -> int:
    """Run what is asked for; 1 where something was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.power", description=__doc__)
    parser.add_argument("--points", type=int, default=10_000, help="simulated power cuts")
    parser.add_argument("--kills", type=int, default=500, help="processes to kill")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--report", type=Path, help="file to write the figures to")
    parser.add_argument("--keep", type=Path, help="folder for what a fault left")
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    if asked.points and (reason := trace.missing()):
        parser.error(reason)
    tables, words = [], []
    if asked.points:
        cuts = cut_power(asked.points, asked.seed, keep=asked.keep)
        tables.append(_table(CUTS, cuts, calls=_list(cuts.calls), choices=len(STYLES)))
        words += cuts.words
    if asked.kills:
        kills = kill(asked.kills, asked.seed)
        tables.append(_table(KILLS, kills))
        words += kills.words
    titles = {"Power cuts": asked.points, "Kills": asked.kills}
    page = PAGE.format(
        title=" and ".join(title for title, wanted in titles.items() if wanted),
        command=f"python -m tests.power --points {asked.points} --kills {asked.kills}"
        f" --seed {asked.seed}",
        date=datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        machine=machine(),
        kernel=platform.release(),
        sqlite=sqlite3.sqlite_version,
        version=__version__,
        seed=asked.seed,
        tables="\n".join(tables),
    )
    page += "".join(f"\n- {line}" for line in words)
    print(page)
    if asked.report is not None:
        asked.report.write_text(page, encoding="utf-8")
    return 1 if words else 0


def _table(form: str, found: Cuts | Kills, **more: object) -> str:
    faults = {kind: found.faults[kind] for kind in ("lost", "half", "damaged", "traces", "stuck")}
    operations = {"operations": _list(found.operations), "minutes": found.seconds / 60}
    return form.format(**{**vars(found), **faults, **operations, **more})


def _list(counts: dict[str, int]) -> str:
    words = ", ".join(f"{kind} {count:,}" for kind, count in sorted(counts.items()))
    return f"{sum(counts.values()):,}: {words}"


if __name__ == "__main__":
    sys.exit(main())
