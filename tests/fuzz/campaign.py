"""Many inputs, in parallel processes: who crashed, hung or erred, on which input, and how often.

Every input follows from the seed, its kind and its number, so any of them can be made again.
"""

from __future__ import annotations

import json
import os
import queue
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Chunk", "Finding", "Settings", "Tally", "plan", "run"]

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Settings:
    """How a campaign is run.

    Attributes:
        seed: Decides every input.
        workers: Processes at once.
        chunk: Inputs that a worker takes before it is replaced.
        seconds: Processor time of one input; a worker that needs more is ended by the system.
        stall: Seconds of the clock without any progress, after which a worker is ended.
        start: The same until a worker is ready.
        cap: MiB that one input may take.
        findings: Folder for inputs that found something.
    """

    seed: int
    workers: int = 2
    chunk: int = 2500
    seconds: int = 30
    stall: float = 300.0
    start: float = 300.0
    cap: int = 1024
    findings: Path = Path("fuzz-findings")


@dataclass(frozen=True)
class Chunk:
    """Inputs of one kind, from a number up to and without another."""

    kind: str
    start: int
    stop: int


@dataclass(frozen=True)
class Finding:
    """An input on which the product did what it must not, and what that was."""

    kind: str
    number: int
    what: str


@dataclass
class Tally:
    """What came of inputs of one kind."""

    inputs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    cpu_ms: float = 0.0
    slowest_ms: float = 0.0
    peak_kib: int = 0
    findings: list[Finding] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Takes another's counts in."""
        self.inputs += other.inputs
        self.outcomes.update(other.outcomes)
        self.cpu_ms += other.cpu_ms
        self.slowest_ms = max(self.slowest_ms, other.slowest_ms)
        self.peak_kib = max(self.peak_kib, other.peak_kib)
        self.findings += other.findings

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        # Not `asdict`, which copies a Counter wrongly before Python 3.12.
        found = [asdict(finding) for finding in self.findings]
        return {**vars(self), "outcomes": dict(self.outcomes), "findings": found}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Tally:
        """From what `plain` gave."""
        found = [Finding(**one) for one in plain["findings"]]
        return cls(**{**plain, "outcomes": Counter(plain["outcomes"]), "findings": found})


def plan(inputs: int, shares: Mapping[str, int], chunk: int) -> list[Chunk]:
    """So many inputs, shared out to kinds, in chunks; large kinds and small ones mixed."""
    total = sum(shares.values())
    counts = {kind: inputs * share // total for kind, share in shares.items()}
    counts[next(iter(shares))] += inputs - sum(counts.values())
    chunks = [
        Chunk(kind, start, min(start + chunk, count))
        for kind, count in counts.items()
        for start in range(0, count, chunk)
    ]
    return sorted(chunks, key=lambda c: (c.start, c.kind))


def run(
    settings: Settings, chunks: list[Chunk], state: Path | None = None, *, say: bool = False
) -> dict[str, Tally]:
    """Takes all chunks; with a state file, only those that are not in it yet.

    Args:
        settings: How.
        chunks: What.
        state: A line is appended for every chunk that is done.
        say: Tell of progress on stderr.

    Returns:
        Tallies by kind.
    """
    done = _recall(state, settings.seed)
    tallies: dict[str, Tally] = {chunk.kind: Tally() for chunk in chunks}
    waiting: queue.SimpleQueue[Chunk] = queue.SimpleQueue()
    for chunk in chunks:
        if chunk in done:
            tallies[chunk.kind].add(done[chunk])
        else:
            waiting.put(chunk)
    lock, failures = threading.Lock(), []

    def work() -> None:
        try:
            while True:
                chunk = waiting.get_nowait()
                tally = _take(settings, chunk)
                with lock:
                    tallies[chunk.kind].add(tally)
                    if state is not None:
                        line = {"seed": settings.seed, **asdict(chunk), "tally": tally.plain()}
                        with state.open("a", encoding="utf-8") as lines:
                            lines.write(json.dumps(line) + "\n")
                    if say:
                        print(f"{chunk}: {dict(tally.outcomes)}", file=sys.stderr, flush=True)
        except queue.Empty:
            return
        except BaseException as exc:
            # Raised again below, in the caller's thread.
            failures.append(exc)

    threads = [threading.Thread(target=work) for _ in range(settings.workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError("the harness itself failed") from failures[0]
    return tallies


def _recall(state: Path | None, seed: int) -> dict[Chunk, Tally]:
    if state is None or not state.exists():
        return {}
    lines = [json.loads(line) for line in state.read_text(encoding="utf-8").splitlines()]
    return {
        Chunk(line["kind"], line["start"], line["stop"]): Tally.of(line["tally"])
        for line in lines
        if line["seed"] == seed
    }


def _take(settings: Settings, chunk: Chunk) -> Tally:
    """One chunk; a worker that dies is replaced by one that goes on behind what killed it."""
    tally, start = Tally(), chunk.start
    while start < chunk.stop:
        start = _worker(settings, Chunk(chunk.kind, start, chunk.stop), tally)
    return tally


def _worker(settings: Settings, chunk: Chunk, tally: Tally) -> int:
    """Runs a worker to its end; returns the number of the input to go on with."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        prefix="edgeinc-fuzz-", dir=memory if memory.is_dir() else None
    ) as made:
        folder = Path(made)
        said = folder / "said.txt"
        (folder / "scratch").mkdir()
        entrance, exit_ = os.pipe()
        words = [chunk.kind, settings.seed, chunk.start, chunk.stop, folder / "scratch"]
        words += [settings.cap, settings.seconds, exit_]
        with said.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz.worker", *map(str, words)],
                cwd=ROOT,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "TMPDIR": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(exit_,),
                start_new_session=True,
            )
        os.close(exit_)
        try:
            current, stalled = _follow(settings, chunk.kind, entrance, tally)
            if stalled:
                os.killpg(process.pid, signal.SIGKILL)
        finally:
            os.close(entrance)
            _end(process)
        last = said.read_bytes()[-1500:].decode("utf-8", "replace").strip()
        for path in folder.glob("scratch/fault-*"):
            number = int(path.name.partition("-")[2])
            _keep(settings, chunk.kind, number, path)
        if current is None and process.returncode == 0:
            return chunk.stop
        if current is None:
            # Between inputs: the harness, not the product.
            raise RuntimeError(f"a worker for {chunk} failed: {last}")
        how = "made no progress" if stalled else _death(process.returncode, settings)
        _keep(settings, chunk.kind, current, folder / "scratch" / "current")
        tally.findings.append(Finding(chunk.kind, current, f"{how} ({last[-300:]})"))
        tally.inputs += 1
        tally.outcomes["FOUND"] += 1
        return current + 1


def _follow(settings: Settings, kind: str, entrance: int, tally: Tally) -> tuple[int | None, bool]:
    """Counts what a worker tells; returns the input that it did not end, and if it stalled."""
    current: int | None = None
    rest = b""
    end = time.monotonic() + settings.start
    while True:
        if not select.select([entrance], [], [], max(0.0, end - time.monotonic()))[0]:
            return current, True
        piece = os.read(entrance, 65536)
        if not piece:
            return current, False
        end = time.monotonic() + settings.stall
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            word, *more = line.decode("utf-8").split(" ", 2)
            if word == "begin":
                current = int(more[0])
                continue
            if word == "ready":
                continue
            tally.inputs += 1
            current = None
            if word == "fault":
                tally.outcomes["FOUND"] += 1
                tally.findings.append(Finding(kind, int(more[0]), json.loads(more[1])))
                continue
            outcome, cpu, peak = more[1].split(" ")
            tally.outcomes[outcome] += 1
            tally.cpu_ms += float(cpu)
            tally.slowest_ms = max(tally.slowest_ms, float(cpu))
            tally.peak_kib = max(tally.peak_kib, int(peak))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Waits for a worker that has closed its pipe, or ends it with all that it started."""
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _death(status: int, settings: Settings) -> str:
    if status == -signal.SIGPROF:
        return f"took more than {settings.seconds} s of processor time"
    if status < 0:
        return f"died by {signal.strsignal(-status)}"
    return f"ended the process with status {status}"


def _keep(settings: Settings, kind: str, number: int, source: Path) -> None:
    """Keeps the input of a finding."""
    place = settings.findings / f"{kind}-{settings.seed}-{number}"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(source, place)
