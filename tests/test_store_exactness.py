"""The sums, and what is predicted from them, depend on the survivors alone, to the last bit."""

from __future__ import annotations

import hashlib
import json
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from edgeinc.engine import memory as memories
from edgeinc.engine.memory import Memory
from edgeinc.features import Snapshot
from edgeinc.heads import NAMES
from edgeinc.learner import Learner
from edgeinc.store import NewExample, Store
from edgeinc.store.merging import merge as merging
from tests.fleets import MEMORY, Fleet, do, histories, hurry
from tests.stores import DIM, WEIGHTS, contents, integers, open_store

GOLDEN = Path(__file__).parent / "golden" / "sums.json"


@contextmanager
def memory_of(path: Path, head: str = "auto", dim: int = DIM) -> Iterator[Memory]:
    store = open_store(path, dim=dim)
    hurry(store)
    memory = Memory(store, Learner(dim, head=head), nonnegative=True)
    try:
        yield memory
    finally:
        memory.close()


def facts(snapshot: Snapshot) -> tuple[object, ...]:
    """Everything that a head is fitted to."""
    arrays = snapshot.counts, snapshot.sums, snapshot.rows, snapshot.gram
    return snapshot.labels, *(array.tobytes() for array in arrays)


def answers(path: Path) -> dict[str, object]:
    """What each head says of some pictures."""
    said: dict[str, object] = {}
    for head in NAMES:
        with memory_of(path, head) as memory:
            rankings = [memory.rank(integers(seed)[np.newaxis]) for seed in range(6)]
            said[head] = [(r.labels, r.probabilities.tobytes(), *r[2:]) for r in rankings]
    return said


def enroll_afresh(path: Path, survivors: dict[str, tuple[str, bytes]]) -> None:
    """A store that never held anything but these, in another order."""
    pairs = sorted(survivors.values())
    random.Random(0).shuffle(pairs)
    with open_store(path) as store:
        hurry(store)
        for label, blob in pairs:
            store.enroll([NewExample(label or None, np.frombuffer(blob, "<i2"))], **WEIGHTS)


@settings(max_examples=8)
@given(histories)
def test_any_history_leaves_the_sums_and_answers_of_its_survivors(
    history: list[tuple[int, tuple]],
) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        folder = Path(name)
        fleet = Fleet(folder)
        for device, step in history:
            fleet.act(device, step)
        fleet.agree()
        survivors = contents(fleet.stores[0])
        fleet.close()
        enroll_afresh(folder / "fresh.db", survivors)
        with memory_of(folder / "fresh.db") as memory:
            wanted = facts(memory.fitted().snapshot)
        for i in range(3):
            with memory_of(folder / f"{i}.db") as memory:
                assert facts(memory.fitted().snapshot) == wanted
        assert answers(folder / "2.db") == answers(folder / "fresh.db")


@settings(max_examples=12)
@given(histories)
def test_a_running_engine_that_merges_stays_exact(history: list[tuple[int, tuple]]) -> None:
    """It follows its own merges and purges, and those of others, with statistics kept between."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(dir=MEMORY) as name:
        patch.setattr(memories, "KEEP_EVERY", 2)
        patch.setattr(memories, "KEEP_AT_CLOSE", 1)
        # In every other history a merge of more than two examples counts as a large one.
        patch.setattr(merging, "AT_ONCE", 2 if len(history) % 2 else 4096)
        folder = Path(name)
        fleet = Fleet(folder)
        with memory_of(folder / "0.db", "ridge") as memory:
            for device, step in history:
                if step[0] == "copy":
                    continue
                # Archives are merged in by another connection, as by another process.
                if device == 0 and step[0] != "merge archive":
                    change_here(memory, fleet, step)
                else:
                    fleet.act(device, step)
            memory.rank(integers(0)[np.newaxis])
            memory.flush()
            found = facts(memory.fitted().snapshot)
        survivors = contents(fleet.stores[0])
        fleet.close()
        enroll_afresh(folder / "fresh.db", survivors)
        with memory_of(folder / "fresh.db", "ridge") as memory:
            assert facts(memory.fitted().snapshot) == found
        with memory_of(folder / "0.db", "ridge") as memory:
            assert facts(memory.fitted().snapshot) == found


def change_here(memory: Memory, fleet: Fleet, step: tuple) -> None:
    """A step on the first device, by way of its running engine."""
    own, kind, *what = fleet.stores[0], *step

    def operation(store: Store) -> Any:
        if kind.startswith("merge"):
            return store.merge([fleet.stores[what[0]].path])
        return do(store, kind, *what)

    assert own.path == memory.store.path
    try:
        memory.change(operation)
    except (LookupError, ValueError):
        return  # no such class or example, or a label that is taken


def stream(name: str, dim: int, *, signed: bool) -> NDArray[np.integer[Any]]:
    """Integers that follow from a name, the same in every version of everything."""
    raw = hashlib.shake_128(name.encode()).digest(2 * dim)
    if signed:
        return np.frombuffer(raw, "<i2") // 64
    return np.frombuffer(raw[:dim], np.uint8)


def measure(folder: Path, *, signed: bool) -> dict[str, object]:
    """Exact statistics after a history with a bit of everything, as plain numbers."""
    dim = 24

    def enroll(store: Store, label: str, *names: str) -> None:
        store.enroll(
            [NewExample(label, stream(f"{label} {n}", dim, signed=signed)) for n in names],
            **WEIGHTS,
        )

    with open_store(folder / "a.db", dim=dim) as a, open_store(folder / "b.db", dim=dim) as b:
        enroll(a, "nut", *map(str, range(40)))
        enroll(b, "bolt", *map(str, range(25)))
        b.merge([a.path])
        b.rename("nut", "hex nut")
        enroll(a, "washer", "1", "2", "3")
        a.undo()
        enroll(a, "gone", "1", "2")
        a.forget("gone", purge=True)
        enroll(a, "Straße", *map(str, range(7)))
        a.export(folder / "a.edgeinc")
        b.merge([folder / "a.edgeinc"])
        a.merge([b.path])
        b.close()
    store = open_store(folder / "a.db", dim=dim)
    memory = Memory(store, Learner(dim, head="proto"), nonnegative=not signed)
    snapshot = memory.fitted().snapshot
    gram = snapshot.gram.astype("<i8")
    found = {
        "labels": list(snapshot.labels),
        "counts": snapshot.counts.tolist(),
        "sums": snapshot.sums.tolist(),
        "gram diagonal": gram.diagonal().tolist(),
        "gram sha256": hashlib.sha256(gram.tobytes()).hexdigest(),
        "rows sha256": hashlib.sha256(snapshot.rows.astype("<i2").tobytes()).hexdigest(),
    }
    memory.close()
    return found


@pytest.mark.parametrize("kind", ["unsigned", "signed"])
def test_the_sums_are_those_of_every_other_machine(kind: str, tmp_path: Path) -> None:
    """The file is `measure` of both kinds, made on x86-64 (Python 3.11, numpy 2)."""
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert measure(tmp_path, signed=kind == "signed") == golden[kind]
