"""What fuzzing has found, each as it was mended."""

from __future__ import annotations

import io
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edgeinc import Engine
from edgeinc.doctor import examine, repair
from edgeinc.engine import memory
from edgeinc.errors import CardError, StoreFormatError
from edgeinc.features import Background
from tests.fuzz.kinds.stores import backbone, build


def npz(mean: bytes, count: object = np.int64(3)) -> bytes:
    plain = io.BytesIO()
    np.save(plain, count)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mean.npy", mean)
        archive.writestr("count.npy", plain.getvalue())
    return packed.getvalue()


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00v\x00" + text.ljust(117).encode() + b"\n"


MEAN = header("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }") + bytes(16)
TERA = "{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }"


@pytest.mark.parametrize(
    "data",
    [
        npz(header(TERA) + bytes(512)),
        npz(header("{'descr': '<f8', 'fortran_order': False, 'shape': (268435456,), }")),
        npz(MEAN + bytes(1 << 20)),
        npz(MEAN[:-1]),
        npz(b"no array"),
        npz(header("{'descr': '<f4', 'fortran_order': False, 'shape': (4,")),
        npz(MEAN, np.uint64(2**64 - 1)),
        npz(MEAN, np.array("x")),
    ],
    ids=["tera", "giga", "long", "short", "none", "broken", "count", "word"],
)
def test_a_background_that_would_take_much_or_is_none(data: bytes) -> None:
    with pytest.raises(CardError, match="pull the card's files again"):
        Background.from_bytes(data)


def test_a_background_of_numpys_own_writing() -> None:
    assert Background.from_bytes(npz(MEAN)).mean.shape == (4,)
    packed = io.BytesIO()
    np.savez_compressed(packed, mean=np.full(7, 0.5), count=np.int32(9), more=np.zeros(3))
    found = Background.from_bytes(packed.getvalue())
    assert (found.mean.tolist(), found.count) == ([0.5] * 7, 9)
    again = Background.from_bytes(found.to_bytes())
    assert (again.mean.tolist(), again.count) == ([0.5] * 7, 9)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "s.db"
    build(path, size=3).close()
    return path


def edit(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        for statement in ("PRAGMA writable_schema = ON", *statements):
            conn.execute(statement)


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("DELETE FROM classes", "rows refer to others that are not there"),
        ("DELETE FROM operations WHERE id = 1", "rows refer to others that are not there"),
        ("UPDATE samples SET live = 0", "another number of examples"),
        ("UPDATE samples SET class = 1", "another number of examples"),
    ],
)
def test_contradictions_are_found_at_opening(store: Path, statement: str, says: str) -> None:
    edit(store, statement)
    with pytest.raises(StoreFormatError, match=says):
        Engine.open(store, backbone=backbone())
    found = examine(store).store
    assert found is not None
    assert not found.sound


def test_a_schema_of_many_lines_is_one_line_of_a_message(store: Path) -> None:
    broken = "CREATE TABLE classes (\n\x1b[2J locked full readonly\n"
    edit(store, f"UPDATE sqlite_master SET sql = '{broken}' WHERE name = 'classes'")
    with pytest.raises(StoreFormatError) as caught:
        Engine.open(store, backbone=backbone())
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_doctor_looks_at_ids_of_any_size(store: Path) -> None:
    edit(store, "UPDATE samples SET id = 4611686018427387904 WHERE id = 2")
    found = examine(store).store
    assert found is not None
    assert found.counts["examples"] > 0


def test_doctor_where_not_even_the_beginning_can_be_read(store: Path) -> None:
    content = bytearray(store.read_bytes())
    content[100:108] = b"\xff" * 8  # the header of the first page, which holds the schema
    store.write_bytes(content)
    found = examine(store).store
    assert found is not None
    assert found.faults


def test_kept_statistics_of_another_type(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "KEEP_EVERY", 1)
    monkeypatch.setattr(memory, "KEEP_AT_CLOSE", 1)
    with Engine.open(store, backbone=backbone()) as engine:
        engine.flush()
    edit(store, "PRAGMA ignore_check_constraints = ON", "UPDATE sums SET total = 3")
    found = examine(store).store
    assert found is not None
    assert (found.sound, found.statistics) == (False, "damaged")
    with pytest.raises(StoreFormatError, match="CHECK"):
        Engine.open(store, backbone=backbone())


def test_repair_where_rows_are_numbered_with_words(store: Path, tmp_path: Path) -> None:
    edit(
        store,
        "CREATE TABLE words AS SELECT 'x' || id AS id, label, examples FROM classes",
        "DROP TABLE classes",
        "ALTER TABLE words RENAME TO classes",
    )
    saved = repair(store, tmp_path / "new.db")
    assert saved.examples > 0


def test_kept_statistics_of_a_change_that_is_a_word(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found when the store is closed, and new ones are to be kept."""
    monkeypatch.setattr(memory, "KEEP_EVERY", 1)
    monkeypatch.setattr(memory, "KEEP_AT_CLOSE", 1)
    with Engine.open(store, backbone=backbone()) as engine:
        engine.flush()
    engine = Engine.open(store, backbone=backbone())
    edit(store, "PRAGMA ignore_check_constraints = ON", "UPDATE gram SET seq = 'x'")
    engine.forget(engine.classes()[0].label)
    engine.close()
    found = examine(store).store
    assert found is not None
    assert (found.sound, found.statistics) == (True, "whole")
