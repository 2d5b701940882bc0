"""Any history of several devices, in any order: they come to agree, to the last bit."""

from __future__ import annotations

import itertools
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from hypothesis import given, settings

from edgeinc.store import NewExample, Row, Store
from tests.fleets import MEMORY, Fleet, expected, expected_thresholds, histories, hurry, shared
from tests.stores import WEIGHTS, contents, open_store

Pair = tuple[str, bytes]


def pair(row: Row) -> Pair:
    """Label and content of a row, as `contents` gives it."""
    return row.label, row.embedding.astype("<i2").tobytes()


@contextmanager
def fleet_of(history: list[tuple[int, tuple]]) -> Iterator[Fleet]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        fleet = Fleet(Path(folder))
        try:
            for device, step in history:
                fleet.act(device, step)
            yield fleet
        finally:
            fleet.close()


@settings(max_examples=30)
@given(histories)
def test_every_merge_gives_the_union(history: list[tuple[int, tuple]]) -> None:
    with fleet_of([]) as fleet:
        known: list[dict[str, Pair]] = [{}, {}, {}]
        for device, step in history:
            others = {device, step[1]} if "merge" in step[0] else set()
            wanted = expected(fleet.stores[i].path for i in others)
            thresholds = expected_thresholds(fleet.stores[i].path for i in others)
            change = fleet.act(device, step)
            found = contents(fleet.stores[device])
            if step[0] == "copy":
                known[device] = found
            if others:
                assert found == wanted
                assert fleet.stores[device].thresholds() == thresholds
                before, after = set(known[device].values()), set(found.values())
                assert (change.came, change.went) == (len(after - before), len(before - after))
            for row in change.removed if change else ():
                assert known[device].pop(row.id) == pair(row)
            for row in change.added if change else ():
                assert row.id not in known[device]
                known[device][row.id] = pair(row)
            assert known[device] == found


@settings(max_examples=25)
@given(histories)
def test_devices_converge_to_the_same_bytes(history: list[tuple[int, tuple]]) -> None:
    with fleet_of(history) as fleet:
        wanted = expected(store.path for store in fleet.stores)
        thresholds = expected_thresholds(store.path for store in fleet.stores)
        fleet.agree()
        assert [store.thresholds() for store in fleet.stores] == [thresholds] * 3
        assert [contents(store) for store in fleet.stores] == [wanted] * 3
        first, *others = [shared(store) for store in fleet.stores]
        assert others == [first, first]
        lines = [len(store.log()) for store in fleet.stores]
        fleet.agree()
        # Nothing was new, and so nothing was written.
        assert [len(store.log()) for store in fleet.stores] == lines
        assert [shared(store) for store in fleet.stores] == [first] * 3


def merged(folder: Path, base: Path, *groups: list[Path]) -> bytes:
    """What a copy of a store shares after so many merges."""
    path = folder / "merged.db"
    shutil.copyfile(base, path)
    with open_store(path) as store:
        hurry(store)
        for group in groups:
            store.merge(group)
        return shared(store)


@settings(max_examples=10)
@given(histories)
def test_neither_order_nor_grouping_counts(history: list[tuple[int, tuple]]) -> None:
    with fleet_of(history) as fleet:
        a, b, c = (store.path for store in fleet.stores)
        folder = fleet.folder / "apart"
        folder.mkdir()
        outcomes = {
            merged(folder, x, *groups)
            for x, y, z in itertools.permutations([a, b, c])
            for groups in ([[y], [z]], [[y, z]], [[y], [z], [y], [x, z]])
        }
        # (a and b) and c; a and (b and c).
        shutil.copyfile(b, folder / "bc.db")
        with open_store(folder / "bc.db") as store:
            store.merge([c])
        outcomes.add(merged(folder, a, [folder / "bc.db"]))
        assert len(outcomes) == 1


def fresh(folder: Path, survivors: dict[str, Pair]) -> Store:
    """A store that never held anything but these, enrolled in another order."""
    store = open_store(folder / "fresh.db")
    pairs = sorted(survivors.values())
    random.Random(0).shuffle(pairs)
    for label, blob in pairs:
        store.enroll([NewExample(label, np.frombuffer(blob, "<i2"))], **WEIGHTS)
    return store
