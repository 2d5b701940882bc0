"""Stores that crash, that may only be read, and that several processes or threads use."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeinc.errors import StoreError, StoreReadOnlyError
from edgeinc.store import binding, checks, opening, peek, schema
from edgeinc.store.disk import turns
from edgeinc.store.disk.connection import Database
from edgeinc.store.records import Identity
from tests.stores import DIM, contents, enroll, labels_of, leave_half_written, open_store

ROOT = Path(__file__).parents[1]


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    """A process of its own that runs a script with the helpers of `tests.stores`."""
    head = "import os, signal, sys; from pathlib import Path; from tests.stores import *\n"
    return subprocess.Popen(
        [sys.executable, "-c", head + script, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


ENROL = """
with open_store(Path(sys.argv[1])) as store:
    for seed in range(int(sys.argv[2]), 1000000, 2):
        ids = enroll(store, 'nut', seed, seed + 1).ids
        os.write(1, (' '.join(ids) + '\\n').encode())
"""


@pytest.fixture
def half_written(tmp_path: Path) -> Path:
    """A store that a crash left with new pages in the file and old ones in the journal."""
    path = tmp_path / "half.db"
    with open_store(path) as store:
        enroll(store, "nut", *range(50))
    leave_half_written(path)
    return path


def test_a_crash_in_the_middle_of_a_write_is_rolled_back(half_written: Path) -> None:
    assert peek(half_written) == ("tiny", "f" * 64, DIM, None)
    with open_store(half_written) as store:
        assert labels_of(store) == {"nut": 50}
    assert [file.name for file in half_written.parent.iterdir()] == ["half.db"]


def test_an_interrupted_making_leaves_what_opens_as_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.db"
    apply = schema.apply_migration

    def crash(conn: object, number: int) -> None:
        conn.execute("PRAGMA cache_size = 1")
        apply(conn, number)
        os._exit(7)

    monkeypatch.setattr(schema, "apply_migration", crash)
    child = os.fork()
    if child == 0:
        open_store(path)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    monkeypatch.undo()
    assert peek(path) is None
    with open_store(path) as store:
        enroll(store, "nut", 1)
        assert labels_of(store) == {"nut": 1}


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.touch()
    assert peek(path) is None
    with open_store(path) as store:
        assert enroll(store, "nut", 1).operation == 1


@pytest.fixture
def protected(half_written: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that this process may read and not write, with a sound store and a half one."""
    folder = Path(tempfile.mkdtemp(prefix="edgeinc-test-"))
    temporary = Path(tempfile.mkdtemp(prefix="edgeinc-test-"))
    temporary.chmod(0o777)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with open_store(folder / "sound.db") as store:
        enroll(store, "nut", *range(50))
    for name in ("half.db", "half.db-journal"):
        shutil.copy(half_written.with_name(name), folder / name)
    root = os.geteuid() == 0
    folder.chmod(0o755 if root else 0o555)
    if root:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)
        shutil.rmtree(temporary)


@pytest.mark.parametrize("name", ["sound.db", "half.db"])
def test_a_store_that_may_not_be_written_is_read(protected: Path, name: str) -> None:
    before = {file.name: file.read_bytes() for file in protected.iterdir()}
    assert peek(protected / name) == ("tiny", "f" * 64, DIM, None)
    with open_store(protected / name) as store:
        assert store.read_only
        assert store.path == protected / name
        assert len(contents(store)) == 50
        assert len(store.samples("nut")) == len(store.log()) * 50
        store.version()
        for change in (lambda: enroll(store, "nut", 99), lambda: store.forget("nut"), store.purge):
            with pytest.raises(StoreReadOnlyError, match="can only be read"):
                change()
    assert {file.name: file.read_bytes() for file in protected.iterdir()} == before
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


def test_no_store_can_be_made_where_nothing_may_be_written(protected: Path) -> None:
    with pytest.raises(StoreReadOnlyError, match="Choose another place"):
        open_store(protected / "new.db")
    assert peek(protected / "new.db") is None


def test_a_file_that_may_not_be_read(protected: Path) -> None:
    if os.geteuid() == os.getuid():
        (protected / "sound.db").chmod(0)
    else:
        os.seteuid(0)
        (protected / "sound.db").chmod(0)
        os.seteuid(65534)
    with pytest.raises(StoreError, match="may not be read"):
        open_store(protected / "sound.db")


def test_another_process_is_seen_and_never_half_way(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with open_store(path) as store, start(ENROL, path, 0) as enroller:
        version, changes, seen = store.version(), 0, 0
        end = time.monotonic() + 60
        while changes < 5 and time.monotonic() < end:
            if store.version() == version:
                time.sleep(0.001)
                continue
            version, changes = store.version(), changes + 1
            counted = len(contents(store))
            assert counted % 2 == 0
            assert counted >= seen
            seen = counted
        enroller.kill()
        enroller.wait()
        assert changes == 5
        assert seen >= 2
        version = store.version()
        enroll(store, "bolt", 1)
        assert store.version() == version


def test_threads_share_a_store(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.db") as store:

        def work(part: int) -> None:
            for seed in range(10 * part, 10 * part + 10):
                enroll(store, f"class {part}", seed)
                labels_of(store)

        threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert labels_of(store) == {f"class {part}": 10 for part in range(4)}
        assert [entry.number for entry in store.log()] == list(range(40, 0, -1))


def test_processes_that_make_the_same_store_agree(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    script = "store = open_store(Path(sys.argv[1])); print(store.device_id)"
    makers = [start(script, path) for _ in range(3)]
    ids = {maker.communicate()[0] for maker in makers}
    assert len(ids) == 1
    assert len(ids.pop().strip()) == 32


def test_being_second_to_make_or_upgrade_a_store_does_nothing(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.db") as store:
        enroll(store, "nut", 1)
        binding.create(store._db, Identity("other", "e" * 64, 9), 0.0)
        checks._upgrade(store._db, 1)
    with open_store(tmp_path / "a.db") as store:
        assert labels_of(store) == {"nut": 1}


def test_writers_take_turns(tmp_path: Path) -> None:
    """Two connections, as two processes have them; each waits for the other."""

    def work(part: int) -> None:
        with open_store(tmp_path / "a.db") as store:
            for seed in range(15 * part, 15 * part + 15):
                enroll(store, "nut", seed)

    threads = [threading.Thread(target=work, args=(part,)) for part in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with open_store(tmp_path / "a.db") as store:
        assert labels_of(store) == {"nut": 30}
        assert len(store.log()) == 30


def test_who_writes_slowly_and_again_leaves_others_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a slow disk, where whoever waits would else find no moment at which it is free."""
    moments: list[float] = []
    monkeypatch.setattr(turns, "SLOW", 600.0)
    with open_store(tmp_path / "a.db") as store, open_store(tmp_path / "a.db", timeout=0) as other:

        def pause(seconds: float) -> None:
            moments.append(seconds)
            assert enroll(other, "bolt", 1).operation == 2

        monkeypatch.setattr(turns, "SLOW", 0.0)
        monkeypatch.setattr(turns, "SHARE", 1e-6)
        monkeypatch.setattr(turns, "LONGEST", 600.0)
        monkeypatch.setattr(time, "sleep", pause)
        enroll(store, "nut", 1)
        assert moments == []
        assert enroll(store, "nut", 2).operation == 3
        assert labels_of(store) == {"bolt": 1, "nut": 2}
    (moment,) = moments
    assert 0 < moment <= 600


def test_a_forked_child_opens_its_own(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.db") as store:
        enroll(store, "nut", 1)
        child = os.fork()
        if child == 0:
            try:
                store.classes()
            except StoreError as exc:
                store.close()
                with open_store(tmp_path / "a.db") as own:
                    enroll(own, "nut", 2)
                os._exit(7 if "forked" in str(exc) else 1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        enroll(store, "nut", 3)
        assert labels_of(store) == {"nut": 3}


def test_peeking_does_not_check_what_opening_will(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(tmp_path / "a.db") as store:
        enroll(store, "nut", 1)
    checked: list[Path] = []
    check = checks.check

    def note(db: Database) -> None:
        checked.append(db.path)
        check(db)

    monkeypatch.setattr(opening, "check", note)
    assert peek(tmp_path / "a.db") is not None
    assert checked == []
    open_store(tmp_path / "a.db").close()
    assert checked == [tmp_path / "a.db"]
