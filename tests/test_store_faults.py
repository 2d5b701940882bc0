"""What is no store, a damaged one, or one that may not be used as asked."""

from __future__ import annotations

import os
import random
import resource
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from edgeinc.cli import main
from edgeinc.errors import (
    BackboneMismatchError,
    EdgeincError,
    StoreBusyError,
    StoreError,
    StoreFormatError,
    StoreVersionError,
    StoreWriteError,
)
from edgeinc.store import Identity, checks, opening, peek, schema
from edgeinc.store.binding import create
from edgeinc.store.disk.connection import Database
from edgeinc.store.journal import record
from edgeinc.store.repair.examination import examine_store
from tests.stores import DIM, contents, enroll, labels_of, open_store

ROOT = Path(__file__).parents[1]


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A store of some pages."""
    path = tmp_path / "sound.db"
    with open_store(path) as store:
        enroll(store, "nut", *range(60))
        enroll(store, "bolt", *range(60))
        store.forget("bolt")
        store.rename("nut", "hex nut")
    return path


def test_a_new_file_that_stays_empty_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for one that was there, and one that another has written to."""
    path, there = tmp_path / "new.db", tmp_path / "there.db"
    there.touch()

    def full(db: Database, wanted: Identity, now: float) -> None:
        raise StoreWriteError("The disk is full.")

    def after_another(db: Database, wanted: Identity, now: float) -> None:
        create(db, wanted, now)
        full(db, wanted, now)

    monkeypatch.setattr(opening, "create", full)
    for file in (path, there):
        with pytest.raises(StoreWriteError, match="full"):
            open_store(file)
    assert [file.name for file in tmp_path.iterdir()] == ["there.db"]
    monkeypatch.setattr(opening, "create", after_another)
    with pytest.raises(StoreWriteError, match="full"):
        open_store(path)
    monkeypatch.undo()
    with open_store(path) as store:
        assert labels_of(store) == {}


def test_another_backbone_is_refused_by_name(sound: Path) -> None:
    with pytest.raises(BackboneMismatchError, match=r"'tiny'.*'other'"):
        open_store(sound, backbone="other", fingerprint="e" * 64)
    with pytest.raises(BackboneMismatchError, match="8 dimensions"):
        open_store(sound, dim=9)
    open_store(sound, backbone="another name for it").close()


@pytest.mark.parametrize("content", [b"no database", b"\0" * 5000, b"SQLite format 3\0" * 400])
def test_what_is_no_store(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(content)
    for attempt in (open_store, peek):
        with pytest.raises(StoreFormatError, match=r"a\.db"):
            attempt(path)
    assert path.read_bytes() == content


def test_the_database_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    conn = sqlite3.connect(path)
    conn.execute("CREATE TABLE notes (text)")
    conn.close()
    before = path.read_bytes()
    for attempt in (open_store, peek):
        with pytest.raises(StoreFormatError, match="not a store"):
            attempt(path)
    assert path.read_bytes() == before


def test_places_where_no_store_can_be(tmp_path: Path) -> None:
    with pytest.raises(StoreFormatError, match="is a folder"):
        open_store(tmp_path)
    with pytest.raises(StoreWriteError, match="does not exist"):
        open_store(tmp_path / "missing" / "a.db")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreFormatError, match="ordinary"):
        open_store(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").write_text("x")
    for path in ("a\0b", "x" * 300, tmp_path / "loop", tmp_path / "file" / "a.db"):
        for attempt in (open_store, peek):
            with pytest.raises(StoreError):
                attempt(path)


def test_names_that_mean_something_in_an_address(tmp_path: Path) -> None:
    path = tmp_path / "50% #1?mode=ro é.db"
    with open_store(path) as store:
        enroll(store, "nut", 1)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    (tmp_path / "link.db").symlink_to(path)
    with open_store(tmp_path / "link.db") as store:
        assert labels_of(store) == {"nut": 1}
        assert store.path == path


def test_a_newer_format_is_refused(sound: Path) -> None:
    conn = sqlite3.connect(sound)
    conn.execute("PRAGMA user_version = 99")
    conn.close()
    for attempt in (open_store, peek):
        with pytest.raises(StoreVersionError, match=r"99.*Upgrade"):
            attempt(sound)


def test_an_older_format_is_upgraded_in_one_step(
    sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    column = "ALTER TABLE classes ADD COLUMN threshold REAL"
    broken = (*schema.MIGRATIONS, (column, "CREATE TABLE classes (id)"))
    monkeypatch.setattr(schema, "MIGRATIONS", broken)
    with pytest.raises(StoreFormatError, match="already exists"):
        open_store(sound)
    monkeypatch.setattr(schema, "MIGRATIONS", broken[:-1])
    open_store(sound).close()
    monkeypatch.setattr(schema, "MIGRATIONS", (*broken[:-1], (column,)))
    with open_store(sound) as store:
        assert labels_of(store) == {"hex nut": 60}
        with store._db.reading() as conn:
            assert conn.execute("SELECT threshold FROM classes").fetchall() == [(None,)] * 3
    open_store(sound).close()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON samples BEGIN DELETE FROM samples; END",
        "DROP TABLE thumbnails",
        "CREATE VIEW v AS SELECT 1",
    ],
)
def test_tables_that_are_not_ours(sound: Path, statement: str) -> None:
    conn = sqlite3.connect(sound)
    conn.execute(statement)
    conn.close()
    if "VIEW" in statement:
        open_store(sound).close()
    else:
        with pytest.raises(StoreFormatError, match="not those of a store"):
            open_store(sound)


def test_a_view_in_place_of_a_table_is_not_asked(sound: Path) -> None:
    """It could run for ever."""
    conn = sqlite3.connect(sound)
    conn.execute("PRAGMA foreign_keys = OFF")
    conn.execute("DROP TABLE store")
    conn.execute(
        "CREATE VIEW store AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n)"
        " SELECT i, i AS backbone, i AS fingerprint, i AS dim FROM n WHERE i > 1"
    )
    conn.close()
    for attempt in (open_store, peek):
        with pytest.raises(StoreFormatError, match="not those of a store"):
            attempt(sound)


def test_a_flipped_bit_in_an_embedding_is_noticed(sound: Path) -> None:
    conn = sqlite3.connect(sound)
    conn.execute("UPDATE samples SET embedding = x'0102030405060708' WHERE id = 7")
    conn.commit()
    conn.close()
    with open_store(sound) as store, pytest.raises(StoreFormatError, match="digest"):
        contents(store)


def use(path: Path) -> None:
    """Everything that one may do with a store."""
    with open_store(path, timeout=0.1) as store:
        contents(store)
        for label in labels_of(store):
            store.samples(label)
        enroll(store, "nut", 1, 2000)
        store.undo(3)
        store.forget("nut")
        store.purge()
        store.log()


def test_mutated_stores_give_errors_of_ours(sound: Path, tmp_path: Path) -> None:
    """Flipped, overwritten and cut at random; the seed is fixed."""
    rng = random.Random(4)
    original = sound.read_bytes()
    path = tmp_path / "mutant.db"
    refused = 0
    for _ in range(80):
        mutant = bytearray(original)
        for _ in range(rng.choice((1, 4, 30))):
            mutant[rng.randrange(len(mutant))] = rng.choice((0, 1, 0x7F, 0xFF, rng.randrange(256)))
        if rng.random() < 0.2:
            del mutant[rng.randrange(1, len(mutant)) :]
        path.write_bytes(mutant)
        path.with_name("mutant.db-journal").unlink(missing_ok=True)
        try:
            use(path)
        except EdgeincError as exc:
            refused += isinstance(exc, StoreError)
    assert refused > 30


def test_a_large_store_is_not_checked_as_a_whole(
    sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = bytearray(sound.read_bytes())
    damaged[-4096:] = b"\xff" * 4096
    sound.write_bytes(damaged)
    with pytest.raises(StoreFormatError, match="damaged"):
        open_store(sound)
    monkeypatch.setattr(checks, "QUICK_CHECK_BYTES", 4096)
    open_store(sound).close()


def test_another_writer_is_waited_for_only_so_long(sound: Path) -> None:
    other = sqlite3.connect(sound, isolation_level=None)
    with open_store(sound, timeout=0.05) as store:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusyError, match=r"0\.05 s"):
            enroll(store, "nut", 1)
        assert labels_of(store) == {"hex nut": 60}
        other.execute("ROLLBACK")
        enroll(store, "nut", 1)
        before = store.version()
        other.execute("BEGIN EXCLUSIVE")
        assert store.version() == before
        with pytest.raises(StoreBusyError):
            store.classes()
        other.execute("COMMIT")
    other.close()


def test_a_closed_store_says_so(sound: Path) -> None:
    store = open_store(sound)
    store.close()
    store.close()
    for ask in (store.classes, store.version, store.purge):
        with pytest.raises(StoreError, match="closed"):
            ask()


def test_a_store_in_write_ahead_mode_is_brought_back(sound: Path) -> None:
    conn = sqlite3.connect(sound)
    assert conn.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
    conn.close()
    with open_store(sound) as store, store._db.reading() as conn:
        assert conn.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert conn.execute("PRAGMA synchronous").fetchone() == (3,)
        assert conn.execute("PRAGMA secure_delete").fetchone() == (1,)


def test_the_file_is_deleted_under_us(sound: Path) -> None:
    with open_store(sound) as store:
        before = contents(store)
        sound.unlink()
        with pytest.raises(StoreWriteError, match="deleted"):
            enroll(store, "nut", 1)
        assert contents(store) == before
        with pytest.raises(StoreWriteError, match="deleted"):
            store.version()
        open_store(sound).close()
        with pytest.raises(StoreWriteError, match="replaced"):
            enroll(store, "nut", 1)
        # Neither the old file nor the new one was written to.
        assert contents(store) == before
        assert peek(sound) == ("tiny", "f" * 64, DIM, None)


def test_the_journal_is_deleted_under_a_write(sound: Path) -> None:
    """Whoever does so takes away the way back after a crash; without one nothing is lost."""
    journal = sound.with_name("sound.db-journal")

    def write(detail: str, *, fails: bool) -> None:
        with store._db.writing() as conn:
            # So small a cache that new pages go to the file before the end.
            conn.execute("PRAGMA cache_size = 2")
            conn.execute("UPDATE samples SET source = hex(randomblob(600))")
            record(conn, "rename", detail, 0.0)
            assert journal.stat().st_size > 4096
            journal.unlink()
            if fails:
                raise ZeroDivisionError

    with open_store(sound) as store:
        before, log = contents(store), store.log()
        with pytest.raises(ZeroDivisionError):
            write("undone", fails=True)
        assert (contents(store), store.log()) == (before, log)
        with pytest.raises(StoreWriteError, match="it is there now"):
            write("kept", fails=False)
        assert contents(store) == before
        assert store.log(1)[0].detail == "kept"
        enroll(store, "nut", 1)
    assert examine_store(sound).sound


def test_a_full_disk_leaves_the_store_as_it_was(sound: Path) -> None:
    """A limit on the size of files stands for a full card; SQLite sees a write that fails."""
    script = (
        "import sys; from pathlib import Path; from tests.stores import *\n"
        "from edgeinc.errors import StoreWriteError\n"
        "with open_store(Path(sys.argv[1])) as store:\n"
        "    before = contents(store)\n"
        "    try: enroll(store, 'large', *range(4000))\n"
        "    except StoreWriteError as exc: print(exc)\n"
        "    assert contents(store) == before\n"
        "    print(len(enroll(store, 'small', 1).ids))\n"
    )

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    done = subprocess.run(
        [sys.executable, "-c", script, str(sound)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=limit,
        check=True,
    )
    assert "The disk refused" in done.stdout
    assert done.stdout.splitlines()[-1] == "1"
    with open_store(sound) as store:
        assert labels_of(store) == {"hex nut": 60, "small": 1}


def test_a_clock_that_jumps_changes_nothing_but_the_dates(tmp_path: Path) -> None:
    times = iter([1e9, 2e9, -5.0, 0.0, 1e300, 3.0, 2.0, 1.0])
    with open_store(tmp_path / "a.db", clock=lambda: next(times)) as store:
        enroll(store, "nut", 1)
        store.rename("nut", "bolt")
        store.rename("bolt", "screw")
        enroll(store, "screw", 2)
        store.forget("screw")
        assert [entry.number for entry in store.undo(2).undone] == [5, 4]
        assert labels_of(store) == {"screw": 1}
        store.undo()
        assert labels_of(store) == {"bolt": 1}
        log = store.log()
    assert [entry.number for entry in log] == [7, 6, 5, 4, 3, 2, 1]
    assert [entry.time for entry in log] == [1.0, 2.0, 3.0, 1e300, 0.0, -5.0, 2e9]
    assert main(["--store", str(tmp_path / "a.db"), "log"]) == 0
