"""Private copies of stores: gone when a process is ended, and swept up when it was killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import pytest

from edgeinc.cache import claim, part_of
from edgeinc.cli import main
from edgeinc.store.disk.leftovers import PrivateFolder, sweep
from tests.stores import enroll, leave_half_written, open_store

ROOT = Path(__file__).parents[1]
SECRET = b"what an embedding is made of"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and locks are others there")

LEAVE = f"""
import os, signal, sys; from pathlib import Path
from edgeinc.cache import claim, part_of
from edgeinc.store.disk.leftovers import PrivateFolder
place = Path(sys.argv[1])
folders = [PrivateFolder(), PrivateFolder(place)]
for folder in folders:
    (folder.path / "store").write_bytes({SECRET!r})
stream = part_of(place / "line3.edgeinc").open("xb")
claim(stream)
stream.write({SECRET!r})
stream.flush()
print("there", flush=True)
sys.stdin.read()
"""


def run(script: str, *words: object, **settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, words)],
        cwd=ROOT,
        env={**os.environ, **settings},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def secrets(folder: Path) -> list[Path]:
    """Files below a folder that hold what was to be kept private."""
    return [p for p in folder.rglob("*") if p.is_file() and SECRET in p.read_bytes()]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, of this process and of those that it starts."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_ended_cleans_up(
    number: signal.Signals, tmp_path: Path, temporary: Path
) -> None:
    with open_store(tmp_path / "half.db") as store:
        enroll(store, "nut", *range(50))
    leave_half_written(tmp_path / "half.db")
    for name in ("new.db", "busy.db"):
        open_store(tmp_path / name).close()
    with closing(sqlite3.connect(tmp_path / "busy.db", isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        # It has a private copy of the one, and waits for the other.
        words = ["--store", "new.db", "merge", "half.db", "busy.db"]
        script = f"import os, sys; from edgeinc.cli import main; os.chdir({str(tmp_path)!r})\n"
        script += f"sys.exit(main({words}))"
        with run(script) as command:
            while command.poll() is None and not list(temporary.glob("edgeinc-store-*/store")):
                time.sleep(0.01)
            command.send_signal(number)
            _, said = command.communicate()
    assert command.returncode == 128 + number
    assert said == ""
    assert list(temporary.iterdir()) == []


def test_who_calls_the_shell_keeps_the_signals(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert main(["--store", str(tmp_path / "a.db"), "doctor"]) == 0
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_a_program_leaves_that_is_ended_is_swept_up(tmp_path: Path, temporary: Path) -> None:
    """The shell turns the signal into an exception; a program that uses edgeinc may not."""
    open_store(tmp_path / "a.db").close()
    with run(LEAVE, tmp_path) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "there\n"
        child.terminate()
        assert child.wait() == -signal.SIGTERM
    assert len(secrets(tmp_path)) == 3
    age(tmp_path)
    assert sweep(tmp_path / "a.db") == 3
    assert secrets(tmp_path) == []


@pytest.fixture
def left(tmp_path: Path, temporary: Path) -> Path:
    """A folder with a store, and what a process left there that was killed."""
    place = tmp_path / "place"
    place.mkdir()
    with open_store(place / "a.db") as store:
        enroll(store, "nut", 1)
    with run(LEAVE, place) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "there\n"
        assert len(secrets(tmp_path)) == 3
        age(tmp_path)
        # What is in use stays, however old it is.
        assert sweep(place / "a.db") == 0
        assert len(secrets(tmp_path)) == 3
        child.kill()
    return place


def age(folder: Path) -> None:
    """Make all that is below a folder two minutes older."""
    past = time.time() - 120
    for path in folder.rglob("*"):
        os.utime(path, (past, past))


def test_what_killed_processes_left_is_swept_up(left: Path, tmp_path: Path) -> None:
    foreign = left / "film.part"
    foreign.write_bytes(SECRET)
    os.utime(foreign, (0, 0))
    with PrivateFolder() as mine, part_of(left / "b").open("xb") as stream:
        claim(stream)
        age(mine.path)
        os.utime(stream.name, (0, 0))
        assert sweep(left / "a.db") == 3
        assert mine.path.is_dir()
        assert Path(stream.name).exists()
    assert secrets(tmp_path) == [foreign]
    assert (left / "a.db").exists()


def test_what_is_new_is_left_alone(left: Path, tmp_path: Path) -> None:
    for path in tmp_path.rglob("*"):
        os.utime(path)
    assert sweep(left / "a.db") == 0
    assert len(secrets(tmp_path)) == 3


@pytest.mark.parametrize("command", ["purge", "doctor", "forget --purge nut"])
def test_commands_sweep(
    command: str, left: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--store", str(left / "a.db"), *command.split()]) == 0
    assert secrets(tmp_path) == []
    assert ("now deleted: 3" in capsys.readouterr().err) == (command == "doctor")


def test_a_link_is_not_followed(left: Path, temporary: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "lock").touch()
    age(target)
    (temporary / "edgeinc-store-link").symlink_to(target)
    sweep(left / "a.db")
    assert target.is_dir()
