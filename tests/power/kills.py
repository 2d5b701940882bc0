"""Real kills: processes that run a history on one store, each ended by SIGKILL at random.

The processes are forked by one that has loaded everything (`python -m tests.power.kills FOLDER`),
so that a kill costs no start of Python. What a kill left is judged in a copy: the next process
finds it as it was, so that kills also hit recovery.
"""

from __future__ import annotations

import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.power.cuts import LARGEST, NEW, ROOT, Left
from tests.power.driver import STORE, Job, run
from tests.power.history import DIM, LABELS, choose, follow
from tests.power.model import Example
from tests.power.verdict import Past, judge, still_destroyed

__all__ = ["Kills", "kill"]

ENDLESS = 1_000_000
PATIENCE = 60.0
"""Seconds after which a process that does nothing is an error."""


@dataclass
class Kills:
    """What a run tried and found.

    Attributes:
        kills: Processes killed.
        during: Of these, how many were at an operation, the others opening or in between.
        hot: How many left a journal to play back.
        operations: Acknowledged operations, by kind.
        there: Kills after which an operation that had not returned was wholly there.
        faults: What was found, by kind.
        words: About the first few of them.
    """

    seed: int
    kills: int = 0
    during: int = 0
    hot: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    there: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    words: list[str] = field(default_factory=list)
    seconds: float = 0.0


def kill(kills: int, seed: int) -> Kills:
    """Kill so many processes and count what is found."""
    rng = random.Random(seed)
    result = Kills(seed)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        work = Path(name)
        command = [sys.executable, "-m", "tests.power.kills", str(work)]
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as nursery:
            left = NEW
            for _ in range(kills):
                if len(left.moment.model.examples) > LARGEST:
                    left = NEW
                    shutil.rmtree(work / "store")
                (work / "store").mkdir(exist_ok=True)
                job = Job.drawn(left.moment.model, ENDLESS, rng)
                past = _past(_killed(work, nursery, job, rng), job, left, result)
                left = _judged(work, past, rng, result)
            nursery.stdin.close()
    result.seconds = time.monotonic() - start
    return result


def _killed(
    work: Path, nursery: subprocess.Popen[str], job: Job, rng: random.Random
) -> list[list[str]]:
    """Start a process, kill it, and read what it said."""
    marks = work / "marks"
    marks.write_bytes(b"")
    (work / "job").write_bytes(pickle.dumps(job))
    nursery.stdin.write("\n")
    nursery.stdin.flush()
    process = int(nursery.stdout.readline())
    # A few marks and then a moment, so that a busy machine is killed as late as an idle one.
    least, end = rng.choice((0, 0, 20, 100, 200)), time.monotonic() + PATIENCE
    try:
        while marks.stat().st_size < least:
            if time.monotonic() > end:
                raise TimeoutError("the process does nothing")
            time.sleep(0.0005)
        time.sleep(rng.uniform(0, 0.02))
    finally:
        os.kill(process, signal.SIGKILL)
    status = nursery.stdout.readline().strip()
    if status != str(-signal.SIGKILL):
        raise RuntimeError(f"the process ended by itself: {status}")
    return [line.split() for line in marks.read_text().splitlines()]


def _past(marks: list[list[str]], job: Job, left: Left, result: Kills) -> Past:
    """What must be there, from what the process said before it was killed."""
    rng, model = random.Random(job.seed), job.model.copy()
    moments, device, acknowledged = [left.moment], left.device, 0
    destroyed = left.destroyed
    for what, value in marks:
        if what == "opened":
            device, destroyed = value, left.moment.secrets
        elif what == "begin":
            operation = choose(model, rng)
            follow(model, operation)
            moments.append(model.moment())
        else:
            acknowledged += 1
            result.operations[operation.kind] += 1
            destroyed = moments[acknowledged].secrets
    result.during += len(moments) > acknowledged + 1
    return Past(moments, acknowledged, device, destroyed)


def _judged(work: Path, past: Past, rng: random.Random, result: Kills) -> Left:
    """Judge a copy; what the store holds now, its files aside."""
    result.kills += 1
    copy = work / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(work / "store", copy)
    journals = [file for file in copy.iterdir() if file.name != STORE]
    result.hot += any(file.read_bytes()[:1] > b"\0" for file in journals)
    example = Example(rng.choice(LABELS), rng.randbytes(DIM), "after the kill", None)
    verdict = judge(copy, past, go_on=example)
    if verdict.fault is None:
        moment = past.moments[verdict.operation]
        result.there += moment.state != past.moments[past.acknowledged].state
        return Left({}, moment, past.device, still_destroyed(past, moment))
    result.faults[verdict.fault] += 1
    result.words.append(f"{verdict.fault} (kill {result.kills}): {verdict.words}")
    shutil.rmtree(work / "store")
    return NEW


def _nursery(work: Path) -> None:
    """Fork a process for each line of input; say its id, and how it ended."""
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            _child(work)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _child(work: Path) -> None:
    """Run the history until killed; not for ever, should nobody be left to do so."""
    signal.alarm(int(2 * PATIENCE))
    marks = os.open(work / "marks", os.O_WRONLY | os.O_APPEND)
    try:
        run(
            work / "store",
            pickle.loads((work / "job").read_bytes()),
            lambda words: os.write(marks, f"{words}\n".encode()),
        )
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


if __name__ == "__main__":
    _nursery(Path(sys.argv[1]))
