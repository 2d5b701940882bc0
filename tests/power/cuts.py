"""Simulated power cuts: histories are recorded, and cut short after each of their calls."""

from __future__ import annotations

import hashlib
import pickle
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.power import trace
from tests.power.disk import STYLES, Disk
from tests.power.driver import STORE, Job
from tests.power.history import DIM, LABELS, choose, follow
from tests.power.model import Example, Model, Moment
from tests.power.verdict import Past, Verdict, judge, still_destroyed

__all__ = ["NEW", "Cuts", "Left", "cut_power", "scratch"]

ROOT = Path(__file__).parents[2]
OPERATIONS = 24
LARGEST = 150


@dataclass
class Cuts:
    """What a run tried and found.

    Attributes:
        points: Moments between two calls at which the power went.
        states: Folders as the disk may have held them then, no two of a moment alike.
        hot: How many of them held a journal beside the store.
        histories: Recorded processes; each goes on from what a cut has left of the one before.
        operations: Acknowledged operations, by kind.
        calls: Recorded calls, by kind.
        kept: How many held statistics beside the examples.
        there: States in which an operation that had not returned yet was wholly there.
        faults: What was found, by kind.
        words: About the first few of them.
    """

    seed: int
    points: int = 0
    states: int = 0
    hot: int = 0
    histories: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    kept: int = 0
    there: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    words: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Left(NamedTuple):
    """What a cut left: files, and what the store among them holds.

    Where the cut came in a purge, the files may still hold what it destroys: only the next
    opening wipes it. So `destroyed` may be less than the moment's secrets; see `Past`.
    """

    files: dict[str, bytes]
    moment: Moment
    device: str | None
    destroyed: set[bytes]


NEW = Left({}, Model().moment(), None, set())


class _Cut(NamedTuple):
    """A moment at which the power may go: the disk as it is then, and what must be on it."""

    disk: Disk
    past: Past


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder in memory where there is one: thousands of stores are opened in it."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(prefix="power-", dir=memory if memory.is_dir() else None)


def cut_power(
    points: int,
    seed: int,
    *,
    operations: int = OPERATIONS,
    choices: int = len(STYLES),
    pragmas: tuple[str, ...] = (),
    deaf: frozenset[str] = frozenset(),
    keeping: bool = False,
    keep: Path | None = None,
) -> Cuts:
    """Try so many cuts and count what is found.

    Args:
        points: How many moments.
        seed: Everything random follows from it, but for the ids in the stores.
        operations: In each history.
        choices: How many of `STYLES`, drawn anew at each moment.
        pragmas: Settings of the recorded process's connection; see `Job`.
        deaf: Syncs that the disk ignores; see `Disk`.
        keeping: Every history keeps statistics beside the examples; else half of them do.
        keep: Faulty folders are copied to here.
    """
    rng = random.Random(seed)
    cuts = Cuts(seed)
    start = time.monotonic()
    with scratch() as name:
        work = Path(name).resolve()
        library = trace.build(work)
        left = NEW
        while cuts.points < points:
            if len(left.moment.model.examples) > LARGEST or rng.random() < 0.2:
                left = NEW
            job = Job.drawn(left.moment.model, operations, rng, pragmas=pragmas, verify=True)
            job = job._replace(keeping=keeping or job.keeping)
            calls = _record(work, library, job, left.files)
            cuts.histories += 1
            # The next history goes on from what one of these cuts left, each as likely.
            for at, cut in enumerate(_replay(calls, job, left, deaf, cuts)):
                sound = _try(work / "cut", cut, rng.sample(STYLES, choices), rng, cuts, keep)
                if cuts.points == points:
                    break
                if sound and rng.random() < 1 / (at + 1):
                    heir = rng.choice(sound)
            left = heir
    cuts.seconds = time.monotonic() - start
    return cuts


def _record(work: Path, library: Path, job: Job, files: dict[str, bytes]) -> list[trace.Call]:
    """The calls of a process that runs a history; what they leave is checked against the disk."""
    folder, record, order = work / "store", work / "calls", work / "job"
    _fill(folder, files)
    record.unlink(missing_ok=True)
    order.write_bytes(pickle.dumps(job))
    subprocess.run(
        [sys.executable, "-m", "tests.power.driver", str(folder), str(order)],
        cwd=ROOT,
        env=trace.environment(library, folder, record),
        check=True,
    )
    calls = list(trace.read(record, folder))
    disk = Disk(files)
    for call in calls:
        if call.kind != "mark":
            disk.apply(call)
    if disk.files() != {file.name: file.read_bytes() for file in folder.iterdir()}:
        raise AssertionError("the recorded calls do not make the files that they made")
    return calls


def _replay(
    calls: list[trace.Call], job: Job, left: Left, deaf: frozenset[str], cuts: Cuts
) -> Iterator[_Cut]:
    """Every moment of a history at which a power cut may leave something new."""
    disk = Disk(left.files, deaf=deaf)
    moments, device, acknowledged = [left.moment], left.device, 0
    destroyed = left.destroyed
    rng, model = random.Random(job.seed), left.moment.model.copy()
    for call in calls:
        cuts.calls[call.kind] += 1
        if call.kind != "mark":
            if disk.apply(call):
                yield _Cut(disk, Past(moments, acknowledged, device, destroyed))
            continue
        what, value = call.content.decode().split()
        if what == "begin":
            operation = choose(model, rng)
            follow(model, operation)
            moments.append(model.moment())
            continue
        if what == "opened":
            device = value
        else:
            acknowledged += 1
            cuts.operations[operation.kind] += 1
        destroyed = moments[acknowledged].secrets
        yield _Cut(disk, Past(moments, acknowledged, device, destroyed))


def _try(
    folder: Path,
    cut: _Cut,
    styles: list[str],
    rng: random.Random,
    cuts: Cuts,
    keep: Path | None,
) -> list[Left]:
    """Open what the disk may hold after a cut, several times over; what was sound."""
    cuts.points += 1
    seen: set[bytes] = set()
    sound = []
    for style in styles:
        files = cut.disk.cut(style, rng)
        digest = hashlib.sha256(pickle.dumps(sorted(files.items()))).digest()
        if digest in seen:
            continue
        seen.add(digest)
        cuts.states += 1
        cuts.hot += any(content[:1] > b"\0" for name, content in files.items() if name != STORE)
        _fill(folder, files)
        verdict = judge(folder, cut.past, go_on=_another(rng) if rng.random() < 0.1 else None)
        if verdict.fault is None:
            moment = cut.past.moments[verdict.operation]
            cuts.kept += verdict.kept
            cuts.there += moment.state != cut.past.moments[cut.past.acknowledged].state
            destroyed = still_destroyed(cut.past, moment)
            sound.append(Left(files, moment, cut.past.device, destroyed))
            continue
        _note(cuts, verdict, style, files, keep)
    return sound


def _note(
    cuts: Cuts, verdict: Verdict, style: str, files: dict[str, bytes], keep: Path | None
) -> None:
    cuts.faults[str(verdict.fault)] += 1
    where = f"history {cuts.histories}, cut {cuts.points}, {style} of what was not synced"
    if len(cuts.words) < 10:
        cuts.words.append(f"{verdict.fault} ({where}): {verdict.words}")
        if keep is not None:
            _fill(keep / f"{cuts.seed}-{cuts.points}-{style}", files)


def _another(rng: random.Random) -> Example:
    return Example(rng.choice(LABELS), rng.randbytes(DIM), "after the cut", None)


def _fill(folder: Path, files: dict[str, bytes]) -> None:
    """A folder with these files and no others."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
