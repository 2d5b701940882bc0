"""The side of the process that asks."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import edgeinc.errors as errors
from edgeinc.cache import is_full, reserve
from edgeinc.children.bounds import ANSWER, REQUEST, Bounds
from edgeinc.children.death import Death, death_of, last_line
from edgeinc.errors import EdgeincError, NoRoomError, RuntimeUnavailableError

__all__ = ["ask"]

_SAID, _WORK = "said.txt", "work"
_LIBRARIES = "LD_LIBRARY_PATH"
_LEAST_ROOM = 1 << 20
_SHORTEST, _LONGEST = 0.001, 0.05
"""Seconds between two looks at whether a process has ended."""


def ask(
    module: str,
    what: str,
    request: Mapping[str, Any],
    bounds: Bounds,
    *,
    files: Mapping[str, bytes] | None = None,
) -> dict[str, Any] | Death:
    """Has a module answer a request in a process of its own, which is gone afterwards.

    So is all that the process started, whether it answers, dies, takes too long, or this one is
    interrupted (as far as the system has groups of processes: Windows has none).

    Args:
        module: It calls `serve`.
        what: What the process does, for errors.
        request: Plain values.
        bounds: What it may use.
        files: By name. With them it works in a folder of its own that holds them, and has a
            cache of its own; without them where this process works, and with its cache.

    Returns:
        What it answers, plain values; or how it died.

    Raises:
        EdgeincError: What it raised.
        NoRoomError: There is no room for its files.
        RuntimeUnavailableError: No process can be started here.
    """
    try:
        # Windows may hold a file of a process that has just been ended for a moment longer.
        with tempfile.TemporaryDirectory(prefix="edgeinc-", ignore_cleanup_errors=True) as made:
            folder = Path(made).resolve()
            _lay_out(folder, request, bounds, files)
            with (folder / _SAID).open("w+b") as said:
                status = _run(module, folder, said, bounds.seconds, own_cache=files is not None)
                answer = _answer(folder) if status == 0 else None
                last = last_line(said)
            full = shutil.disk_usage(folder).free < _LEAST_ROOM
    except OSError as exc:
        if is_full(exc):
            raise _no_room(what) from exc
        raise RuntimeUnavailableError(
            f"{what} is a process of its own, which cannot be started here "
            f"({exc.strerror or exc}); check that {sys.executable or 'a Python'} is there, and "
            f"room in {tempfile.gettempdir()}."
        ) from exc
    error = None if answer is None else answer.get("error")
    # Runtimes say all kinds of things where they could not write.
    if full and (answer is None or error is not None):
        raise _no_room(what)
    if answer is None or error == MemoryError.__name__:
        return death_of(status, bounds, last, short=answer is not None)
    if error is not None:
        kind = getattr(errors, error) if error in errors.__all__ else EdgeincError
        raise kind(str(answer.get("message")))
    return answer


def _no_room(what: str) -> NoRoomError:
    return NoRoomError(
        f"There is no room for {what}; make some in {tempfile.gettempdir()}, or name another "
        "folder with TMPDIR."
    )


def _lay_out(
    folder: Path, request: Mapping[str, Any], bounds: Bounds, files: Mapping[str, bytes] | None
) -> None:
    """Writes what a process finds when it starts."""
    with tempfile.TemporaryFile(dir=folder) as stream:
        reserve(stream, bounds.room + _LEAST_ROOM)
    where = Path.cwd() if files is None else folder / _WORK
    if files is not None:
        where.mkdir()
        for name, content in files.items():
            (where / name).write_bytes(content)
    words = {"where": str(where), "bounds": asdict(bounds), "request": request}
    (folder / REQUEST).write_text(json.dumps(words), encoding="utf-8")


def _run(
    module: str, folder: Path, said: IO[bytes], seconds: float, *, own_cache: bool
) -> int | None:
    """The exit status of a process that starts in `folder`; None when its time ran out."""
    # It finds edgeinc where this process did, and its folder is the first that is looked into.
    places = [str(Path(place or ".").resolve()) for place in sys.path]
    # What it leaves there, and packages in between, goes with the folder.
    own = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    if own_cache:
        own["EDGEINC_CACHE"] = str(folder / "cache")
    # Libraries are found where this process finds them: an empty entry is the working folder.
    if libraries := os.environ.get(_LIBRARIES):
        own[_LIBRARIES] = os.pathsep.join(map(_whole, libraries.split(os.pathsep)))
    child = subprocess.Popen(
        [sys.executable or "", "-m", module],
        cwd=folder,
        env={**os.environ, **own, "PYTHONPATH": os.pathsep.join(places)},
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=said,
        start_new_session=True,
    )
    in_time = False
    try:
        in_time = _ends(child, seconds)
    finally:
        status = _end(child)
    return status if in_time else None


def _whole(entry: str) -> str:
    """An entry of `LD_LIBRARY_PATH` from the root on; one that begins with a variable is whole."""
    return entry if entry.startswith("$") else str(Path(entry or ".").absolute())


def _ends(child: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether a process ends in time."""
    end, pause = time.monotonic() + seconds, _SHORTEST
    while not _has_ended(child):
        if time.monotonic() >= end:
            return False
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST)
    return True


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    """Whether a process has ended; it is not waited for, where that can be told without."""
    if hasattr(os, "waitid"):
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, child.pid, how) is not None
    return child.poll() is not None


def _end(child: subprocess.Popen[bytes]) -> int:
    """Ends a process and, where there are groups of them, all that it started."""
    if not hasattr(os, "killpg"):
        child.kill()
    elif child.returncode is None:
        # Until it has been waited for, its number cannot have become another's. macOS refuses
        # where all of a group has ended.
        with suppress(PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
    return child.wait()


def _answer(folder: Path) -> dict[str, Any] | None:
    try:
        answer = json.loads((folder / ANSWER).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None
