"""`python -m tests.fuzz --inputs 100000 --seed 1`."""

from __future__ import annotations

import argparse
import datetime
import os
import sys
import time
from pathlib import Path

from tests.fuzz import campaign, report
from tests.fuzz.kinds import SHARES

__all__ = ["main"]

ROOT = Path(__file__).parents[2]


def main(arguments: list[str] | None = None) -> int:
    """Runs a campaign; returns 1 where it found something."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--chunk", type=int, default=2500, help="inputs of one worker process")
    parser.add_argument("--kind", action="append", choices=sorted(SHARES), help="only this kind")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--state", type=Path, help="remembers what is done, to go on later")
    parser.add_argument("--report", type=Path, help="puts the result into this file")
    given = parser.parse_args(arguments)
    shares = {kind: n for kind, n in SHARES.items() if not given.kind or kind in given.kind}
    settings = campaign.Settings(
        seed=given.seed, workers=given.workers, chunk=given.chunk, findings=given.findings
    )
    chunks = campaign.plan(given.inputs, shares, given.chunk)
    began = time.monotonic()
    tallies = campaign.run(settings, chunks, given.state, say=True)
    command = f"python -m tests.fuzz --inputs {given.inputs} --seed {given.seed}"
    command += "".join(f" --kind {kind}" for kind in given.kind or ())
    today = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    text = report.words(
        settings, tallies, command=command, when=today, took=time.monotonic() - began
    )
    sys.stdout.write(text)
    if given.report is not None:
        report.put(text, given.report)
    return 1 if any(tally.findings for tally in tallies.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
