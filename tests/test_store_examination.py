"""What `doctor` says of a store, which it leaves as it is."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from edgeinc.cli import main
from edgeinc.errors import StoreError
from edgeinc.store.repair.examination import Condition, examine_store
from tests.stores import DIM, enroll, leave_half_written, open_store

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with something of everything."""
    path = tmp_path_factory.mktemp("made") / "a.db"
    with open_store(path) as store:
        first, *_ = enroll(store, "nut", *range(20)).ids
        enroll(store, "bolt", *range(20, 40))
        enroll(store, "screw", 1, 2)
        store.forget(sample=first)
        store.forget("screw", purge=True)
        store.rename("nut", "hex nut")
        enroll(store, "washer", 50)
        store.undo()
    return path


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copy(made, tmp_path))


def examined(path: Path) -> Condition:
    """An examination that has left everything as it was."""
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    found = examine_store(path)
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before
    return found


def execute(path: Path, *statements: str) -> None:
    conn = sqlite3.connect(path)
    for statement in statements:
        conn.execute(statement)
    conn.commit()
    conn.close()


def test_a_sound_store(path: Path) -> None:
    found = examined(path)
    assert found.sound
    assert (found.version, found.backbone, found.dim) == (3, "tiny", DIM)
    assert found.counts == {
        "examples": 39,
        "classes": 2,
        "negatives": 0,
        "forgotten": 2,
        "purged": 2,
        "operations": 8,
    }
    assert found.size == path.stat().st_size
    assert found.free > 0
    assert found.writable
    assert (found.path, found.journal) == (str(path), None)
    assert (found.damaged, found.holders, found.faults, found.advice) == ([], [], [], [])


def test_what_is_no_store_yet(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    found = examined(tmp_path / "empty.db")
    assert found.sound
    assert found.version is None
    with pytest.raises(StoreError, match="cannot be looked at"):
        examine_store(tmp_path / "missing.db")
    assert not (tmp_path / "missing.db").exists()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE samples SET live = 0 WHERE id = 3", "1 example is not counted"),
        ("UPDATE samples SET class = 2 WHERE id BETWEEN 4 AND 6", "3 examples are not counted"),
        ("DELETE FROM operations WHERE id = 2", "rows refer to others that are not there"),
        ("UPDATE classes SET label = ' bolt'  WHERE label = 'bolt'", "1 labels are none"),
        ("UPDATE classes SET examples = 7 WHERE label = 'bolt'", "1 classes have another number"),
        ("DROP INDEX removals_operation", "Its schema is damaged"),
        ("UPDATE samples SET source = 'a face' WHERE class IS NULL", "2 purged examples left"),
    ],
)
def test_what_contradicts_itself(path: Path, statement: str, said: str) -> None:
    execute(path, statement)
    found = examined(path)
    assert found.sound is False
    assert any(said in fault for fault in found.faults), found.faults
    assert "--repair" in found.advice[0]


def test_examples_that_changed_are_listed(path: Path) -> None:
    execute(path, "UPDATE samples SET embedding = zeroblob(8) WHERE id IN (1, 30)")
    found = examined(path)
    assert found.faults == ["2 examples no longer match their digests."]
    assert [example.label for example in found.damaged] == ["hex nut", "bolt"]
    assert "forget --sample ID --purge" in found.advice[0]
    with open_store(path) as store:
        for example in found.damaged:
            store.forget(sample=example.id, purge=True)
    assert examined(path).sound


def flip_a_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-4096:] = b"\xa5" * 4096
    path.write_bytes(content)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 4096)


def scribble(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


@pytest.mark.parametrize("fault", [flip_a_page, truncate, scribble])
def test_a_damaged_file(path: Path, fault: Callable[[Path], None]) -> None:
    fault(path)
    found = examined(path)
    assert found.sound is False
    assert all(line.startswith("SQLite finds: ") for line in found.faults[:1])
    assert "--repair" in found.advice[0]


def test_a_store_of_a_newer_version_is_not_judged(path: Path) -> None:
    execute(path, "PRAGMA user_version = 99")
    found = examined(path)
    assert found.sound is None
    assert found.faults == []
    assert found.advice[0].endswith("Upgrade edgeinc.")


def test_a_store_that_is_held(path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    found = examine_store(path)
    assert found.sound
    if Path("/proc/locks").exists():
        assert found.holders == ["this process, through another connection"]
    other.execute("COMMIT")
    other.execute("BEGIN EXCLUSIVE")
    found = examine_store(path, timeout=0.05)
    assert found.sound is None
    assert "held for more than" in found.advice[0]
    other.close()


def test_a_journal_left_by_a_crash(path: Path) -> None:
    leave_half_written(path)
    assert path.with_name("a.db-journal").stat().st_size > 0
    found = examined(path)
    assert found.sound
    assert found.counts["examples"] == 39
    assert found.journal == "a write was cut short; the next opening takes it back"
    path.with_name("a.db-journal").write_bytes(b"\0" * 512)
    scribble(path)
    found = examined(path)
    assert found.journal == "of no consequence"
    assert "delete the journal" in found.advice[1]


def test_statistics_that_are_kept(path: Path) -> None:
    """Damaged ones are no fault: they are made again."""
    assert examined(path).statistics == "none"
    execute(path, "INSERT INTO gram VALUES (1, 3, 3, 'form', x'01', x'02')")
    found = examined(path)
    assert found.statistics == "damaged"
    assert found.sound


def test_a_purge_that_is_not_finished(path: Path) -> None:
    execute(path, "UPDATE store SET scrub = 1")
    found = examined(path)
    assert found.sound
    assert "edgeinc purge" in found.advice[0]


def test_every_key_is_documented(path: Path) -> None:
    said = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8").split("With `--json`")[1]
    rows = [line.split("|") for line in said.splitlines() if line.startswith("| `")]
    keys = [key for row in rows for key in re.findall(r"`(\w+)`", row[1])]
    assert sorted(keys) == sorted(field.name for field in fields(Condition))
    counts = re.search(r"`counts` \| (.*) \|", said)[1]
    assert re.findall(r"`(\w+)`", counts) == list(examine_store(path).counts)


def test_doctor_says_so(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--store", str(path), "doctor"]) == 0
    assert "39 examples, 2 classes" in capfd.readouterr().out
    assert main(["--store", str(path.with_name("missing.db")), "--json", "doctor"]) == 0
    assert json.loads(capfd.readouterr().out)["store"] is None
    execute(path, "UPDATE samples SET embedding = zeroblob(8) WHERE id = 30")
    assert main(["--store", str(path), "--json", "doctor"]) == 1
    out, err = capfd.readouterr()
    found = json.loads(out)["store"]
    assert found["sound"] is False
    assert [example["label"] for example in found["damaged"]] == ["bolt"]
    assert "no longer match" in err
    execute(path, "PRAGMA user_version = 99")
    assert main(["--store", str(path), "--json", "doctor"]) == 1
    out, err = capfd.readouterr()
    found = json.loads(out)["store"]
    assert (found["sound"], found["version"], found["faults"]) == (None, 99, [])
    assert "Upgrade edgeinc" in err
    assert main(["--store", str(path.parent), "doctor"]) == 1
    assert "is a folder" in capfd.readouterr().err
