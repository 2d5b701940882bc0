"""Disks that are full, that fail, and that turn read-only: real ones, and a preloaded one."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from edgeinc.errors import StoreError, StoreReadOnlyError, StoreWriteError
from edgeinc.store.repair.examination import examine_store
from tests.stores import contents, enroll, labels_of, open_store

ROOT = Path(__file__).parents[1]
SHIM = Path(__file__).with_name("faulty_disk.c")

FAULTS = {
    "write .db 5": "disk I/O error). Nothing was written",
    "write .db 28": "full). Nothing was written; check free space",
    "write -journal 28": "full). Nothing was written; check free space",
    "write -journal 5": "disk I/O error). Nothing was written",
    "sync .db 5": "disk I/O error). Nothing was written",
    "sync -journal 5": "disk I/O error). Nothing was written",
    "unlink -journal 5": "disk I/O error). Nothing was written",
    "read .db 5": "see `edgeinc doctor`.",
    # The last step of all: the change is made, and must not be called undone.
    "sync / 5": "it is there now, but may be gone after a power cut",
}
SUFFER = """
import json, os, sys, time, warnings
from pathlib import Path
import numpy as np
from edgeinc import Backbone, Engine
from edgeinc.errors import EdgeincError

warnings.simplefilter("ignore")
fault = Path(os.environ["FAULT"])
red, blue = (np.full((8, 8, 3), colour, np.uint8) for colour in ((0, 0, 250), (250, 0, 0)))
shades = [np.full((8, 8, 3), (0, i, 250), np.uint8) for i in range(1, 61)]
for number, words in enumerate(json.loads(sys.argv[2])):
    backbone = Backbone.from_function(
        lambda picture: picture.mean(axis=(1, 2)).astype(np.float32), name="c", size=(8, 8), dim=3)
    with Engine.open(Path(sys.argv[1], f"{number}.db"), backbone=backbone) as engine:
        engine.enroll("red", red)
        engine.enroll("blue", blue)
        engine.flush()
        fault.write_text(words)
        try:
            engine.enroll("red", shades)
            refused = ""
        except EdgeincError as exc:
            refused = f"{type(exc).__name__}: {exc}"
        answers = []
        for _ in (0, 1):
            time.sleep(0.12)
            answers.append(engine.predict(red).candidates[0].label)
        fault.unlink()
        then = engine.classes()[1].examples
        engine.enroll("red", shades)
        print(json.dumps([refused, answers, then, engine.classes()[1].examples]))
"""


@pytest.fixture
def quick() -> Iterator[Path]:
    """A folder in memory, where flushing takes no time."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


def test_a_disk_that_fails(tmp_path: Path, quick: Path) -> None:
    """Each step of a write in turn: nothing is lost, and predictions go on."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("no C compiler, or no preloading, to make a disk fail with")
    if not Path("/proc/self/fd").exists():
        pytest.skip("no /proc here, which tells the library what file is written")
    library = tmp_path / "faulty.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SHIM, "-ldl"], check=True)
    done = subprocess.run(
        [sys.executable, "-c", SUFFER, str(quick), json.dumps(list(FAULTS))],
        cwd=ROOT,
        env={
            **os.environ,
            "LD_PRELOAD": str(library),
            "FAULT": str(tmp_path / "fault"),
            "OPENBLAS_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    for (fault, said), (refused, answers, then, after) in zip(FAULTS.items(), lines, strict=True):
        assert refused.startswith(("StoreWriteError", "StoreFormatError")), fault
        assert said in refused, fault
        assert answers == ["red", "red"], fault
        assert then == (61 if "there now" in said else 1), fault
        assert after == 61, fault
    for file in quick.iterdir():
        assert file.suffix == ".db"
        assert examine_store(file).sound


Mount = Callable[..., Path]
MNT_DETACH = 2


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts small file systems, where this user may."""
    places: list[Path] = []

    def attach(*words: str) -> Path:
        place = tmp_path / f"card{len(places)}"
        place.mkdir()
        done = subprocess.run(["mount", *words, str(place)], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"this user may not mount a file system: {done.stderr.strip()}")
        places.append(place)
        return place

    if shutil.which("mount") is None or os.geteuid():
        pytest.skip("only root may mount a file system")
    yield attach
    libc = ctypes.CDLL(None, use_errno=True)
    for place in places:
        # The program `umount` asks /proc first, which is not everywhere.
        if libc.umount2(os.fsencode(place), MNT_DETACH):
            raise OSError(ctypes.get_errno(), f"{place} is still mounted")


def fill(folder: Path) -> Path:
    """Leave no free space; the file that takes it."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue
    return ballast


def test_a_full_card(mount: Mount) -> None:
    card = mount("-t", "tmpfs", "-o", "size=1m", "tmpfs")
    path = card / "a.db"
    with open_store(path) as store:
        enroll(store, "nut", *range(50))
        enroll(store, "bolt", *range(50))
        ballast = fill(card)
        before = contents(store)
        with pytest.raises(StoreWriteError, match=r"full.*free space"):
            enroll(store, "nut", *range(50, 2000))
        with pytest.raises(StoreWriteError, match=r"full.*free space"):
            store.forget("bolt", purge=True)
        assert contents(store) == before
        with pytest.raises(StoreWriteError, match="full"):
            open_store(card / "new.db")
        assert sorted(file.name for file in card.iterdir()) == ["a.db", "ballast"]
    # It opens on the full card, too, and what a purge left to do is done once there is room.
    with open_store(path) as store:
        assert contents(store) == before
        ballast.unlink()
        enroll(store, "nut", 60)
        store.forget("bolt", purge=True)
        assert labels_of(store) == {"nut": 51}
    open_store(card / "new.db").close()
    assert examine_store(path).sound


PURGE = """
import sys
from edgeinc.errors import StoreWriteError
from tests.stores import open_store

with open_store(sys.argv[1]) as store:
    try:
        store.forget("bolt", purge=True)
    except StoreWriteError as exc:
        print(exc)
"""


def test_no_room_for_temporary_files(mount: Mount, tmp_path: Path) -> None:
    """SQLite has them elsewhere, on a device maybe in a little memory."""
    small, path = mount("-t", "tmpfs", "-o", "size=64k", "tmpfs"), tmp_path / "a.db"
    with open_store(path) as store:
        enroll(store, "nut", *range(20_000))
        enroll(store, "bolt", 1)
    names = {**os.environ, "SQLITE_TMPDIR": str(small)}
    command = [sys.executable, "-c", PURGE, path]
    done = subprocess.run(command, env=names, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "What was to be purged is purged, but traces" in done.stdout
    assert "SQLite's temporary files ($SQLITE_TMPDIR" in done.stdout
    with open_store(path) as store:
        # Opening it has wiped them.
        with closing(sqlite3.connect(path)) as conn:
            assert conn.execute("SELECT scrub FROM store").fetchone() == (0,)
        assert labels_of(store) == {"nut": 20_000}


def test_a_card_that_turns_read_only_on_an_error(mount: Mount, tmp_path: Path) -> None:
    """As ext4 does when its own journal cannot be written."""
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(8 << 20)
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("no mkfs.ext4 to make a file system with")
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    card = mount("-o", "loop", str(image))
    with open_store(card / "a.db") as store:
        enroll(store, "nut", 1)
        before = contents(store)
        subprocess.run(["mount", "-o", "remount,abort", str(card)], check=True)
        with pytest.raises(StoreError, match="check free space, the folder's permissions"):
            enroll(store, "nut", 2)
        assert contents(store) == before
    with open_store(card / "a.db") as store:
        assert contents(store) == before
        with pytest.raises(StoreError):
            enroll(store, "nut", 2)


def test_a_card_that_is_mounted_read_only(mount: Mount) -> None:
    card = mount("-t", "tmpfs", "-o", "size=1m", "tmpfs")
    with open_store(card / "a.db") as store:
        enroll(store, "nut", 1)
    subprocess.run(["mount", "-o", "remount,ro", str(card)], check=True)
    with open_store(card / "a.db") as store:
        assert labels_of(store) == {"nut": 1}
        with pytest.raises(StoreReadOnlyError, match=r"can only be read\. Make"):
            enroll(store, "nut", 2)
        assert labels_of(store) == {"nut": 1}
    with pytest.raises(StoreReadOnlyError, match="Choose another place"):
        open_store(card / "new.db")


class Refusing:
    """A connection whose COMMIT fails, and after which not everything can be read."""

    def __init__(self, conn: sqlite3.Connection, *, blind: bool) -> None:
        self._conn = conn
        self._blind = blind
        self._failed = False

    def execute(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        if statement == "COMMIT":
            self._failed = True
            raise sqlite3.OperationalError("disk I/O error")
        if self._failed and self._blind and statement.startswith("SELECT"):
            raise sqlite3.OperationalError("disk I/O error")
        return self._conn.execute(statement, values)

    def __getattr__(self, name: str) -> object:
        return getattr(self._conn, name)


@pytest.mark.parametrize(
    ("blind", "says"),
    [
        (False, "Nothing was written; check free space"),
        (True, "may be there, or not. Check the disk's health, then `edgeinc log`"),
    ],
)
def test_nothing_was_written_is_only_said_where_it_is_known(
    blind: bool, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(tmp_path / "a.db") as store:
        before = store.version()
        with monkeypatch.context() as patch:
            patch.setattr(store._db, "_conn", Refusing(store._db._conn, blind=blind))
            with pytest.raises(StoreWriteError, match=re.escape(says)):
                enroll(store, "nut", 1)
        # Whoever follows the store is told to look.
        assert (store.version() != before) == blind
        assert labels_of(store) == {}


def test_a_purge_that_cannot_be_wiped_is_not_called_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(tmp_path / "a.db") as store:
        enroll(store, "nut", 1)

        class Full(Refusing):
            def execute(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
                if statement == "VACUUM":
                    raise sqlite3.OperationalError("database or disk is full")
                return self._conn.execute(statement, values)

        with monkeypatch.context() as patch:
            patch.setattr(store._db, "_conn", Full(store._db._conn, blind=False))
            with pytest.raises(StoreWriteError, match="What was to be purged is purged") as caught:
                store.forget("nut", purge=True)
        assert "Nothing was written" not in str(caught.value)
        assert labels_of(store) == {}
