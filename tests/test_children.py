"""Processes that are asked: whatever they die of is told, and nothing of them stays."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from edgeinc.children import Bounds, Death, ask, asking
from edgeinc.errors import EdgeincError, InputError, RuntimeUnavailableError
from tests.absent import ROOT, before_others

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")

CHILD = "tests.broken_child"
BOUNDS = Bounds(120)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the processes get theirs; children find the tests."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.syspath_prepend(str(ROOT))
    return tmp_path / "temporary"


def asked(how: str, bounds: Bounds = BOUNDS, **more: Any) -> dict[str, Any] | Death:
    return ask(CHILD, "the work", {"job": how, **more}, bounds)


def answered(how: str, **more: Any) -> dict[str, Any]:
    answer = asked(how, **more)
    assert isinstance(answer, dict), answer
    return answer


@pytest.mark.parametrize(
    ("how", "memory", "stopped", "signalled", "said"),
    [
        ("segfault", None, "", "Segmentation fault", None),
        ("abort", None, "", "Aborted", "terminate called: no memory[0m"),
        ("late", None, "", "Aborted", None),
        ("foreign", None, "", "", "RuntimeError: what nobody expects"),
        ("garbage", None, "", "", ""),
        ("list", None, "", "", ""),
        ("silent", None, "", "", ""),
        ("killed", None, "was ended from outside", "Killed", ""),
        ("short", None, "needed more memory than there is", "", ""),
        ("short", 3 << 30, "needed more than 3072 MiB of memory", "", ""),
    ],
)
def test_every_death_is_told(
    how: str, memory: int | None, stopped: str, signalled: str, said: str | None, temporary: Path
) -> None:
    death = asked(how, Bounds(120, memory=memory))
    assert isinstance(death, Death)
    assert (death.stopped, death.signal) == (stopped, signalled)
    assert death.starved == (how == "killed" or (how == "short" and memory is None))
    # An emulator says something of its own where one runs the tests.
    if said is not None and not death.said.startswith("qemu: "):
        assert death.said == said
        assert death.quoted == (f" ({said})" if said else "")
    assert list(temporary.iterdir()) == []


def is_held(note: Path) -> bool:
    """Whether a process holds a note; it may take a moment to end."""
    import fcntl

    with note.open(encoding="utf-8") as stream:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.01)
            else:
                return False
    return True


def test_whoever_stays_is_ended_with_all_that_it_started(tmp_path: Path, temporary: Path) -> None:
    note = tmp_path / "note"
    # A busy machine takes longer to begin two processes.
    for seconds in (2, 8, 32, 128):
        death = asked("stay", Bounds(seconds), note=str(note))
        assert isinstance(death, Death)
        assert death[:3] == (None, f"took more than {seconds} seconds", False)
        if note.exists() and note.read_text(encoding="utf-8"):
            break
    assert note.read_text(encoding="utf-8") == "here\n"
    assert not is_held(note)
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="no waitid, which tells of an end early")
@pytest.mark.parametrize("how", ["asked", "abort", "own"])
def test_whoever_ends_leaves_none_that_it_started(how: str, tmp_path: Path) -> None:
    note = tmp_path / "note"
    if how == "own":
        with pytest.raises(InputError, match="nothing of use; give something else"):
            asked(how, note=str(note))
    else:
        assert isinstance(asked(how, note=str(note)), Death) == (how == "abort")
    assert note.read_text(encoding="utf-8") == "here\n"
    assert not is_held(note)


@pytest.mark.parametrize("files", [None, {"a": b""}])
def test_an_interruption_leaves_nothing(
    files: dict[str, bytes] | None, tmp_path: Path, temporary: Path
) -> None:
    note = tmp_path / "note"
    script = (
        "from edgeinc.children import Bounds, ask\n"
        f"words = {{'job': 'stay', 'note': {str(note)!r}}}\n"
        f"ask({CHILD!r}, 'the work', words, Bounds(600), files={files!r})\n"
    )
    begun = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": before_others(ROOT), "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
    )
    end = time.monotonic() + 120
    while not note.exists() or not note.read_text(encoding="utf-8"):
        assert time.monotonic() < end, "the work has not begun in two minutes"
        assert begun.poll() is None, begun.communicate()
        time.sleep(0.01)
    begun.send_signal(signal.SIGINT)
    said = begun.communicate(timeout=60)[1]
    assert b"KeyboardInterrupt" in said
    assert not is_held(note)
    assert list(temporary.iterdir()) == []


def test_with_files_it_has_a_folder_and_a_cache_of_its_own(temporary: Path) -> None:
    answer = ask(CHILD, "the work", {"job": "surroundings"}, BOUNDS, files={"net.onnx": b"w"})
    assert isinstance(answer, dict)
    assert answer["names"] == ["net.onnx"]
    for place in ("where", "cache", "temporary"):
        assert Path(answer[place]).is_relative_to(temporary.resolve())


def test_without_files_it_works_where_this_process_does(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEINC_CACHE", "own cache")
    answer = answered("surroundings")
    assert (answer["where"], answer["cache"]) == (str(tmp_path.resolve()), "own cache")
    assert Path(answer["temporary"]).is_relative_to(temporary.resolve())


def test_libraries_are_found_where_this_process_finds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LD_LIBRARY_PATH", "own:/opt/lib::$ORIGIN/lib")
    answer = ask(CHILD, "the work", {"job": "surroundings"}, BOUNDS, files={})
    assert isinstance(answer, dict)
    here = tmp_path.resolve()
    assert answer["libraries"] == f"{here / 'own'}:/opt/lib:{here}:$ORIGIN/lib"


def test_python_finds_no_modules_among_files_nor_where_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    wrong = b"raise SystemExit('this is no module')"
    for name in ("json.py", "bisect.py"):
        Path(name).write_bytes(wrong)
    assert Path(answered("load", module="bisect")["loaded"]).parent != tmp_path
    files = {"json.py": wrong, "bisect.py": wrong}
    answer = ask(CHILD, "the work", {"job": "load", "module": "bisect"}, BOUNDS, files=files)
    assert isinstance(answer, dict)


def test_an_empty_entry_of_the_path_is_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at the prompt, where edgeinc may lie in that folder alone."""
    (tmp_path / "stand_in.py").write_text("import os; os.abort()", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    death = ask("stand_in", "the work", {}, BOUNDS)
    assert isinstance(death, Death)
    assert death.signal == "Aborted"


def test_an_answer_names_only_errors_of_ours() -> None:
    with pytest.raises(EdgeincError, match=r"^x$") as caught:
        asked("odd")
    assert type(caught.value) is EdgeincError


@pytest.mark.parametrize("python", ["absent", "", None])
def test_no_process_can_be_started(
    python: str | None, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A program that embeds Python may not know of one.
    monkeypatch.setattr(sys, "executable", python)
    with pytest.raises(
        RuntimeUnavailableError,
        match=r"^the work is a process of its own, which cannot be started here \(.*\); check that",
    ):
        asked("asked")
    assert list(temporary.iterdir()) == []


def test_no_room_for_its_files(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def full(stream: Any, room: int) -> None:
        taken.append(room)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(asking, "reserve", full)
    with pytest.raises(InputError, match=r"^There is no room for the work; make some in .*TMPDIR"):
        asked("asked", Bounds(120, room=49))
    assert taken == [49 + (1 << 20)]
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("how", ["garbage", "foreign", "odd", "own", "killed"])
def test_a_disk_that_fills_meanwhile(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is said then, it says nothing of the work."""
    usage = shutil.disk_usage(tempfile.gettempdir())
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=4096))
    with pytest.raises(InputError, match="no room for the work"):
        asked(how)
    # An answer is an answer.
    assert answered("asked", more=[1, "a"]) == {"job": "asked", "more": [1, "a"]}


def test_limits_that_it_has() -> None:
    import resource

    wide = asked("limits", Bounds(50))
    assert isinstance(wide, dict)
    assert wide["RLIMIT_CORE"] == 0
    assert 0 < wide["alarm"] <= 52
    for kind in ("RLIMIT_CPU", "RLIMIT_FSIZE"):
        assert wide[kind] == resource.getrlimit(getattr(resource, kind))[0]
    narrow = asked("limits", Bounds(50, cpu_seconds=77, written=1 << 20))
    assert isinstance(narrow, dict)
    assert (narrow["RLIMIT_CPU"], narrow["RLIMIT_FSIZE"]) == (77, 1 << 20)


def test_processor_time() -> None:
    death = asked("spin", Bounds(120, cpu_seconds=1))
    assert isinstance(death, Death)
    assert death.stopped == "took more than 1 seconds of processor time"
