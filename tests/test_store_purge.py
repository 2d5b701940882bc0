"""Purged is gone: nothing of it is in the file, in its journal, or beyond an undo."""

from __future__ import annotations

import hashlib
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edgeinc.errors import (
    LabelNotFoundError,
    SampleNotFoundError,
    StoreBusyError,
    StoreFormatError,
)
from edgeinc.store import NewExample, Store
from edgeinc.store.disk.connection import Database
from edgeinc.store.repair.examination import examine_store
from tests.stores import WEIGHTS, contents, enroll, integers, labels_of, open_store

DIM = 40


def traces(example: NewExample) -> list[bytes]:
    """Pieces of everything that a purge must destroy."""
    blob = example.embedding.tobytes()
    small = (blob, hashlib.blake2b(blob, digest_size=16).digest(), example.source.encode())
    pieces = [part[at : at + 8] for part in small for at in range(0, len(part) - 7, 8)]
    picture = example.thumbnail
    return pieces + [picture[at : at + 16] for at in range(0, len(picture) - 15, 500)]


def found(path: Path, examples: list[NewExample]) -> list[bytes]:
    """The traces that are in the file, its journal, or anything beside them."""
    raw = b"".join(file.read_bytes() for file in path.parent.iterdir())
    return [trace for example in examples for trace in traces(example) if trace in raw]


@pytest.mark.parametrize("seed", range(2))
def test_no_byte_of_what_was_purged_stays(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    kept: dict[str, NewExample] = {}
    gone: list[NewExample] = []
    with open_store(tmp_path / "a.db", dim=DIM) as store:
        for _ in range(8):
            new = []
            for _ in range(rng.randint(1, 12)):
                embedding = np.frombuffer(rng.randbytes(DIM), np.uint8)
                source = f"src-{rng.randbytes(rng.randint(10, 60)).hex()}"
                thumbnail = rng.randbytes(rng.choice((30, 900, 9000)))
                new.append(NewExample(rng.choice("abcd"), embedding, source, thumbnail))
            assert found(store.path, new) == []
            kept.update(zip(store.enroll(new, **WEIGHTS).ids, new, strict=True))
            if rng.random() < 0.5 and "a" in labels_of(store):
                store.rename("a", f"a{rng.random()}")
                store.undo()
            victims = rng.sample(sorted(kept), min(len(kept), rng.randint(1, 6)))
            for id in victims[1:]:
                store.forget(sample=id)
            store.forget(sample=victims[0], purge=True)
            assert found(store.path, [kept[victims[0]]]) == []
            store.purge()
            gone.extend(kept.pop(id) for id in victims)
            assert found(store.path, gone) == []
        assert set(contents(store)) == set(kept)
        raw = store.path.read_bytes()
        assert all(example.embedding.tobytes() in raw for example in kept.values())


def test_purged_is_beyond_undo_and_keeps_its_id(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.db") as store:
        ids = enroll(store, "nut", 1, 2).ids
        enroll(store, "bolt", 3)
        change = store.forget("nut", purge=True)
        assert {row.id for row in change.removed} == set(change.ids) == set(ids)
        # Enrolling the purged pair is passed over: only the bolt can be taken back.
        assert [entry.number for entry in store.undo(9).undone] == [2]
        assert contents(store) == {}
        with pytest.raises(SampleNotFoundError):
            store.forget(sample=ids[0], purge=True)
        with pytest.raises(LabelNotFoundError):
            store.forget("nut", purge=True)
        with store._db.reading() as conn:
            rows = conn.execute("SELECT * FROM samples WHERE class IS NULL").fetchall()
        assert {row[1].hex() for row in rows} == set(ids)
        assert {row[2:] for row in rows} == {(0, None, None, None, None, None, None)}
        again = enroll(store, "nut", 1)
        assert set(again.ids).isdisjoint(ids)
        assert labels_of(store) == {"nut": 1}


def test_purging_a_class_also_takes_what_was_forgotten_of_it(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.db") as store:
        first, _ = enroll(store, "nut", 1, 2).ids
        store.forget(sample=first)
        assert len(store.forget("nut", purge=True).ids) == 2
        assert integers(1).tobytes() not in store.path.read_bytes()
        enroll(store, "nut", 1)
        store.forget("nut")
        assert len(store.forget("nut", purge=True).ids) == 1
        assert [entry.operation for entry in store.log(1)] == ["purge"]
        assert store.log(1)[0].detail == "purged 1 example of (a purged class)"


def test_a_label_goes_with_the_last_that_had_it(tmp_path: Path) -> None:
    """It may be a person's name; the log keeps what was done, and when."""
    with open_store(tmp_path / "a.db") as store:
        first, _ = enroll(store, "Ada Lovelace", 1, 2).ids
        enroll(store, "nut", 3)
        store.rename("Ada Lovelace", "Countess")
        store.undo()
        store.rename("Ada Lovelace", "Lady L.")
        store.forget(sample=first, purge=True)
        assert [entry.detail for entry in store.log()] == [
            "purged 1 example of 'Lady L.'",
            "renamed 'Ada Lovelace' to 'Lady L.'",
            "undid 3 (renamed 'Ada Lovelace' to 'Countess')",
            "renamed 'Ada Lovelace' to 'Countess'",
            "enrolled 1 example of 'nut'",
            "enrolled 2 examples of 'Ada Lovelace'",
        ]
        store.forget("Lady L.", purge=True)
        words = "(a purged class)"
        assert [entry.detail for entry in store.log()] == [
            f"purged 1 example of {words}",
            f"purged 1 example of {words}",
            f"renamed {words} to {words}",
            f"undid 3 (renamed {words} to {words})",
            f"renamed {words} to {words}",
            "enrolled 1 example of 'nut'",
            f"enrolled 2 examples of {words}",
        ]
        raw = store.path.read_bytes()
        assert [name in raw for name in (b"Lovelace", b"Countess", b"Lady", b"nut")] == [
            False,
            False,
            False,
            True,
        ]
        assert labels_of(store) == {"nut": 1}
        enroll(store, "Ada Lovelace", 1)
        store.forget("Ada Lovelace")
        store.purge()
        assert b"Lovelace" not in store.path.read_bytes()
    assert examine_store(tmp_path / "a.db").sound


def test_a_label_within_another_goes_alone(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.db") as store:
        for seed, label in enumerate(("Ada", "maid of 'Ada'", "x', 'Ada", "O'Brien")):
            enroll(store, label, seed)
        store.forget("Ada", purge=True)
        assert [entry.detail.split("of ", 1)[1] for entry in store.log()[1:]] == [
            "'O\u2019Brien'",
            "'x\u2019, \u2019Ada'",
            "'maid of \u2019Ada\u2019'",
            "(a purged class)",
        ]
        for label in list(labels_of(store)):
            store.forget(label, purge=True)
        raw = store.path.read_bytes()
        assert not [name for name in (b"Ada", b"maid", b"Brien") if name in raw]


def test_a_label_with_quotes_goes_from_older_lines_too(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.db") as store:
        enroll(store, "O'Brien", 1)
        with closing(sqlite3.connect(store.path)) as conn, conn:
            conn.execute("UPDATE operations SET detail = ?", ("enrolled 1 example of 'O'Brien'",))
        store.forget("O'Brien", purge=True)
        assert {entry.detail for entry in store.log()} == {
            "enrolled 1 example of (a purged class)",
            "purged 1 example of (a purged class)",
        }


def test_what_is_damaged_can_be_purged(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.db") as store:
        first, second = enroll(store, "nut", 1, 2).ids
        enroll(store, "bolt", 3)
        before = store.version()
        with store._db.writing() as conn:
            conn.execute("UPDATE samples SET embedding = x'0102030405060708' WHERE id = 1")
        with pytest.raises(StoreFormatError, match="digest"):
            store.forget("nut")
        change = store.forget(sample=first, purge=True)
        # No row of it could be told, so whoever keeps sums is told to read all again.
        assert (change.removed, change.span) == ((), None)
        assert store.version() != before
        assert set(contents(store)) > {second}
        assert bytes(range(1, 9)) not in store.path.read_bytes()
        assert labels_of(store) == {"bolt": 1, "nut": 1}


def test_purge_takes_what_was_forgotten_and_what_was_undone(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.db") as store:
        assert store.purge().operation is None
        enroll(store, "nut", 1)
        enroll(store, "bolt", 2)
        store.undo()
        store.forget("nut")
        enroll(store, "screw", 3)
        change = store.purge()
        assert (len(change.ids), change.added, change.removed) == (2, (), ())
        raw = store.path.read_bytes()
        assert [integers(seed).tobytes() in raw for seed in (1, 2, 3)] == [False, False, True]
        assert labels_of(store) == {"screw": 1}


def test_a_purge_that_cannot_finish_is_finished_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the commit and the wiping of free space the file may become busy."""

    def busy(self: Database) -> None:
        raise StoreBusyError("Another process.")

    rebuilt: list[Path] = []
    rebuild = Database.rebuild
    with open_store(tmp_path / "a.db") as store:
        enroll(store, "nut", 1)
        before = store.version()
        with monkeypatch.context() as patch:
            patch.setattr(Database, "rebuild", busy)
            with pytest.raises(StoreBusyError, match="purged, but traces"):
                store.forget("nut", purge=True)
        assert store.classes() == []
        assert store.version() != before

    def count(self: Database) -> None:
        rebuilt.append(self.path)
        rebuild(self)

    monkeypatch.setattr(Database, "rebuild", count)
    for _ in range(2):
        open_store(tmp_path / "a.db").close()
    assert len(rebuilt) == 1


@pytest.mark.parametrize("secure", [True, False])
def test_deleted_bytes_are_overwritten_and_the_file_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secure: bool
) -> None:
    """Each of the two alone destroys what a simple store held; a purge does both."""

    def busy(self: Database) -> None:
        raise StoreBusyError("Another process.")

    gone = [NewExample("nut", integers(n), f"source-of-{n}" * 9, bytes([n]) * 900) for n in (1, 2)]
    with open_store(tmp_path / "a.db") as store:
        with store._db._guarded() as conn:
            assert conn.execute("PRAGMA secure_delete").fetchone() == (1,)
            conn.execute(f"PRAGMA secure_delete = {secure:d}").fetchall()
        store.enroll(gone, **WEIGHTS)
        enroll(store, "bolt", 3)
        assert found(store.path, gone)
        with monkeypatch.context() as patch:
            patch.setattr(Database, "rebuild", busy)
            with pytest.raises(StoreBusyError, match="traces"):
                store.forget("nut", purge=True)
        # What SQLite overwrites is gone with the commit; what it only unlinks is not.
        assert bool(found(store.path, gone)) is not secure
        store.purge()
        assert found(store.path, gone) == []
        assert labels_of(store) == {"bolt": 1}


def test_two_purges_at_once_are_both_wiped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One is committed between the other's writing anew and its note that this is done."""
    rebuild, done = Database.rebuild, []
    path = tmp_path / "a.db"
    with open_store(path) as one, open_store(path) as two:
        enroll(one, "nut", 1)
        enroll(one, "bolt", 2)
        enroll(one, "screw", 3)

        def rebuild_and_let_in(self: Database) -> None:
            rebuild(self)
            done.append(self)
            if len(done) == 1:
                with monkeypatch.context() as patch:
                    patch.setattr("edgeinc.store.removal.scrub", lambda db: None)
                    two.forget("bolt", purge=True)

        monkeypatch.setattr(Database, "rebuild", rebuild_and_let_in)
        one.forget("nut", purge=True)
    assert len(done) == 2
    # An enrolment in between leaves nothing to be wiped.
    done.clear()
    with open_store(path) as one, open_store(path) as two:

        def rebuild_and_enroll(self: Database) -> None:
            rebuild(self)
            done.append(self)
            enroll(two, "nail", 4 + len(done))

        monkeypatch.setattr(Database, "rebuild", rebuild_and_enroll)
        one.forget("screw", purge=True)
    assert len(done) == 1


def test_a_purge_waits_for_readers_and_else_changes_nothing(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.db", timeout=0.05) as store:
        enroll(store, "nut", 1)
        before = contents(store)
        reader = sqlite3.connect(store.path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM samples").fetchone()
        with pytest.raises(StoreBusyError):
            store.forget("nut", purge=True)
        reader.close()
        assert contents(store) == before
        assert len(store.log()) == 1


def test_reading_notices_a_purge_in_between(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.db") as store:
        enroll(store, "nut", *range(6))
        batches: list[int] = []
        reading = store.rows(batch=2)
        batches.append(len(next(reading).ids))
        store.forget("nut")
        batches.append(len(next(reading).ids))
        store.purge()
        with pytest.raises(StoreBusyError, match="Read it again"):
            next(reading)
        assert batches == [2, 2]


def test_a_purge_of_one_store_leaves_the_open_one_beside_it_usable(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.db") as store, open_store(tmp_path / "a.db") as other:
        enroll(store, "nut", 1)
        assert labels_of(other) == {"nut": 1}
        before = other.version()
        store.forget("nut", purge=True)
        assert other.version() != before
        assert other.classes() == []
        enroll(other, "bolt", 1)
        assert labels_of(store) == {"bolt": 1}


def unused(store: Store) -> int:
    """Free pages of a store's file."""
    with store._db.reading() as conn:
        return conn.execute("PRAGMA freelist_count").fetchone()[0]


def test_a_purge_gives_the_space_back(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.db") as store:
        enroll(store, "nut", *range(2000))
        size = store.path.stat().st_size
        store.forget("nut", purge=True)
        assert store.path.stat().st_size < size
        assert unused(store) == 0
