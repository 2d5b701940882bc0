"""A database that is named as a picture or a card may be an open store: its locks must stay."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edgeinc.cards import read_card
from edgeinc.errors import CardError, ImageError
from edgeinc.images import read_image
from edgeinc.unclosed import keep_open, open_no_database
from tests.stores import another_can_write, enroll, open_store


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A store that this process is writing to, under the name of a picture."""
    path = tmp_path / "line3.png"
    with open_store(path) as store:
        enroll(store, "nut", 1)
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        conn.execute("BEGIN IMMEDIATE")
        assert not another_can_write(path)
        yield path


@pytest.mark.parametrize(
    ("read", "error"), [(read_image, ImageError), (read_card, CardError)], ids=["picture", "card"]
)
def test_a_store_is_refused_and_its_locks_stay(
    read: Callable[[Path], object], error: type[Exception], path: Path
) -> None:
    link = path.with_name("link.png")
    link.symlink_to(path)
    os.link(path, path.with_name("hard.png"))
    for name in (path, path, link, path.with_name("hard.png")):
        with pytest.raises(error, match="is a database, maybe a store; give a"):
            read(name)
    assert not another_can_write(path)


def test_a_database_stays_open_once(path: Path) -> None:
    assert open_no_database(path) is None
    descriptor = keep_open(path)
    assert keep_open(path) == descriptor
    assert os.pread(descriptor, 15, 0) == b"SQLite format 3"
    assert not another_can_write(path)


def test_a_store_that_is_being_made_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "new.png"
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        conn.execute("BEGIN IMMEDIATE")
        assert path.stat().st_size == 0
        with pytest.raises(ImageError, match="is empty"):
            read_image(path)
        assert not another_can_write(path)


def test_anything_else_is_read_from_its_beginning(tmp_path: Path) -> None:
    for content in (b"S", b"SQLite format 3", b"SQLite format 4\0" + b"x" * 40):
        file = tmp_path / "file"
        file.write_bytes(content)
        stream = open_no_database(file)
        assert stream is not None
        with stream:
            assert stream.read() == content
    with pytest.raises(OSError, match="directory"):
        open_no_database(tmp_path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["sh", "-c", f"echo text > '{pipe}'"]):
        stream = open_no_database(pipe)
        assert stream is not None
        with stream:
            assert stream.read() == b"text\n"
