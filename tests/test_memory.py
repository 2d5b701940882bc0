"""A learner follows its store, whoever commits and whenever."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinc import learner as learner_room
from edgeinc.engine import follower, source
from edgeinc.engine.memory import ASK_EVERY, Memory
from edgeinc.errors import NotFoundError, StoreBusyError, StoreError
from edgeinc.learner import Learner
from edgeinc.store import Change, Delta, Position, Store
from edgeinc.types import SampleInfo
from tests.learning import any_deed, counted, facts, learn, memory_of
from tests.stores import DIM, WEIGHTS, contents, enroll, integers, open_store, shot

Step = Callable[[], object]


class Raced(Store):
    """A store where something happens just before it is asked what changed, or for a sample."""

    before: dict[str, Step]

    def since(self, seq: Position, *, most: int, wait: float | None = None) -> Delta | None:
        self._happens("since")
        return super().since(seq, most=most, wait=wait)

    def sample(self, id: str) -> SampleInfo:
        self._happens("sample")
        return super().sample(id)

    def _happens(self, when: str) -> None:
        getattr(self, "before", {}).pop(when, lambda: None)()


def raced(path: Path) -> Raced:
    return Raced.open(path, backbone="tiny", fingerprint="f" * 64, dim=DIM, timeout=0.1)


@contextmanager
def alone(path: Path) -> Iterator[sqlite3.Connection]:
    """Keeps the file from everybody else, as the last moment of a commit does."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield connection
    finally:
        connection.close()


def query(seed: int) -> Any:
    return integers(seed)[np.newaxis]


def afresh(path: Path) -> tuple[object, ...]:
    with memory_of(open_store(path)) as memory:
        return facts(memory.fitted().snapshot)


@pytest.mark.parametrize("seed", range(3))
def test_two_that_take_turns_both_know_what_is_committed(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    path = tmp_path / "s.db"
    done = 0
    with memory_of(open_store(path)) as one, memory_of(open_store(path)) as two:
        for _ in range(60):
            memory = rng.choice([one, two])
            try:
                memory.change(any_deed(rng, memory.store))
            except (NotFoundError, ValueError):
                continue  # no such class or example, or a label that is taken
            done += 1
            expected = afresh(path)
            assert facts(one.fitted().snapshot) == expected
            assert facts(two.fitted().snapshot) == expected
            assert one.counts() == two.counts()
            thresholds = memory.store.thresholds()
            assert one._learner.overrides == two._learner.overrides == thresholds
    assert done > 20


@pytest.mark.parametrize("most", [0, 4096])
def test_a_threshold_is_followed_with_all_that_came(
    most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Change by change, or by reading everything anew."""
    monkeypatch.setattr(follower, "MANY", most)
    path = tmp_path / "s.db"
    with memory_of(open_store(path)) as memory, open_store(path) as other:
        memory.change(learn("a", 1, 2))
        other.set_threshold("a", 0.5)
        enroll(other, "b", 3)
        other.set_threshold("b", 1.0)
        memory.fitted()
        assert memory._learner.overrides == {"a": 0.5, "b": 1.0}
        assert memory.rank(query(3)).threshold == 1.0
        other.rename("a", "c")
        memory.change(learn("d", 4))
        assert memory._learner.overrides == {"b": 1.0, "c": 0.5}


@pytest.mark.parametrize("first", [True, False])
def test_another_process_commits_around_a_change(first: bool, tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with memory_of(open_store(path)) as memory, open_store(path) as other:
        memory.change(learn("a", 1, 2))
        memory.rank(query(1))

        def both(store: Store) -> Change:
            if first:
                enroll(other, "b", 3, 4)
            change = learn("c", 5, 6)(store)
            if not first:
                enroll(other, "b", 3, 4)
            return change

        change = memory.change(both)
        assert [row.label for row in change.added] == ["c", "c"]
        assert memory.counts() == {"a": 2, "b": 2, "c": 2}
        memory.flush()
        assert memory.rank(query(3)).labels == ("a", "b", "c")
        assert facts(memory.fitted().snapshot) == afresh(path)


def test_a_change_to_what_only_another_process_knew(tmp_path: Path) -> None:
    """It is committed, and what was learned catches up once the file can be read again."""
    path = tmp_path / "s.db"
    with memory_of(raced(path)) as memory, open_store(path) as other:
        memory.change(learn("a", 1, 2))
        locks = []

        def forget(store: Store) -> Change:
            enroll(other, "b", 3, 4)
            change = store.forget("b")
            # From here on not even the version can be asked for.
            locks.append(alone(path))
            locks[0].__enter__()
            return change

        change = memory.change(forget)
        assert [row.label for row in change.removed] == ["b", "b"]
        assert memory.rank(query(1)).labels == ("a",)
        locks[0].__exit__(None, None, None)
        assert facts(memory.fitted().snapshot) == afresh(path)
        assert memory.counts() == {"a": 2}


def test_a_busy_file_keeps_the_former_head_until_it_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = raced(path)
    with memory_of(store) as memory, open_store(path) as other:
        memory.change(learn("a", 1, 2))
        memory.change(learn("b", 3, 4))
        before = memory.fitted()
        enroll(other, "c", 5, 6)
        lock = alone(path)
        store.before = {"since": lock.__enter__}
        assert memory.fitted() is before
        assert memory.rank(query(5)).labels == ("a", "b")
        with pytest.raises(StoreBusyError):
            memory.change(learn("d", 7))
        assert memory.counts() == {"a": 2, "b": 2}
        lock.__exit__(None, None, None)
        assert memory.fitted().scorer.labels == ("a", "b", "c")
        assert memory.change(learn("d", 7)).operation == 4
        assert facts(memory.fitted().snapshot) == afresh(path)


def test_a_prediction_sees_another_process_s_commit_soon(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with memory_of(open_store(path)) as memory, open_store(path) as other:
        memory.change(learn("a", 1, 2))
        assert memory.rank(query(1)).labels == ("a",)
        enroll(other, "b", 3, 4)
        time.sleep(1.2 * ASK_EVERY)
        memory.rank(query(3))
        memory.flush()
        assert memory.rank(query(3)).labels == ("a", "b")


def test_what_another_process_forgets_during_a_search_is_no_match(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = raced(path)
    with memory_of(store) as memory, open_store(path) as other:
        (one, two) = memory.change(learn("a", 1, 2)).ids
        memory.change(learn("b", 3))
        store.before = {"sample": lambda: other.forget(sample=one)}
        assert {match.id for match in memory.nearest(query(1), 3)} == {two, *contents(other)}
        assert store.before == {}
        found = memory.nearest(query(2), 3)
        assert (found[0].id, found[0].label) == (two, "a")
        assert len(found) == 2


def test_an_operation_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with memory_of(open_store(path)) as memory:
        memory.change(learn("a", 1, 2))
        before = memory.fitted()
        for fails in (lambda s: s.forget("nobody"), learn("two\nlines", 3)):
            with pytest.raises((LookupError, ValueError)):
                memory.change(fails)
        assert memory.fitted() is before
        assert memory.change(learn("a", 1, 2)).skipped == 2
        assert facts(memory.fitted().snapshot) == afresh(path)


WRITER = """
import sys
from pathlib import Path
from tests.stores import WEIGHTS, open_store, shot
with open_store(Path(sys.argv[1])) as store:
    for k in range(int(sys.argv[2])):
        if k == int(sys.argv[2]) // 2:
            sys.stdin.read()  # until the other has seen something
        store.enroll([shot(f"{k:02d} left", 2 * k), shot(f"{k:02d} right", 2 * k + 1)], **WEIGHTS)
"""


def test_a_predictor_follows_another_process_and_never_sees_half_an_operation(
    tmp_path: Path,
) -> None:
    """Each operation of the other process enrols two classes at once."""
    path = tmp_path / "s.db"
    steps = 40
    seen = set()
    with memory_of(open_store(path)) as memory:
        memory.change(learn("99 left", 1))
        memory.change(learn("99 right", 2))
        words = [sys.executable, "-c", WRITER, str(path), str(steps)]
        here = Path(__file__).parents[1]
        with subprocess.Popen(words, cwd=here, stdin=subprocess.PIPE) as writer:
            assert writer.stdin is not None
            while writer.poll() is None:
                memory._asked = 0.0
                labels = memory.rank(query(1)).labels
                lefts = {label[:2] for label in labels if label.endswith("left")}
                assert lefts == {label[:2] for label in labels if label.endswith("right")}
                seen.add(len(labels))
                if len(labels) > 2:
                    writer.stdin.close()
            assert writer.returncode == 0
        end = time.monotonic() + 60
        while len(memory.rank(query(1)).labels) < 2 * steps + 2 and time.monotonic() < end:
            time.sleep(ASK_EVERY)
        assert len(memory.rank(query(1)).labels) == 2 * steps + 2
        assert facts(memory.fitted().snapshot) == afresh(path)
    assert any(2 < n < 2 * steps + 2 for n in seen)


def test_many_changes_of_another_process_are_followed_in_the_background(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with memory_of(open_store(path)) as memory, open_store(path) as other:
        memory.change(learn("a", 1, 2))
        memory.rank(query(1))
        for k in range(4):
            enroll(other, "bcde"[k], *range(100 * (k + 1), 100 * (k + 1) + 60))
        memory._asked = 0.0
        memory.rank(query(1))
        memory.flush()
        assert memory.rank(query(1)).labels == ("a", "b", "c", "d", "e")
        assert facts(memory.fitted().snapshot) == afresh(path)


def test_a_purge_by_another_process_is_followed(tmp_path: Path) -> None:
    """What it destroyed can no longer be taken off the sums; everything is read anew."""
    path = tmp_path / "s.db"
    with memory_of(open_store(path)) as memory, open_store(path) as other:
        memory.change(learn("a", 1, 2))
        memory.change(learn("b", 3, 4))
        memory.rank(query(1))
        other.forget("b", purge=True)
        enroll(other, "c", 5)
        memory._asked = 0.0
        memory.rank(query(1))
        memory.flush()
        assert memory.rank(query(1)).labels == ("a", "c")
        assert facts(memory.fitted().snapshot) == afresh(path)


def test_closing_closes_the_store_whatever_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path / "s.db")
    memory = Memory(store, Learner(DIM), nonnegative=True)

    def fail(changes: int) -> None:
        raise MemoryError

    monkeypatch.setattr(memory, "_keep", fail)
    with pytest.raises(MemoryError):
        memory.close()
    with pytest.raises(StoreError, match="closed"):
        store.classes()


def test_after_closing_every_error_is_the_store_s(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    memory = Memory(open_store(path), Learner(DIM, head="proto"), nonnegative=True)
    memory.change(learn("a", 1, 2))
    memory.rank(query(1))
    memory._follow_elsewhere()
    memory.close()
    with pytest.raises(StoreError, match="closed"):
        memory._follow_elsewhere()
    with pytest.raises(StoreError, match="closed"):
        memory.change(learn("b", 3))
    memory.close()


def test_many_small_classes_of_a_large_store_are_multiplied_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A product of one row writes the whole Gram, as one of many rows does."""
    path = tmp_path / "s.db"
    with open_store(path) as store:
        store.enroll([shot(f"class {i}", i) for i in range(300)], **WEIGHTS)
    held = afresh(path)
    worked = counted(monkeypatch, source)
    monkeypatch.setattr(source, "HELD", 10)
    assert afresh(path) == held
    assert worked == [256, 44]


def test_a_purge_by_another_process_as_the_head_is_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The background's fit asks for an example that was destroyed in that moment."""
    path = tmp_path / "s.db"
    real, asked = learner_room.fit, []
    with memory_of(open_store(path)) as memory, open_store(path) as other:
        memory.change(learn("a", 1, 2))
        (gone, *_) = memory.change(learn("b", 3, 4)).ids
        memory.rank(query(1))

        def fit(*args: Any) -> Any:
            asked.append(args)
            if len(asked) == 1:
                other.forget("b", purge=True)
                memory.store.embeddings([bytes.fromhex(gone)])
            return real(*args)

        monkeypatch.setattr(learner_room, "fit", fit)
        memory.change(learn("c", 5))
        memory.flush()
        assert len(asked) > 1
        assert memory.rank(query(1)).labels == ("a", "c")
        memory.flush()
        assert facts(memory.fitted().snapshot) == afresh(path)
