"""What is saved of a damaged store, and that the damaged one is left as it is."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from edgeinc.cli import main
from edgeinc.errors import InputError, StoreError, StoreFormatError, StoreVersionError
from edgeinc.store import Identity, NewExample, Store
from edgeinc.store.repair.examination import examine_store
from edgeinc.store.repair.rescue import Rescue
from edgeinc.store.repair.salvage import Salvage, salvage
from tests.stores import WEIGHTS, contents, labels_of, open_store

DIM = 400
BOUND = Identity("tiny", "f" * 64, DIM)


def shots(label: str, first: int, n: int) -> list[NewExample]:
    rng = np.random.default_rng(first)
    rows = rng.integers(0, 256, (n, DIM), dtype=np.uint8)
    return [NewExample(label, row, f"{label}/{i}.jpg", b"p" * 50) for i, row in enumerate(rows)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with something of everything, its examples on many pages."""
    path = tmp_path_factory.mktemp("made") / "a.db"
    with open_store(path, dim=DIM) as store:
        ids = store.enroll(shots("nut", 0, 60), **WEIGHTS).ids
        store.enroll(shots("bolt", 1, 60), **WEIGHTS)
        store.enroll(shots("Ada", 2, 5), **WEIGHTS)
        for id in ids[:3]:
            store.forget(sample=id)
        store.forget("Ada", purge=True)
        store.rename("nut", "hex nut")
        store.enroll(shots("washer", 3, 5), **WEIGHTS)
        store.undo()
    return path


@pytest.fixture
def path(made: Path) -> Iterator[Path]:
    """A copy in memory, where flushing takes no time."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(shutil.copy(made, folder))


def saved(path: Path) -> tuple[Salvage, dict[str, tuple[str, bytes]]]:
    """What a salvage said, and what counts in the new store, which is sound."""
    new = path.with_name("new.db")
    new.unlink(missing_ok=True)
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    found = salvage(path, new, now=7.0, given=BOUND)
    after = {file.name: file.read_bytes() for file in path.parent.iterdir() if file != new}
    assert after == before
    assert examine_store(new).faults == []
    with open_store(new, dim=DIM) as store:
        return found, contents(store)


def everything(path: Path) -> dict[str, tuple[str, bytes]]:
    with open_store(path, dim=DIM) as store:
        return contents(store)


def state(store: Store) -> list[object]:
    return [store.device_id, labels_of(store), *(store.samples(c.label) for c in store.classes())]


def test_of_a_sound_store_everything_is_saved(path: Path) -> None:
    found, kept = saved(path)
    assert (found.examples, found.operations) == (125, 10)
    assert (found.lost, found.unreadable) == ({}, {})
    assert kept == everything(path)
    with open_store(path, dim=DIM) as old, open_store(Path(found.path), dim=DIM) as new:
        assert state(new) == state(old)
        assert new.log()[1:] == old.log()
        assert new.log(1)[0].detail == "saved 125 examples of a damaged store, lost 0"
        # Undo goes on where it was, and what was purged keeps its ids.
        assert new.undo(4).undone == old.undo(4).undone
        assert state(new) == state(old)
    assert examine_store(found.path).counts["purged"] == 5


def test_one_bad_page_costs_what_was_on_it(path: Path, made: Path) -> None:
    """Nothing is invented, and nothing comes back that was out."""
    original = made.read_bytes()
    there = everything(made)
    pages = len(original) // 4096
    assert pages > 20
    costs = []
    # The first pages are the schema and the roots of tables and indexes; of the others some do.
    for page in (*range(26), *range(26, pages, 20)):
        path.write_bytes(original[: 4096 * page] + b"\xa5" * 4096 + original[4096 * (page + 1) :])
        found, kept = saved(path)
        assert set(kept) <= set(there)
        for id, (label, content) in kept.items():
            assert content == there[id][1]
            assert label == there[id][0] or "name lost" in label
        costs.append(len(there) - len(kept))
        assert sum(found.lost.values()) >= costs[-1]
    assert costs.count(0) > 20
    assert max(costs) < 10


def test_the_first_half_is_gone(path: Path, made: Path) -> None:
    """Schema, roots and some examples with it: the others are found page by page."""
    original, there = made.read_bytes(), everything(made)
    half = len(original) // 2 // 4096 * 4096
    path.write_bytes(b"\0" * half + original[half:])
    _, kept = saved(path)
    assert len(kept) > len(there) // 3
    assert all(content == there[id][1] for id, (_, content) in kept.items())


def test_examples_that_take_several_pages(tmp_path: Path) -> None:
    path, bound = tmp_path / "a.db", Identity("tiny", "f" * 64, 7000)
    rows = np.random.default_rng(0).integers(-300, 300, (5, 7000)).astype(np.int16)
    with Store.open(path, **bound._asdict()) as store:
        store.enroll([NewExample("nut", row) for row in rows], **WEIGHTS)
    path.write_bytes(b"\0" * 4096 * 24 + path.read_bytes()[4096 * 24 :])
    salvage(path, tmp_path / "new.db", now=7.0, given=bound)
    with Store.open(tmp_path / "new.db", **bound._asdict()) as store:
        (kept,) = store.rows()
    assert sorted(map(bytes, kept.embeddings)) == sorted(map(bytes, rows))


def test_a_file_that_was_cut_short(path: Path, made: Path) -> None:
    there = everything(made)
    os.truncate(path, path.stat().st_size * 2 // 3 + 100)
    _, kept = saved(path)
    assert kept.items() <= there.items()
    assert len(kept) > len(there) // 4


def test_examples_that_changed_are_left_out(path: Path) -> None:
    there = everything(path)
    conn = sqlite3.connect(path)
    conn.execute("UPDATE samples SET embedding = zeroblob(400) WHERE id IN (10, 70)")
    conn.commit()
    conn.close()
    found, kept = saved(path)
    assert found.lost == {"bolt": 1, "hex nut": 1}
    assert kept.items() <= there.items()
    assert len(kept) == len(there) - 2


def test_what_goes_with_an_example_may_be_damaged(path: Path) -> None:
    there = everything(path)
    conn = sqlite3.connect(path)
    conn.execute("PRAGMA ignore_check_constraints = ON")
    conn.execute("UPDATE samples SET source = CAST(x'ff41' AS TEXT) WHERE id = 10")
    conn.execute("UPDATE samples SET source = 7 WHERE id = 11")
    conn.execute("UPDATE samples SET uid = x'01' WHERE id = 70")
    conn.execute("UPDATE operations SET counter = 1 << 61 WHERE id = 2")
    conn.commit()
    conn.close()
    found, kept = saved(path)
    assert (found.lost, found.operations) == ({}, 9)
    assert sorted(kept.values()) == sorted(there.values())
    assert len(set(kept) - set(there)) == 1


def test_what_was_out_stays_out_though_the_operations_are_lost(path: Path) -> None:
    there = everything(path)
    conn = sqlite3.connect(path)
    conn.execute("PRAGMA foreign_keys = OFF")
    for table in ("operations", "removals", "relabels"):
        conn.execute(f"DELETE FROM {table}")
    conn.execute("DELETE FROM classes WHERE label = 'bolt'")
    conn.commit()
    conn.close()
    found, kept = saved(path)
    assert set(kept) == set(there)
    assert {label for label, _ in kept.values()} == {"hex nut", "class 2 (name lost)"}
    assert (found.examples, found.operations) == (125, 0)


def test_a_store_that_no_longer_says_its_backbone(path: Path) -> None:
    conn = sqlite3.connect(path)
    conn.execute("DELETE FROM store")
    conn.commit()
    conn.close()
    new = path.with_name("new.db")
    with pytest.raises(StoreFormatError, match="--backbone"):
        salvage(path, new, now=7.0)
    assert [file.name for file in path.parent.iterdir()] == ["a.db"]
    assert saved(path)[1].keys() == everything(new).keys()


def test_what_cannot_be_saved_is_refused(path: Path) -> None:
    folder = path.parent
    conn = sqlite3.connect(path)
    conn.execute("PRAGMA user_version = 99")
    conn.close()
    new = folder / "new.db"
    with pytest.raises(StoreVersionError, match="Upgrade"):
        salvage(path, new, now=7.0)
    with pytest.raises(InputError, match="exists already"):
        salvage(path, path, now=7.0)
    with pytest.raises(StoreError, match="cannot be written"):
        salvage(path, folder / "missing" / "new.db", now=7.0)
    with pytest.raises(StoreFormatError, match="no file"):
        salvage(folder, new, now=7.0)
    for content in (b"", b"no database" * 900):
        path.write_bytes(content)
        with pytest.raises(StoreFormatError, match="Nothing in"):
            salvage(path, new, now=7.0, given=BOUND)
    assert [file.name for file in folder.iterdir()] == ["a.db"]


def test_doctor_repairs(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    conn = sqlite3.connect(path)
    conn.execute("UPDATE samples SET embedding = zeroblob(400) WHERE id = 10")
    conn.commit()
    conn.close()
    new = path.with_name("new.db")
    assert main(["--store", str(path), "--json", "doctor", "--repair", str(new)]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["repair"] == {
        "path": str(new),
        "examples": 124,
        "operations": 10,
        "lost": {"hex nut": 1},
        "unreadable": {},
    }
    assert "lost: 1 of 'hex nut'" in err
    assert main(["--store", str(new), "doctor"]) == 0
    assert main(["--store", str(path), "doctor", "--repair", str(new)]) == 1
    assert "exists already" in capfd.readouterr().err


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_a_file_that_appears_meanwhile_stays(
    links: bool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = path.with_name("new.db")
    if not links:

        def refuse(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    assert salvage(path, new, now=0.0).examples
    new.unlink()
    run = Rescue.run

    def interrupted(rescue: Rescue, now: float) -> None:
        run(rescue, now)
        new.write_bytes(b"mine")

    monkeypatch.setattr(Rescue, "run", interrupted)
    with pytest.raises(InputError, match="exists already"):
        salvage(path, new, now=0.0)
    assert new.read_bytes() == b"mine"
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, "new.db"]
