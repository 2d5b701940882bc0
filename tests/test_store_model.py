"""Any history of operations, against a model that replays it; and the cost of one more."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinc.errors import LabelError, LabelNotFoundError, SampleNotFoundError
from edgeinc.store import Change, Store
from edgeinc.store.reading import CANONICAL, CLASSES
from edgeinc.store.state import DERIVE, REPRESENTATIVE
from edgeinc.types import NEGATIVE
from tests.stores import contents, enroll, integers, labels_of, open_store

LABELS = ["a", "b", "c"]
_label = st.sampled_from(LABELS)
_any = st.sampled_from([*LABELS, None])
_step = st.one_of(
    st.tuples(st.just("enroll"), _any, st.lists(st.integers(0, 4), min_size=1, max_size=4)),
    st.tuples(st.just("forget"), _any, st.booleans()),
    st.tuples(st.just("forget one"), st.integers(0, 30), st.booleans()),
    st.tuples(st.just("rename"), _label, _label),
    st.tuples(st.just("undo"), st.integers(1, 3)),
    st.tuples(st.just("purge")),
)


@dataclass
class Step:
    """An operation, as the ids that it enrolled, removed or gave another label."""

    enrolled: dict[str, tuple[str, int]] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()
    relabelled: frozenset[str] = frozenset()
    label: str = ""

    def ids(self) -> set[str]:
        return {*self.enrolled, *self.removed, *self.relabelled}


@dataclass
class Model:
    """What counts, by replaying every step that was not undone but for purged examples."""

    steps: list[Step] = field(default_factory=list)
    known: dict[str, tuple[str, int]] = field(default_factory=dict)
    purged: set[str] = field(default_factory=set)

    def labelled(self) -> dict[str, tuple[str, int]]:
        """Label and content of each example that was not purged, live or not."""
        found = {id: pair for id, pair in self.known.items() if id not in self.purged}
        for step in self.steps:
            for id in step.relabelled & found.keys():
                found[id] = (step.label, found[id][1])
        return found

    def live(self) -> dict[str, tuple[str, int]]:
        enrolled = {id for step in self.steps for id in step.enrolled}
        removed = {id for step in self.steps for id in step.removed}
        alive = enrolled - removed
        return {id: pair for id, pair in self.labelled().items() if id in alive}

    def counted(self) -> dict[str, tuple[str, bytes]]:
        """The least id of each label and content, as `contents` gives it."""
        least: dict[tuple[str, int], str] = {}
        for id, pair in self.live().items():
            least[pair] = min(id, least.get(pair, id))
        return {
            id: (label, integers(seed).astype("<i2").tobytes())
            for (label, seed), id in least.items()
        }

    def undo(self, n: int) -> None:
        for _ in range(n):
            able = [step for step in self.steps if step.ids() - self.purged]
            if able:
                self.steps.remove(able[-1])


def act(store: Store, model: Model, step: tuple) -> Change | None:
    """Do one step to both; None where the store had to refuse it, and did."""
    live, all_ = model.live(), model.labelled()
    kind, *what = step
    if kind == "enroll":
        label, seeds = what[0] or NEGATIVE, what[1]
        fresh = [s for s in dict.fromkeys(seeds) if (label, s) not in live.values()]
        change = enroll(store, what[0], *seeds)
        assert (len(change.ids), change.skipped) == (len(fresh), len(seeds) - len(fresh))
        if fresh:
            enrolled = {id: (label, s) for id, s in zip(change.ids, fresh, strict=True)}
            model.known.update(enrolled)
            model.steps.append(Step(enrolled=enrolled))
        return change
    if kind in ("forget", "forget one"):
        target, purge = what
        pool = all_ if purge else live
        if kind == "forget":
            ids = frozenset(id for id, (label, _) in pool.items() if label == (target or NEGATIVE))
            arguments = {"label": target}
        else:
            id = sorted(model.known)[target % len(model.known)] if model.known else "ab" * 16
            ids = frozenset(i for i, pair in pool.items() if pair == all_.get(id))
            arguments = {"sample": id}
        if not ids:
            with pytest.raises((LabelNotFoundError, SampleNotFoundError)):
                store.forget(**arguments, purge=purge)
            return None
        change = store.forget(**arguments, purge=purge)
        assert set(change.ids) == ids
        if purge:
            model.purged |= ids
        else:
            model.steps.append(Step(removed=ids))
        return change
    if kind == "rename":
        old, new = what
        enrolled_labels = {label for label, _ in live.values()}
        if old not in enrolled_labels or new in enrolled_labels:
            with pytest.raises((LabelNotFoundError, LabelError)):
                store.rename(old, new)
            return None
        ids = frozenset(id for id, (label, _) in all_.items() if label == old)
        model.steps.append(Step(relabelled=ids, label=new))
        return store.rename(old, new)
    if kind == "undo":
        model.undo(what[0])
        return store.undo(what[0])
    model.purged |= all_.keys() - live.keys()
    return store.purge()


@settings(max_examples=60)
@given(st.lists(_step, max_size=25))
def test_any_history_gives_what_its_replay_gives(steps: list[tuple]) -> None:
    model = Model()
    followed: dict[str, tuple[str, bytes]] = {}
    # Here a commit costs no disk; durability has tests of its own.
    with tempfile.TemporaryDirectory() as folder, open_store(Path(folder, "a.db")) as store:
        with store._db.reading() as conn:
            pass
        conn.execute("PRAGMA synchronous = OFF")
        for step in steps:
            change = act(store, model, step)
            for row in change.removed if change else ():
                assert followed.pop(row.id) == (row.label, row.embedding.astype("<i2").tobytes())
            for row in change.added if change else ():
                assert row.id not in followed
                followed[row.id] = (row.label, row.embedding.astype("<i2").tobytes())
            assert followed == contents(store) == model.counted()
        counts = {
            label: sum(1 for _ in group)
            for label, group in itertools.groupby(sorted(pair[0] for pair in followed.values()))
        }
        assert {i.id for c in counts for i in store.samples(c or None)} == followed.keys()
        assert store.negatives() == counts.pop(NEGATIVE, 0)
        assert labels_of(store) == counts


def steps_of_one_enrolment(store: Store, seed: int) -> int:
    """Instructions of SQLite's machine, to the nearest ten, that one enrolment takes."""
    count = itertools.count()

    def go_on() -> int:
        next(count)
        return 0

    with store._db.reading() as conn:
        pass
    conn.set_progress_handler(go_on, 10)
    try:
        enroll(store, "a class that grows", seed)
    finally:
        conn.set_progress_handler(None, 0)
    return 10 * next(count)


def test_enrolling_one_more_costs_no_more_in_a_large_store(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.db") as store:
        enroll(store, "a class that grows", *range(100))
        small = steps_of_one_enrolment(store, 100)
        enroll(store, "a class that grows", *range(101, 5000))
        large = steps_of_one_enrolment(store, 5000)
    assert 0 < small < 1000
    assert large <= small + 50


def plan(store: Store, query: str) -> Iterator[str]:
    with store._db.reading() as conn:
        marks = (1,) * query.count("?")
        for *_, words in conn.execute(f"EXPLAIN QUERY PLAN {query}", marks):
            yield words


def test_no_query_on_a_hot_path_scans_or_sorts_examples(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.db") as store:
        for query in (CANONICAL, CLASSES):
            steps = list(plan(store, query))
            assert not [step for step in steps if "TEMP B-TREE" in step]
            wanted = "USING COVERING INDEX samples_content" if query is CANONICAL else "classes"
            assert [step for step in steps if wanted in step]
        (step,) = plan(store, REPRESENTATIVE)
        assert "USING COVERING INDEX samples_content" in step
        assert "digest=?" in step
        assert not [step for step in plan(store, DERIVE) if step.startswith("SCAN")]
