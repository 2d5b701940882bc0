"""A process that takes inputs of one kind, one after another, and tells of each on a pipe.

    python -m tests.fuzz.worker KIND SEED START STOP FOLDER CAP_MIB SECONDS PIPE

Lines on the pipe: `ready`, `begin NUMBER`, then `end NUMBER OUTCOME CPU_MS PEAK_KIB`, or
`fault NUMBER` with a JSON text of what went wrong. A worker that dies leaves a `begin` without
an end: the input of that number has killed it.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from edgeinc.errors import EdgeincError

__all__ = ["Files", "Kind", "Wrong", "generator", "main", "write"]

Files = Mapping[str, bytes]
"""An input: names of files and what is in them."""

PRODUCT = f"{os.sep}edgeinc{os.sep}"


class Wrong(Exception):
    """The product answered, and the answer is wrong."""


class Kind(Protocol):
    """What is fuzzed. A module of `tests.fuzz.kinds` holds a class `Kind`, made once a worker."""

    def __init__(self, folder: Path) -> None:
        """Makes seeds; always the same. `folder` is for scratch."""

    def make(self, rng: random.Random) -> Files:
        """An input."""

    def run(self, files: Files, rng: random.Random) -> str:
        """Has the product take it; returns what came of it, or raises EdgeincError.

        Raises:
            Wrong: The product gave a wrong answer.
        """


def generator(seed: int, kind: str, number: int) -> random.Random:
    """What decides everything about one input."""
    return random.Random(f"{seed} {kind} {number}")


def load(kind: str, folder: Path) -> Kind:
    """The kind of that name, ready."""
    made: Kind = importlib.import_module(f"tests.fuzz.kinds.{kind}").Kind(folder)
    return made


def main(words: list[str]) -> None:
    """Takes the inputs from START up to, and without, STOP."""
    kind, seed, start, stop = words[0], int(words[1]), int(words[2]), int(words[3])
    folder, cap, seconds, pipe = Path(words[4]), int(words[5]) << 20, int(words[6]), int(words[7])
    with os.fdopen(pipe, "w", encoding="utf-8", buffering=1) as out:
        threads: list[str] = []
        threading.excepthook = lambda args: threads.append(_words(args.exc_value))
        target = load(kind, folder)
        base = _status("VmRSS")
        _limit(cap)
        print("ready", file=out)
        for number in range(start, stop):
            rng = generator(seed, kind, number)
            files = target.make(rng)
            # Should the process die, its input is there to be looked at.
            shutil.rmtree(folder / "current", ignore_errors=True)
            write(files, folder / "current")
            print(f"begin {number}", file=out)
            _reset_peak()
            # Counts the time of all threads, and ends the process wherever it is.
            signal.setitimer(signal.ITIMER_PROF, seconds)
            began = time.process_time()
            outcome, fault = _take(target, files, rng)
            signal.setitimer(signal.ITIMER_PROF, 0)
            if threads:
                fault = " | ".join(threads)
                threads.clear()
            cpu, peak = 1000 * (time.process_time() - began), _status("VmHWM") - base
            if fault is None and peak > cap >> 10:
                fault = f"took {peak >> 10} MiB"
            if fault is not None:
                write(files, folder / f"fault-{number}")
                print(f"fault {number} {json.dumps(fault)}", file=out)
            else:
                print(f"end {number} {outcome} {cpu:.0f} {max(peak, 0)}", file=out)


def _take(target: Kind, files: Files, rng: random.Random) -> tuple[str, str | None]:
    """Outcome, and what is wrong, or None."""
    try:
        return target.run(files, rng), None
    except EdgeincError as exc:
        return type(exc).__name__, _complaint(exc)
    except Exception as exc:  # whatever it is, it should not have come out
        return "", _words(exc)


def _complaint(exc: EdgeincError) -> str | None:
    """What is wrong with an error of ours: a message must be one line for people."""
    text = str(exc)
    if not text or "\n" in text or len(text) > 2000:
        return f"{type(exc).__name__} with a message of {len(text)} characters: {text[:300]!r}"
    return None


def _words(exc: BaseException | None) -> str:
    """An exception, and the last place in the product that it passed."""
    frames = traceback.extract_tb(exc.__traceback__ if exc else None)
    places = [f"{f.filename.rpartition(PRODUCT)[2]}:{f.lineno}" for f in frames]
    ours = [p for f, p in zip(frames, places, strict=True) if PRODUCT in f.filename]
    return f"{type(exc).__name__}: {str(exc)[:300]} at {(ours or places or ['?'])[-1]}"


def _limit(cap: int) -> None:
    """No input may allocate more than the cap, with as much again for allocators' slack."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    used = _status("VmData") << 10
    if used:
        resource.setrlimit(resource.RLIMIT_DATA, (used + 2 * cap, used + 2 * cap))


def _status(key: str) -> int:
    """KiB that Linux says of this process; 0 elsewhere."""
    try:
        with Path("/proc/self/status").open(encoding="ascii") as lines:
            return next((int(line.split()[1]) for line in lines if line.startswith(key)), 0)
    except OSError:
        return 0


def _reset_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        # Then the peak is that of all inputs so far.
        return


def write(files: Files, folder: Path) -> None:
    """Puts an input into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    main(sys.argv[1:])
