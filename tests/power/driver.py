"""Runs a history on a store, and says before and after each operation that it did.

As a process of its own (`python -m tests.power.driver FOLDER JOB`) the marks go into the trace
of its system calls; `tests.power.kills` calls `run` in processes that it kills.
"""

from __future__ import annotations

import ctypes
import pickle
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from edgeinc import Engine
from edgeinc.engine import memory
from tests.power.history import backbone, choose, execute, follow, observe
from tests.power.model import Model

__all__ = ["SPILLING", "STORE", "Job", "run"]

STORE = "s.db"
SPILLING = ("cache_size = 8",)
"""So small a cache that transactions spill into the file before their commit, as large ones do."""


class Job(NamedTuple):
    """A history to run.

    Attributes:
        model: What the store holds already.
        seed: What the operations follow from.
        operations: How many.
        pragmas: Settings of the connection that are not the product's own: `SPILLING`, or less
            durability, to show that its loss is found.
        keeping: Keep statistics beside the examples after a few changes, as otherwise only
            large stores do.
        verify: Compare with the model after each operation.
    """

    model: Model
    seed: int
    operations: int
    pragmas: tuple[str, ...] = ()
    keeping: bool = False
    verify: bool = False

    @classmethod
    def drawn(
        cls,
        model: Model,
        operations: int,
        rng: random.Random,
        *,
        pragmas: tuple[str, ...] = (),
        verify: bool = False,
    ) -> Job:
        """A job at random."""
        spilling = SPILLING if rng.random() < 0.4 else ()
        seed, keeping = rng.getrandbits(64), rng.random() < 0.5
        return cls(model, seed, operations, (*spilling, *pragmas), keeping, verify)


def run(folder: Path, job: Job, mark: Callable[[str], None]) -> None:
    """Run a history to its end, opening the store anew now and then."""
    if job.keeping:
        memory.KEEP_EVERY, memory.KEEP_AT_CLOSE = 2, 1
    rng, pauses = random.Random(job.seed), random.Random(job.seed + 1)
    model = job.model
    engine = _open(folder, job)
    mark(f"opened {engine._memory.store.device_id}")
    for number in range(job.operations):
        operation = choose(model, rng)
        mark(f"begin {number}")
        execute(engine, operation)
        mark(f"end {number}")
        follow(model, operation)
        if job.verify and not model.state().admits(observe(engine._memory.store)):
            raise AssertionError(f"the model does not hold after {operation}")
        if pauses.random() < 0.1:
            engine.close()
            engine = _open(folder, job)
    engine.close()


def _open(folder: Path, job: Job) -> Engine:
    engine = Engine.open(folder / STORE, backbone=backbone())
    with engine._memory.store._db._guarded() as conn:
        for pragma in job.pragmas:
            conn.execute(f"PRAGMA {pragma}").fetchall()
    return engine


def main(folder: str, job: str) -> None:
    library = ctypes.CDLL(None)

    def mark(words: str) -> None:
        content = words.encode()
        library.edgeinc_mark(content, ctypes.c_int64(len(content)))

    run(Path(folder), pickle.loads(Path(job).read_bytes()), mark)


if __name__ == "__main__":
    main(*sys.argv[1:])
