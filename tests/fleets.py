"""Several devices, each with a store, and whatever may be done to them."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from edgeinc.errors import LabelError, NotFoundError
from edgeinc.store import Change, Store
from edgeinc.store.content import digest
from edgeinc.store.merging.lines import write_record
from edgeinc.store.merging.sources import StoreSource
from tests.stores import contents, enroll, open_store

LABELS = ["a", "b", "c"]
_label = st.sampled_from(LABELS)
_any = st.sampled_from([*LABELS, None])
_device = st.integers(0, 2)
_step = st.one_of(
    st.tuples(st.just("enroll"), _any, st.lists(st.integers(0, 4), min_size=1, max_size=3)),
    st.tuples(st.just("forget"), _any, st.booleans()),
    st.tuples(st.just("forget one"), st.integers(0, 30), st.booleans()),
    st.tuples(st.just("rename"), _label, _label),
    st.tuples(st.just("threshold"), _label, st.sampled_from([0.2, 0.8, None])),
    st.tuples(st.just("undo"), st.integers(1, 3)),
    st.tuples(st.just("purge")),
    st.tuples(st.just("merge"), _device),
    st.tuples(st.just("merge"), _device),
    st.tuples(st.just("merge archive"), _device),
    st.tuples(st.just("copy"), _device),
)
histories = st.lists(st.tuples(_device, _step), min_size=5, max_size=30)

# In memory where the system has it: many small files, none of which needs to last.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


class Fleet:
    """Three stores of one backbone in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stores = [self._open(i) for i in range(3)]

    def _open(self, i: int) -> Store:
        store = open_store(self.folder / f"{i}.db")
        hurry(store)
        return store

    def act(self, device: int, step: tuple) -> Change | None:
        """Do one step; None where it was refused, or was none of the store's."""
        store = self.stores[device]
        kind, *what = step
        if kind == "merge":
            return store.merge([self.stores[what[0]].path])
        if kind == "merge archive":
            self.stores[what[0]].export(self.folder / "x.edgeinc")
            return store.merge([self.folder / "x.edgeinc"])
        if kind == "copy":
            # A technician puts the other's card in: from now on there are two of it.
            if what[0] != device:
                store.close()
                shutil.copyfile(self.stores[what[0]].path, self.folder / f"{device}.db")
                self.stores[device] = self._open(device)
            return None
        try:
            return do(store, kind, *what)
        except (NotFoundError, LabelError):
            return None

    def agree(self) -> None:
        """Merge until each has what any of them has."""
        for i, j in [(0, 1), (0, 2), (1, 0), (2, 0)]:
            self.stores[i].merge([self.stores[j].path])

    def close(self) -> None:
        for store in self.stores:
            store.close()


def hurry(store: Store) -> None:
    """Here a commit costs no disk; durability has tests of its own."""
    with store._db.reading() as conn:
        pass
    conn.execute("PRAGMA synchronous = OFF")


def do(store: Store, kind: str, *what: Any) -> Change:
    """Any operation of one store."""
    if kind == "enroll":
        return enroll(store, what[0], *what[1])
    if kind == "forget":
        return store.forget(what[0], purge=what[1])
    if kind == "forget one":
        ids = sorted(contents(store)) or ["0" * 32]
        return store.forget(sample=ids[what[0] % len(ids)], purge=what[1])
    if kind == "rename":
        return store.rename(*what)
    if kind == "threshold":
        return store.set_threshold(*what)
    if kind == "undo":
        return store.undo(what[0])
    return store.purge()


def shared(store: Store) -> bytes:
    """All that a store shares, as it stands in an archive."""
    return b"".join(write_record(record) for record in StoreSource(store._db).records())


def expected_thresholds(paths: Iterable[Path]) -> dict[str, float]:
    """The thresholds in the union of some stores, worked out from their tables alone."""
    told: dict[bytes, set[bytes]] = {}
    operations: dict[bytes, tuple[int, bytes, bool, float | None]] = {}
    paths = list(paths)
    for path in paths:
        with closing(sqlite3.connect(path)) as conn:
            for uid, counter, device, undone, value in conn.execute(
                "SELECT o.uid, counter, d.uid, undone, threshold FROM operations o"
                " JOIN devices d ON d.id = o.device"
            ):
                former = operations.get(uid, (0, b"", False, None))[2]
                operations[uid] = (counter, device, bool(undone) or former, value)
            for uid, operation in conn.execute(
                "SELECT s.uid, o.uid FROM thresholds t JOIN samples s ON s.id = t.sample"
                " JOIN operations o ON o.id = t.operation"
            ):
                told.setdefault(uid, set()).add(operation)
    latest: dict[str, tuple[int, bytes, bytes]] = {}
    for uid, (label, _) in _live(paths).items():
        for operation in told.get(uid, ()):
            counter, device, undone, _ = operations[operation]
            if not undone:
                latest[label] = max(latest.get(label, (0, b"", b"")), (counter, device, operation))
    values = {label: operations[key[2]][3] for label, key in latest.items()}
    return {label: value for label, value in values.items() if value is not None}


def expected(paths: Iterable[Path]) -> dict[str, tuple[str, bytes]]:
    """What counts in the union of some stores, worked out from their tables alone."""
    least: dict[tuple[str, bytes], bytes] = {}
    found = _live(paths)
    for uid, (label, blob) in found.items():
        key = (label, digest(blob))
        least[key] = min(uid, least.get(key, uid))
    return {
        uid.hex(): (label, b"".join(bytes([value, 0]) for value in found[uid][1]))
        for (label, _), uid in least.items()
    }


def _live(paths: Iterable[Path]) -> dict[bytes, tuple[str, bytes]]:
    """Label and content of every example that is live, by its id."""
    operations: dict[bytes, tuple[int, bytes, bool]] = {}
    examples: dict[bytes, tuple[bytes, str, bytes]] = {}
    purged: set[bytes] = set()
    removals: dict[bytes, set[bytes]] = {}
    relabels: dict[bytes, dict[bytes, str]] = {}
    for path in paths:
        with closing(sqlite3.connect(path)) as conn:
            for uid, counter, device, undone in conn.execute(
                "SELECT o.uid, counter, d.uid, undone FROM operations o"
                " JOIN devices d ON d.id = o.device"
            ):
                former = operations.get(uid, (0, b"", False))[2]
                operations[uid] = (counter, device, bool(undone) or former)
            purged |= {
                uid for (uid,) in conn.execute("SELECT uid FROM samples WHERE class IS NULL")
            }
            for uid, operation, label, blob in conn.execute(
                "SELECT s.uid, o.uid, c.label, s.embedding FROM samples s"
                " JOIN operations o ON o.id = s.operation JOIN classes c ON c.id = s.origin"
            ):
                examples[uid] = (operation, label, blob)
            for uid, operation in conn.execute(
                "SELECT s.uid, o.uid FROM removals r JOIN samples s ON s.id = r.sample"
                " JOIN operations o ON o.id = r.operation"
            ):
                removals.setdefault(uid, set()).add(operation)
            for uid, operation, label in conn.execute(
                "SELECT s.uid, o.uid, c.label FROM relabels r JOIN samples s ON s.id = r.sample"
                " JOIN operations o ON o.id = r.operation JOIN classes c ON c.id = r.class"
            ):
                relabels.setdefault(uid, {})[operation] = label
    live: dict[bytes, tuple[str, bytes]] = {}
    for uid, (enrolment, label, blob) in examples.items():
        takers = [enrolment, *()] if operations[enrolment][2] else []
        takers += [o for o in removals.get(uid, ()) if not operations[o][2]]
        if uid in purged or takers:
            continue
        given = [(*operations[o][:2], o) for o in relabels.get(uid, ()) if not operations[o][2]]
        if given:
            label = relabels[uid][max(given)[2]]
        live[uid] = (label, blob)
    return live
