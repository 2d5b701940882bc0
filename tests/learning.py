"""Memories of small stores, for the tests of what is learned from a store."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinc.engine.memory import Memory
from edgeinc.features import Snapshot
from edgeinc.learner import Learner
from edgeinc.store import Change, Store
from tests.stores import DIM, WEIGHTS, contents, open_store, shot

Deed = Callable[[Store], Change]


@contextmanager
def memory_of(store: Store | Path, head: str = "ridge") -> Iterator[Memory]:
    """A store, open or to be opened, and its learner."""
    opened = open_store(store) if isinstance(store, Path) else store
    memory = Memory(opened, Learner(DIM, head=head), nonnegative=True)
    try:
        yield memory
    finally:
        memory.close()


def facts(snapshot: Snapshot) -> tuple[object, ...]:
    """All that a head may be fitted to, bit for bit."""
    arrays = snapshot.counts, snapshot.sums, snapshot.rows, snapshot.gram
    return snapshot.labels, snapshot.keys, *(array.tobytes() for array in arrays)


def learn(label: str | None, *seeds: int) -> Deed:
    """Enrol one class, or negatives, an example a seed."""
    return lambda store: store.enroll([shot(label, seed) for seed in seeds], **WEIGHTS)


def any_deed(rng: random.Random, store: Store) -> Deed:
    """Anything that may be done to a store; few contents, so that many are alike."""
    label, other = rng.sample(["a", "b", "c", "d"], 2)
    seeds = [rng.randrange(6) for _ in range(rng.randrange(1, 5))]
    samples = list(contents(store)) or ["0" * 32]
    return rng.choice(
        [
            learn(label, *seeds),
            learn(other, *seeds),
            learn(None, *seeds),
            lambda s: s.forget(None),
            lambda s: s.set_threshold(label, rng.choice([0.25, 0.75, None])),
            lambda s: s.forget(label),
            lambda s: s.forget(label, purge=True),
            lambda s: s.forget(sample=rng.choice(samples)),
            lambda s: s.rename(label, other),
            lambda s: s.undo(rng.randrange(1, 3)),
            lambda s: s.purge(),
        ]
    )


def counted(monkeypatch: pytest.MonkeyPatch, room: ModuleType) -> list[int]:
    """From now on, the number of rows in each product that a module makes for a Gram."""
    worked: list[int] = []
    real = room.accumulate

    def counting(total: NDArray[np.float64], rows: NDArray[np.int16], sign: int) -> None:
        worked.append(len(rows))
        real(total, rows, sign)

    monkeypatch.setattr(room, "accumulate", counting)
    return worked
