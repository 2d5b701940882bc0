"""Statistics kept in a store: they serve, or they are not used; a purge leaves nothing of them."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edgeinc.engine import memory as memory_room
from edgeinc.engine.memory import Memory
from edgeinc.errors import LabelError, NotFoundError
from edgeinc.features import Examples
from edgeinc.features import gram as gram_room
from edgeinc.learner import Learner
from edgeinc.store import Store, keeping, state
from edgeinc.store.content import digest
from edgeinc.types import NEGATIVE
from tests.learning import any_deed, counted, facts, learn, memory_of
from tests.stores import DIM, enroll, integers, labels_of, open_store


@pytest.fixture(autouse=True)
def _kept_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statistics are kept after every change, of stores of any size."""
    monkeypatch.setattr(memory_room, "KEEP_EVERY", 1)
    monkeypatch.setattr(memory_room, "KEEP_AT_CLOSE", 1)


def by_hand(path: Path) -> tuple[object, ...]:
    """The same from every row, by somebody who knows nothing of statistics."""
    examples = Examples(DIM)
    with open_store(path) as store:
        from edgeinc.features import to_features

        for rows in store.rows():
            for label, id, mark, row in zip(
                rows.labels, rows.ids, rows.digests, rows.embeddings, strict=True
            ):
                feature = to_features(row[np.newaxis], nonnegative=True)
                examples.add(label, feature, [mark + bytes.fromhex(id)])
    return facts(examples.snapshot())


def kept(path: Path) -> bool:
    with open_store(path) as store:
        return store.statistics("features 1, nonnegative") is not None


@pytest.mark.parametrize("seed", range(6))
def test_statistics_and_the_rows_since_are_as_a_fresh_read(seed: int, tmp_path: Path) -> None:
    """Some operations through an engine, which keeps statistics; some on the store alone."""
    rng = random.Random(seed)
    path = tmp_path / "s.db"
    served = 0
    for _ in range(25):
        try:
            if rng.random() < 0.5:
                with memory_of(path) as memory:
                    memory.change(any_deed(rng, memory.store))
            else:
                with open_store(path) as store:
                    any_deed(rng, store)(store)
        except (NotFoundError, LabelError):
            continue  # no such class or example, or a label that is taken
        served += kept(path)
        with memory_of(path) as memory:
            snapshot = memory.fitted().snapshot
            assert facts(snapshot) == by_hand(path)
            counts = memory.counts()
            assert counts.pop(NEGATIVE, 0) == memory.store.negatives()
            assert labels_of(memory.store) == counts
    assert served > 5


def test_opening_reads_no_example_that_statistics_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.db"
    with memory_of(path) as memory:
        memory.change(learn("a", *range(40)))
        memory.change(learn("b", *range(40, 80)))
    with open_store(path) as store:
        enroll(store, "c", 90, 91, 92)
    asked: list[str] = []
    monkeypatch.setattr(Store, "rows", lambda *_: asked.append("rows"))
    worked = counted(monkeypatch, gram_room)
    with memory_of(path) as memory:
        assert memory.counts() == {"a": 40, "b": 40, "c": 3}
        assert memory.fitted().snapshot.gram.any()
    assert asked == []
    assert sum(worked) == 3


def damage(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as conn:
        conn.execute(statement)
        conn.commit()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE gram SET matrix = zeroblob(length(matrix))",
        "UPDATE gram SET matrix = substr(matrix, 9)",
        "UPDATE gram SET digest = zeroblob(32)",
        "UPDATE gram SET seq = seq - 1",
        "UPDATE gram SET seq = seq + 1",
        "UPDATE gram SET tip = tip + 1",
        "UPDATE gram SET form = 'features 0, nonnegative'",
        "UPDATE sums SET total = zeroblob(length(total)) WHERE class = 1",
        "UPDATE sums SET marks = substr(marks, 33) WHERE class = 1",
        "UPDATE sums SET marks = x'00' WHERE class = 1",
        "UPDATE sums SET digest = x'' WHERE class = 1",
        "DELETE FROM sums WHERE class = 1",
        "UPDATE sums SET class = 7 - class",
        "DELETE FROM gram",
        "DELETE FROM changes",
        "DELETE FROM changes WHERE id = (SELECT max(id) FROM changes)",
    ],
)
def test_damaged_statistics_are_not_used_and_made_anew(statement: str, tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with memory_of(path) as memory:
        memory.change(learn("a", 1, 2, 3))
        memory.change(learn("b", 4, 5))
    with open_store(path) as store:
        enroll(store, "a", 6)
    assert kept(path)
    expected = by_hand(path)
    damage(path, statement)
    assert not kept(path)
    with memory_of(path) as memory:
        assert facts(memory.fitted().snapshot) == expected
        memory.change(learn("c", 7))
    assert kept(path)
    with memory_of(path) as memory:
        assert facts(memory.fitted().snapshot) == by_hand(path)


def test_statistics_of_another_copy_of_the_store_are_not_taken_for_ones_own(
    tmp_path: Path,
) -> None:
    """Two copies count their changes alike; what was drawn at random tells them apart."""
    path, copy = tmp_path / "s.db", tmp_path / "copy.db"
    with memory_of(path) as memory:
        memory.change(learn("a", 1, 2, 3))
    copy.write_bytes(path.read_bytes())
    with open_store(copy) as other:
        enroll(other, "b", 4)
    with memory_of(path) as memory:
        memory.change(learn("c", 5))
        position = memory.store.last_change()
        with open_store(copy) as other:
            assert other.last_change()[0] == position[0]
            assert other.since(position, most=100) is None


def test_a_purge_leaves_nothing_of_what_it_destroyed(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with memory_of(path) as memory:
        memory.change(learn("a", 1, 2, 3))
        (gone,) = memory.change(learn("b", 4)).ids
    assert kept(path)
    secret = digest(integers(4).tobytes())
    assert path.read_bytes().count(secret) > 1  # in its own row, in the index, and in its mark
    with open_store(path) as store:
        store.forget(sample=gone, purge=True)
    assert secret not in path.read_bytes()
    assert not kept(path)
    with memory_of(path) as memory:
        assert memory.counts() == {"a": 3}
    assert kept(path)
    assert secret not in path.read_bytes()
    assert facts(memory._learner.snapshot()) == by_hand(path)


def test_a_purge_of_what_statistics_do_not_hold_lets_them_be(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with memory_of(path) as memory:
        memory.change(learn("a", 1, 2, 3))
        memory.change(learn("b", 4))
        memory.change(lambda store: store.forget("b"))
    with open_store(path) as store:
        store.purge()
    assert kept(path)
    assert digest(integers(4).tobytes()) not in path.read_bytes()
    with memory_of(path) as memory:
        assert facts(memory.fitted().snapshot) == by_hand(path)


def test_a_purge_of_what_is_damaged_is_followed(tmp_path: Path) -> None:
    """The purged class is known no more, and no statistics bring it back into the file."""
    path = tmp_path / "s.db"
    with memory_of(path) as memory:
        (first, *_) = memory.change(learn("a", 1)).ids
        memory.change(learn("b", 2, 3))
        damage(path, "UPDATE samples SET embedding = zeroblob(8) WHERE id = 1")
        memory.change(lambda store: store.forget(sample=first, purge=True))
        assert memory.counts() == {"b": 2}
    assert digest(integers(1).tobytes()) not in path.read_bytes()
    assert kept(path)


def test_statistics_of_other_examples_than_those_that_count_are_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with memory_of(path) as memory:
        memory.change(learn("a", 1, 2))
        memory.change(learn("b", 3))
    with open_store(path) as store:
        sound = store.statistics("features 1, nonnegative")
        assert sound is not None
        (a, marks, total), b = sound.classes
        for classes in ([(a, marks[:32], total), b], [b], [(a, marks, total)]):
            assert not store.keep(sound._replace(classes=classes), "other form")
        enroll(store, "a", 4)
        assert store.keep(sound, "other form")
        assert store.statistics("other form") is not None


def test_others_write_while_statistics_are_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.db"
    with memory_of(path) as memory:
        memory.change(learn("a", 1, 2))
    pack, write = keeping.pack, [lambda s: enroll(s, "b", 5)]
    with open_store(path) as store, open_store(path, timeout=0.05) as other:
        statistics = store.statistics("features 1, nonnegative")
        assert statistics is not None

        def pack_as_others_write(*args: object) -> object:
            write[0](other)
            return pack(*args)

        monkeypatch.setattr(keeping, "pack", pack_as_others_write)
        assert store.keep(statistics, "other form")
        assert store.statistics("other form") is not None
        write[0] = lambda s: s.forget("a", purge=True)
        assert not store.keep(statistics, "third form")
    assert digest(integers(1).tobytes()) not in path.read_bytes()


def test_statistics_that_nobody_renews_are_let_go_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "KEPT", 8)
    monkeypatch.setattr(state, "TRIMMED", 4)
    monkeypatch.setattr(state, "BEHIND", 40)
    path = tmp_path / "s.db"
    with memory_of(path) as memory:
        memory.change(learn("a", 1, 2))
    with open_store(path) as store:
        listed = []
        for seed in range(3, 80):
            enroll(store, "b", seed)
            with store._db.reading() as conn:
                listed.append(conn.execute("SELECT count(*) FROM changes").fetchone()[0])
                left = conn.execute("SELECT count(*) FROM gram").fetchone()[0]
        assert max(listed) < 48
        assert listed[-1] < 16
        assert left == 0
        assert store.statistics("features 1, nonnegative") is None
    with memory_of(path) as memory:
        assert facts(memory.fitted().snapshot) == by_hand(path)
    assert kept(path)


def test_two_processes_keep_statistics_in_turn(tmp_path: Path) -> None:
    """The later ones stay, and each writes what changed since the other's."""
    path = tmp_path / "s.db"
    with memory_of(path) as one, memory_of(path) as two:
        for k in range(12):
            memory = (one, two)[k % 2]
            memory.change(learn("abc"[k % 3], 10 * k, 10 * k + 1))
            done = memory._worker.submit(int)  # after what it keeps
            assert done is not None
            done.result()
            with open_store(path) as store:
                found = store.statistics("features 1, nonnegative")
                assert found is not None
                assert found.seq == store.last_change()
    with memory_of(path) as memory:
        assert facts(memory.fitted().snapshot) == by_hand(path)


def test_a_store_that_is_only_read_keeps_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with open_store(path) as store:
        enroll(store, "a", 1, 2)
    before = path.read_bytes()
    memory = Memory(open_store(path), Learner(DIM), nonnegative=True)
    memory.store._db.read_only = True
    memory.rank(integers(1)[np.newaxis])
    memory.close()
    assert path.read_bytes() == before


def test_changes_are_listed_so_far_and_no_farther(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "KEPT", 8)
    monkeypatch.setattr(state, "TRIMMED", 4)
    with open_store(tmp_path / "s.db") as store:
        positions = [store.last_change()]
        for seed in range(40):
            enroll(store, "a", seed)
            positions.append(store.last_change())
        known = [store.since(position, most=100) is not None for position in positions]
    assert known == sorted(known)
    assert known[-8:] == [True] * 8
    assert known.count(True) < 16
