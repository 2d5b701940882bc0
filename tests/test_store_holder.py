"""Who holds a store, as the error says it."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgeinc.errors import StoreBusyError
from edgeinc.store.disk.holder import find_holders, name_holders
from tests.stores import enroll, open_store

ROOT = Path(__file__).parents[1]
HOLD = (
    "import sqlite3, sys\n"
    "conn = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
    "for statement in sys.argv[2].split(';'): conn.execute(statement).fetchall()\n"
    "print('held', flush=True); sys.stdin.read()\n"
)
WRITE = "BEGIN IMMEDIATE"
READ = "BEGIN;SELECT count(*) FROM samples"

Hold = Callable[..., "subprocess.Popen[str]"]

pytestmark = pytest.mark.skipif(
    not Path("/proc/locks").exists(), reason="no /proc/locks here, which tells who holds a lock"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with open_store(tmp_path / "a.db") as store:
        enroll(store, "nut", 1)
    return tmp_path / "a.db"


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Starts processes that take a lock and keep it until the test ends."""
    holders: list[subprocess.Popen[str]] = []

    def start(path: Path, statements: str) -> subprocess.Popen[str]:
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path), statements],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        holders.append(holder)
        assert holder.stdout.readline() == "held\n"
        return holder

    yield start
    for holder in holders:
        holder.kill()
        holder.communicate()


@pytest.mark.parametrize("statements", [WRITE, "BEGIN EXCLUSIVE"])
def test_a_writer_is_named(path: Path, hold: Hold, statements: str) -> None:
    with open_store(path, timeout=0.05) as store:
        holder = hold(path, statements)
        with pytest.raises(StoreBusyError) as refused:
            enroll(store, "nut", 2)
    (found,) = find_holders(path)
    assert found.pid == holder.pid
    assert found.writes
    assert not found.stopped
    assert found.seconds is not None
    assert 0 <= found.seconds < 600
    assert found.command.startswith(f"{sys.executable} -c import sqlite3, sys?conn")
    assert len(found.command) == 80
    words = str(refused.value)
    assert words.startswith(f"{path} has been held for more than 0.05 s by process {holder.pid} (`")
    assert words.endswith(" s). Try again when that is done.")


def test_readers_that_keep_a_commit_waiting_are_named(path: Path, hold: Hold) -> None:
    with open_store(path, timeout=0.05) as store:
        readers = [hold(path, READ) for _ in range(2)]
        with pytest.raises(StoreBusyError) as refused:
            enroll(store, "nut", 2)
        assert [f.writes for f in find_holders(path)] == [False, False]
        assert all(f"process {reader.pid} " in str(refused.value) for reader in readers)
        assert str(os.getpid()) not in str(refused.value)
        for reader in readers:
            reader.communicate("")
        assert find_holders(path) == ()
        assert enroll(store, "nut", 2).operation == 2


def test_a_suspended_process_is_named_as_such(path: Path, hold: Hold) -> None:
    holder = hold(path, WRITE)
    holder.send_signal(signal.SIGSTOP)
    end = time.monotonic() + 60
    while not find_holders(path)[0].stopped and time.monotonic() < end:
        time.sleep(0.01)
    assert name_holders(path).endswith(", suspended)")


def test_a_connection_of_this_process_is_named_as_such(path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    with open_store(path, timeout=0.05) as store:
        other.execute(WRITE)
        with pytest.raises(StoreBusyError, match="by this process, through another connection"):
            enroll(store, "nut", 2)
    other.close()


def test_locks_on_other_files_say_nothing(path: Path, hold: Hold, tmp_path: Path) -> None:
    with open_store(tmp_path / "other.db"):
        hold(tmp_path / "other.db", WRITE)
    assert find_holders(path) == ()
    assert find_holders(tmp_path / "missing.db") == ()
    assert name_holders(path) == "another process"


ASK = (
    "import sys; from pathlib import Path; from edgeinc.store.disk.holder import name_holders\n"
    "print(name_holders(Path(sys.argv[1])))"
)


def test_a_process_that_cannot_be_seen_is_another_process(path: Path, hold: Hold) -> None:
    """As from within a container."""
    inside = ["unshare", "--pid", "--fork", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*inside, "true"]).returncode:
        pytest.skip("this user may not make a process namespace")
    hold(path, WRITE)
    done = subprocess.run(
        [*inside, sys.executable, "-c", ASK, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "another process\n"


def test_a_read_waits_only_as_long_as_it_is_told(path: Path, hold: Hold) -> None:
    with open_store(path, timeout=60) as store:
        hold(path, "BEGIN EXCLUSIVE")
        before = store.version()
        with pytest.raises(StoreBusyError, match=r"0\.02 s"), store._db.reading(wait=0.02):
            pytest.fail("it was read")
        assert store.version() == before
