"""What is done to a store beside its transactions lets go of none of their locks."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeinc.errors import InputError, StoreError
from edgeinc.store import Store
from edgeinc.store.disk.files import copy_store, is_database
from edgeinc.store.merging.sources import open_source
from edgeinc.store.repair.wreck import open_wreck
from tests.stores import another_can_write, contents, enroll, labels_of, open_store


def locks(path: Path) -> list[str]:
    """The system's lines about locks on a file, without their numbers."""
    number = str(path.stat().st_ino)
    lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    return sorted(line.split(":", 1)[1] for line in lines if f":{number} " in line)


def read_as_a_source(path: Path, folder: Path) -> None:
    with open_source(path, timeout=0.0) as source:
        assert list(source.records())


def repair(path: Path, folder: Path) -> None:
    with open_wreck(path, folder) as wreck:
        assert wreck.first("PRAGMA page_count")


def copy(path: Path, folder: Path) -> None:
    for name in ("one", "two"):
        copy_store(path, folder / name, [])
        assert (folder / name).read_bytes()[:15] == b"SQLite format 3"


def merge(path: Path, folder: Path) -> None:
    with open_store(folder / "other.db") as other:
        assert other.merge([path]).came == 1


def export_over_it(path: Path, folder: Path) -> None:
    with open_store(folder / "other.db") as other, pytest.raises(InputError, match="database"):
        other.export(path)


DEEDS = [read_as_a_source, repair, copy, merge, export_over_it]


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="no /proc/locks here")
@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.__name__)
def test_locks_stay_while_a_store_is_written(
    deed: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "b.db"
    (tmp_path / "folder").mkdir()
    with open_store(path) as store:
        enroll(store, "nut", 1)
        with store._db.writing() as conn:
            conn.execute("UPDATE store SET lines = lines")
            before = locks(path)
            assert before
            deed(path, tmp_path / "folder")
            assert locks(path) == before
            assert not another_can_write(path)
        assert labels_of(store) == {"nut": 1}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = open_store(tmp_path / "line3.edgeinc")
    enroll(opened, "nut", 1)
    return opened


def test_an_export_never_takes_the_place_of_a_database(store: Store, tmp_path: Path) -> None:
    before = contents(store)
    other = tmp_path / "other.sqlite"
    conn = sqlite3.connect(other)
    conn.execute("CREATE TABLE t (x)")
    conn.close()
    (tmp_path / "link").symlink_to(store.path)
    os.link(store.path, tmp_path / "hard")
    for name in (store.path, tmp_path / "link", tmp_path / "hard", other):
        content = name.read_bytes()
        with pytest.raises(InputError, match="is a database"):
            store.export(name)
        assert name.read_bytes() == content
    # Anything else is replaced, as ever.
    for content in (b"", b"old", b"x" * 9000):
        (tmp_path / "old").write_bytes(content)
        assert not is_database(tmp_path / "old")
        assert store.export(tmp_path / "old") == 1
    (tmp_path / "hard").unlink()
    assert contents(store) == before
    store.close()
    with open_store(tmp_path / "line3.edgeinc") as again:
        assert contents(again) == before


def test_a_locked_database_and_a_damaged_one_are_databases(store: Store) -> None:
    holder = sqlite3.connect(store.path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    assert is_database(store.path)
    holder.close()
    content = bytearray(store.path.read_bytes())
    store.close()
    content[100:] = b"\xff" * (len(content) - 100)
    store.path.write_bytes(content)
    assert is_database(store.path)
    assert not is_database(store.path.parent)
    assert not is_database(store.path.with_name("nowhere"))


def test_what_is_neither_store_nor_archive_is_told_as_before(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.db") as store:
        for content in (b"", b"text", b"x" * 5000, b"SQLite format 3\0" + b"x" * 5000):
            (tmp_path / "x").write_bytes(content)
            with pytest.raises(StoreError, match="no store"):
                store.merge([tmp_path / "x"])
