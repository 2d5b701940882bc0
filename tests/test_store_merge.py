"""Merging two stores, case by case; any history at all is in test_store_histories.py."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edgeinc.errors import (
    BackboneMismatchError,
    StoreBusyError,
    StoreError,
    StoreFormatError,
    StoreReadOnlyError,
    StoreVersionError,
)
from edgeinc.store import Identity, NewExample, Store
from edgeinc.store.disk.connection import Database
from edgeinc.store.journal import record
from edgeinc.store.merging import merge as merging
from edgeinc.store.repair.salvage import salvage
from tests.fleets import MEMORY, shared
from tests.stores import WEIGHTS, contents, enroll, integers, labels_of, open_store, shot


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory where the system has it: nothing here needs to last."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder)


@pytest.fixture
def a(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "a.db", timeout=0.2) as store:
        yield store


@pytest.fixture
def b(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "b.db", timeout=0.2) as store:
        yield store


def swap(a: Store, b: Store) -> None:
    """Each takes over what the other has."""
    a.merge([b.path])
    b.merge([a.path])


def copy(store: Store, name: str) -> Store:
    """Another file with the same content, and the same device id."""
    path = store.path.with_name(name)
    shutil.copyfile(store.path, path)
    return open_store(path)


def test_merging_adds_and_is_logged(a: Store, b: Store) -> None:
    enroll(a, "nut", 1, 2)
    theirs = enroll(b, "bolt", 3, 4).ids
    enroll(b, "nut", 1)
    change = a.merge([b.path])
    assert (change.came, change.went, change.operation) == (2, 0, 2)
    assert {row.id for row in change.added if row.label == "bolt"} == set(theirs)
    assert labels_of(a) == {"bolt": 2, "nut": 2}
    assert a.log()[0].operation == "merge"
    assert a.log()[0].detail == "merged 'b.db': 2 added, 0 removed"
    again = a.merge([b.path, b.path])
    assert (again.came, again.went, again.operation) == (0, 0, None)
    assert len(a.log()) == 2


def test_a_merge_that_only_gives_an_example_another_id_adds_nothing(a: Store, b: Store) -> None:
    (mine,), (theirs,) = enroll(a, "nut", 1).ids, enroll(b, "nut", 1).ids
    change = a.merge([b.path])
    assert (change.came, change.went) == (0, 0)
    least = min(mine, theirs)
    assert set(contents(a)) == {least}
    assert [row.id for row in change.added] == ([theirs] if least == theirs else [])


def test_several_are_one_transaction(a: Store, b: Store, tmp_path: Path) -> None:
    enroll(b, "bolt", 3)
    (tmp_path / "c.db").write_bytes(b"no store at all" * 100)
    with pytest.raises(StoreFormatError):
        a.merge([b.path, tmp_path / "c.db"])
    assert a.log() == []
    with open_store(tmp_path / "d.db") as d:
        enroll(d, "washer", 5, 6)
    change = a.merge([b.path, tmp_path / "d.db", a.path])
    assert (change.came, len(a.log())) == (3, 1)
    assert a.log()[0].detail == "merged 'b.db', 'd.db': 3 added, 0 removed"


def test_a_removal_wins_and_undo_reaches_only_ones_own(a: Store, b: Store) -> None:
    enroll(a, "nut", 1)
    b.merge([a.path])
    b.forget("nut")
    assert a.merge([b.path]).went == 1
    assert a.classes() == []
    # The first line of a's log is its own enrolment; the removal is b's.
    assert [entry.number for entry in a.undo(9).undone] == [1]
    b.merge([a.path])
    assert [entry.operation for entry in b.undo(9).undone] == ["forget"]
    swap(a, b)
    assert (a.classes(), b.classes()) == ([], [])


def test_an_undone_removal_comes_back_everywhere(a: Store, b: Store) -> None:
    enroll(a, "nut", 1)
    b.merge([a.path])
    b.forget("nut")
    a.merge([b.path])
    b.undo()
    assert a.merge([b.path]).came == 1
    assert labels_of(a) == labels_of(b) == {"nut": 1}


def test_who_renames_last_wins_whatever_the_clocks_say(a: Store, tmp_path: Path) -> None:
    """The second has seen the first's name, so its own is later, by the counter."""
    enroll(a, "nut", 1)
    for i in range(5):
        a.rename("nut" if i == 0 else f"name {i - 1}", f"name {i}")
    with open_store(tmp_path / "late.db", clock=lambda: 0.0) as late:
        late.merge([a.path])
        late.rename("name 4", "the last")
        change = a.merge([late.path])
        assert (change.came, change.went) == (1, 1)
        assert labels_of(a) == {"the last": 1}
        a.rename("the last", "no, this")
        late.merge([a.path])
        assert labels_of(late) == {"no, this": 1}


def test_what_was_purged_elsewhere_is_destroyed_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(0)
    dim = 40
    wanted = {"dim": dim}
    with open_store(tmp_path / "a.db", **wanted) as a, open_store(tmp_path / "b.db", **wanted) as b:
        examples = [
            NewExample(
                rng.choice(["Ada Lovelace", "nut"]),
                np.frombuffer(rng.randbytes(dim), np.uint8),
                f"src-{rng.randbytes(20).hex()}",
                b"\xff\xd8\xff" + rng.randbytes(3000) + b"\xff\xd9",
            )
            for _ in range(40)
        ]
        ids = a.enroll(examples, **WEIGHTS).ids
        b.merge([a.path])
        b.rename("nut", "bolt")
        assert found(b.path, examples) == len(examples)
        before = b.version()
        a.forget("Ada Lovelace", purge=True)
        gone = [example for example in examples if example.label == "Ada Lovelace"]
        # The file is written anew, as by a purge: zeroing alone may leave a copy in a gap.
        rebuilt: list[Path] = []
        rebuild = Database.rebuild
        monkeypatch.setattr(Database, "rebuild", lambda db: (rebuilt.append(db.path), rebuild(db)))
        change = b.merge([a.path])
        assert (change.came, change.went) == (0, len(gone))
        assert b.version() == before
        assert found(b.path, gone) == 0
        assert b"Lovelace" not in b.path.read_bytes()
        assert rebuilt == [b.path]
        assert found(b.path, examples) == len(examples) - len(gone)
        assert shared(a) != shared(b)
        a.merge([b.path])
        assert shared(a) == shared(b)
        # Only the ids stay, so that no merge brings them back.
        with b._db.reading() as conn:
            kept = {uid.hex() for (uid,) in conn.execute("SELECT uid FROM samples")}
        assert kept == set(ids)


def found(path: Path, examples: list[NewExample]) -> int:
    """How many examples have left anything in the files of a folder's store."""
    raw = b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))

    def pieces(example: NewExample) -> list[bytes]:
        blob = example.embedding.tobytes()
        check = hashlib.blake2b(blob, digest_size=16).digest()
        parts = [blob[:8], blob[-8:], check[:8], example.source.encode()]
        picture = example.thumbnail
        return parts + [picture[at : at + 16] for at in range(0, len(picture) - 15, 500)]

    return sum(any(piece in raw for piece in pieces(example)) for example in examples)


def test_nothing_brings_a_purged_example_back(a: Store, b: Store, tmp_path: Path) -> None:
    enroll(a, "nut", 1, 2)
    b.merge([a.path])
    a.export(tmp_path / "before.edgeinc")
    backup = copy(a, "backup.db")
    a.forget("nut", purge=True)
    for other in (b.path, backup.path, tmp_path / "before.edgeinc"):
        assert a.merge([other]).operation is None
        assert a.classes() == []
    # One that never had it learns of it too, before anything could bring it in.
    with open_store(tmp_path / "c.db") as c:
        assert c.merge([a.path]).operation == 1
        assert c.merge([b.path]).operation is None
        with c._db.reading() as conn:
            kinds = conn.execute("SELECT kind FROM operations").fetchall()
        assert kinds == [("merge",)]
        assert (c.classes(), integers(1).tobytes() in c.path.read_bytes()) == ([], False)
    # And in one transaction too, whichever comes first.
    with open_store(tmp_path / "d.db") as d:
        d.merge([b.path, a.path])
        assert (d.classes(), integers(1).tobytes() in d.path.read_bytes()) == ([], False)
    backup.close()


def test_copies_of_one_file_go_separate_ways_and_meet_again(a: Store) -> None:
    """Two files with one device id: operations are told apart by their own ids."""
    enroll(a, "nut", 1)
    twin = copy(a, "twin.db")
    assert twin.device_id == a.device_id
    enroll(a, "bolt", 2)
    enroll(twin, "screw", 3)
    a.rename("nut", "mine")
    twin.rename("nut", "theirs")
    swap(a, twin)
    assert shared(a) == shared(twin)
    assert labels_of(a) == labels_of(twin)
    (name,) = labels_of(a).keys() - {"bolt", "screw"}
    assert name in ("mine", "theirs")
    # Either may take back what was done before the copying, and what it did itself.
    assert [e.operation for e in twin.undo(9).undone] == ["rename", "enroll", "enroll"]
    a.merge([twin.path])
    assert labels_of(a) == {"bolt": 1}
    assert [e.operation for e in a.undo(9).undone] == ["rename", "enroll"]
    twin.close()


def test_merging_an_old_copy_of_oneself_changes_nothing(a: Store) -> None:
    enroll(a, "nut", 1, 2)
    old = copy(a, "old.db")
    first = next(iter(contents(a)))
    a.forget(sample=first)
    before = shared(a)
    assert a.merge([old.path, a.path]).operation is None
    assert shared(a) == before
    assert old.merge([a.path]).went == 1
    old.close()


def test_another_backbone_is_refused_and_both_are_named(a: Store, tmp_path: Path) -> None:
    other = open_store(tmp_path / "o.db", backbone="other", fingerprint="0" * 64)
    enroll(other, "nut", 1)
    other.export(tmp_path / "o.edgeinc")
    other.close()
    for name in ("o.db", "o.edgeinc"):
        with pytest.raises(
            BackboneMismatchError, match=r"o\.\w+ was made .*'other'.*not with 'tiny'"
        ):
            a.merge([tmp_path / name])
    assert a.log() == []


def test_what_cannot_be_read_is_refused(a: Store, tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    (tmp_path / "some.db").write_bytes(os.urandom(5000))
    with closing(sqlite3.connect(tmp_path / "foreign.db")) as conn:
        conn.execute("CREATE TABLE t (x)")
    os.mkfifo(tmp_path / "pipe.db")
    for name in ("empty.db", "some.db", "foreign.db"):
        with pytest.raises(StoreFormatError):
            a.merge([tmp_path / name])
    for name in ("nowhere.db", "pipe.db", "."):
        with pytest.raises(StoreError):
            a.merge([tmp_path / name])
    assert not (tmp_path / "nowhere.db").exists()
    with open_store(tmp_path / "new.db") as newer, newer._db.writing() as conn:
        conn.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreVersionError):
        a.merge([tmp_path / "new.db"])


DAMAGE = {
    "embedding": "UPDATE samples SET embedding = zeroblob(8)",
    "short": "UPDATE samples SET embedding = x'01', digest = x'00'",
    "id": "UPDATE samples SET uid = x'00'",
    "label": "UPDATE classes SET label = 'two' || char(10) || 'lines'",
    "kind": "UPDATE operations SET kind = 'purge'",
    "counter": "UPDATE operations SET counter = 9223372036854775807",
    "negative": "UPDATE operations SET counter = -1",
    "time": "UPDATE operations SET time = 9e999",
    "tool": "UPDATE operations SET tool = printf('%.*c', 5000, 'x')",
    "operation": "UPDATE samples SET operation = 77",
    "class": "UPDATE samples SET origin = 77",
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_store_is_refused_and_changes_nothing(
    how: str, a: Store, b: Store, tmp_path: Path
) -> None:
    enroll(a, "nut", 1)
    enroll(b, "nut", 2)
    before = shared(a)
    with closing(sqlite3.connect(b.path, isolation_level=None)) as conn:
        conn.execute("PRAGMA ignore_check_constraints = ON")
        conn.execute(DAMAGE[how])
    with pytest.raises(StoreFormatError):
        a.merge([b.path])
    assert (shared(a), len(a.log())) == (before, 1)


CONTRADICTIONS = {
    "content": f"UPDATE samples SET embedding = x'{'01' * 8}', digest = x'"
    f"{hashlib.blake2b(bytes([1] * 8), digest_size=16).hexdigest()}'",
    "counter": "UPDATE operations SET counter = counter + 1",
    "time": "UPDATE operations SET time = 1.0",
    "kind": "UPDATE operations SET kind = 'rename' WHERE kind = 'forget'",
}


@pytest.mark.parametrize("what", CONTRADICTIONS)
def test_what_never_changes_must_be_the_same_in_both(what: str, a: Store, b: Store) -> None:
    enroll(a, "nut", 1)
    enroll(a, "bolt", 2)
    a.forget("nut")
    b.merge([a.path])
    before = shared(a)
    with closing(sqlite3.connect(b.path, isolation_level=None)) as conn:
        conn.execute(CONTRADICTIONS[what])
    with pytest.raises(StoreFormatError, match="contradicts"):
        a.merge([b.path])
    assert shared(a) == before


LOSSES = {
    "device": "UPDATE devices SET uid = randomblob(16)",
    "file": "UPDATE operations SET file = NULL",
    "source": "UPDATE samples SET source = NULL",
    "a name": "UPDATE classes SET label = 'class 1 (name lost)' WHERE label = 'nut'",
    "a later name": "UPDATE classes SET label = 'class 2 (name lost)' WHERE label = 'bolt'",
    "an operation": "UPDATE samples SET operation = (SELECT max(id) FROM operations)",
    "two": "UPDATE samples SET source = NULL, operation = (SELECT max(id) FROM operations)",
}


@pytest.mark.parametrize("what", LOSSES)
def test_what_a_repaired_store_has_lost_it_learns_again(
    what: str, a: Store, b: Store, tmp_path: Path
) -> None:
    a.enroll([shot("nut", 1, "nuts/1.jpg"), shot("nut", 2, "nuts/2.jpg")], **WEIGHTS)
    a.rename("nut", "bolt")
    b.merge([a.path])
    before = shared(a)
    with a._db.writing() as conn:
        record(conn, "repair", "", 0.0)
    with closing(sqlite3.connect(a.path, isolation_level=None)) as conn:
        conn.execute(LOSSES[what])
    assert shared(a) != before
    apart = copy(a, "apart.db")
    b.merge([a.path])
    if what != "device":
        # The lesser of two devices holds, and this one is random.
        assert shared(b) == before
    apart.merge([b.path])
    a.merge([b.path])
    assert shared(a) == shared(b) == shared(apart)
    assert labels_of(a) == labels_of(b) == {"bolt": 2}
    assert [info.source for info in a.samples("bolt")] == ["nuts/1.jpg", "nuts/2.jpg"]
    apart.close()


def test_names_of_merged_files_stay_in_the_log(a: Store, tmp_path: Path) -> None:
    with open_store(tmp_path / "nut") as b:
        enroll(b, "nut", 1)
    a.merge([tmp_path / "nut"])
    a.forget("nut", purge=True)
    assert [entry.detail for entry in a.log()] == [
        "purged 1 example of (a purged class)",
        "merged 'nut': 1 added, 0 removed",
    ]


def test_a_repaired_store_is_merged_and_exported(a: Store, b: Store) -> None:
    enroll(a, "nut", 1, 2)
    a.forget(sample=next(iter(contents(a))))
    with a._db.writing() as conn:
        row, _ = record(conn, "repair", "", 0.0)
        conn.execute("UPDATE samples SET operation = ?", (row,))
        conn.execute("UPDATE removals SET operation = ?", (row,))
    a.export(a.path.with_name("a.edgeinc"))
    assert b.merge([a.path.with_name("a.edgeinc")]).came == 1
    assert contents(b) == contents(a)


def test_a_damaged_store_is_repaired_and_made_whole_by_its_neighbour(tmp_path: Path) -> None:
    dim = 200
    with open_store(tmp_path / "a.db", dim=dim) as a, open_store(tmp_path / "b.db", dim=dim) as b:
        rng = np.random.default_rng(0)
        for label in ("nut", "bolt"):
            rows = rng.integers(0, 256, (60, dim), dtype=np.uint8)
            examples = [NewExample(label, row, f"{i}.jpg") for i, row in enumerate(rows)]
            a.enroll(examples, **WEIGHTS)
        a.forget(sample=next(iter(contents(a))))
        a.rename("nut", "hex nut")
        b.merge([a.path])
        whole = contents(b)
    original = (tmp_path / "a.db").read_bytes()
    pages = len(original) // 4096
    bound = Identity("tiny", "f" * 64, dim)
    lost = 0
    for page in range(1, pages, 3):
        broken = original[: 4096 * page] + b"\xa5" * 4096 + original[4096 * (page + 1) :]
        folder = tmp_path / str(page)
        folder.mkdir()
        (folder / "a.db").write_bytes(broken)
        shutil.copy(tmp_path / "b.db", folder)
        salvage(folder / "a.db", folder / "new.db", now=0.0, given=bound)
        with open_store(folder / "new.db", dim=dim) as a, open_store(folder / "b.db", dim=dim) as b:
            lost += len(whole) - len(contents(a))
            swap(a, b)
            assert shared(a) == shared(b)
            assert contents(a).keys() == whole.keys()
    assert lost > 0


def test_the_other_store_is_left_as_it_is(a: Store, b: Store, tmp_path: Path) -> None:
    enroll(b, "nut", 1)
    b.close()
    raw, stamp = b.path.read_bytes(), b.path.stat().st_mtime_ns
    a.merge([b.path])
    assert (b.path.read_bytes(), b.path.stat().st_mtime_ns) == (raw, stamp)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.db", "b.db"]


CRASH = """
import os, sqlite3, sys
conn = sqlite3.connect(sys.argv[1], isolation_level=None)
conn.execute("PRAGMA cache_size = 1")
conn.execute("BEGIN")
conn.execute("UPDATE samples SET source = printf('%.*c', 3000, 'x')")
os._exit(0)
"""


def test_a_store_that_a_crash_left_half_written(a: Store, b: Store) -> None:
    """Its journal is played back in a copy."""
    enroll(b, "nut", *range(200))
    b.close()
    subprocess.run([sys.executable, "-c", CRASH, str(b.path)], check=True)
    journal = b.path.with_name("b.db-journal")
    before = b.path.read_bytes(), journal.read_bytes()
    assert a.merge([b.path]).came == 200
    assert (b.path.read_bytes(), journal.read_bytes()) == before
    assert b"xxx" not in a.path.read_bytes()


def test_a_store_of_an_earlier_format_is_upgraded_in_a_copy(
    a: Store, b: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeinc.store import checks, schema
    from edgeinc.store.merging import sources

    enroll(b, "nut", 1)
    b.close()
    raw = b.path.read_bytes()
    more = (*schema.MIGRATIONS, ("CREATE TABLE later (x)",))
    for module in (schema, sources):
        monkeypatch.setattr(module, "MIGRATIONS", more)
    assert checks.schema.MIGRATIONS is more
    assert a.merge([b.path]).came == 1
    assert b.path.read_bytes() == raw


def test_a_busy_store_is_waited_for_and_then_named(a: Store, b: Store) -> None:
    enroll(b, "nut", 1)
    with closing(sqlite3.connect(b.path, isolation_level=None)) as conn:
        conn.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreBusyError, match=r"b\.db"):
            a.merge([b.path], timeout=0.05)
        conn.execute("ROLLBACK")
    assert a.merge([b.path]).came == 1


def test_a_read_only_store_takes_nothing_in(
    a: Store, b: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    enroll(b, "nut", 1)
    monkeypatch.setattr(a._db, "read_only", True)
    with pytest.raises(StoreReadOnlyError):
        a.merge([b.path])


def test_a_large_merge_says_how_many_and_has_the_rest_read_anew(
    a: Store, b: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "AT_ONCE", 3)
    enroll(a, "nut", 1, 2)
    enroll(b, "nut", 1, 2, 3, 4, 5)
    enroll(b, "bolt", *range(4))
    before = a.version()
    change = a.merge([b.path])
    assert (change.came, change.went, change.added, change.span) == (7, 0, (), None)
    assert a.version() != before
    assert labels_of(a) == {"bolt": 4, "nut": 5}


def test_thumbnails_travel_between_stores(a: Store, b: Store) -> None:
    picture = b"\xff\xd8\xffa picture\xff\xd9"
    (id,) = a.enroll([shot("nut", 1)._replace(thumbnail=picture)], **WEIGHTS).ids
    b.merge([a.path])
    assert b.thumbnail(id) == picture


def test_of_two_thumbnails_the_lesser_holds(a: Store, b: Store) -> None:
    """Whoever merges whom: repairs, and other programs, may leave two."""
    (id,) = a.enroll([shot("nut", 1)._replace(thumbnail=b"\xff\xd8\xffone\xff\xd9")], **WEIGHTS).ids
    b.merge([a.path])
    with a._db.writing() as conn:
        conn.execute("UPDATE thumbnails SET image = ?", (b"\xff\xd8\xffanother\xff\xd9",))
    assert b.merge([a.path]).operation is not None
    assert a.merge([b.path]).operation is None
    assert b.merge([a.path]).operation is None
    assert a.thumbnail(id) == b.thumbnail(id) == b"\xff\xd8\xffanother\xff\xd9"
    assert shared(a) == shared(b)
