"""Trying a network that nobody has vouched for: in a process of its own, under limits.

Runtimes read weights without much suspicion, and a damaged file may crash them, make them
allocate without end or never come back. In a process of its own that is a sentence about the
file. It is no sandbox: it contains accidents, not attacks.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import edgeinc.errors as errors
from edgeinc.cache import is_full, reserve
from edgeinc.errors import EdgeincError, InputError, ModelFormatError, RuntimeUnavailableError

__all__ = ["ANSWER", "LIMITS", "REQUEST", "Limits", "attempt"]

REQUEST, ANSWER = "request.json", "answer.json"
_SAID = "said.txt"
CHILD = "edgeinc.catalogue.child"
_MIB = 1 << 20
_LEAST_ROOM = _MIB


@dataclass(frozen=True, slots=True)
class Limits:
    """What a trial may use; many times what a sound network needs.

    The time holds everywhere, memory and written bytes where the system has such limits: on
    Linux, and on macOS as far as it keeps to them; on Windows not at all.

    Attributes:
        seconds: Of the clock.
        cpu_seconds: Of all cores together.
        memory: Bytes that it may allocate besides.
        memory_per_byte: Further bytes for each of the weights.
        written: Bytes of a file that it may write, at least; four for each of the weights.
        room: Times the size of the weights that must be free on the disk before it begins.
    """

    seconds: float = 120.0
    cpu_seconds: int = 300
    memory: int = 2048 * _MIB
    memory_per_byte: int = 16
    written: int = 64 * _MIB
    room: int = 2

    def memory_for(self, size: int) -> int:
        """Bytes that weights of this size may take; no more than the machine has."""
        wanted = self.memory + self.memory_per_byte * size
        if not hasattr(os, "sysconf"):
            return wanted
        return min(wanted, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


LIMITS = Limits()


def attempt(
    job: str, name: str, content: bytes, request: Mapping[str, Any], limits: Limits | None = None
) -> dict[str, Any]:
    """Does one of the jobs of `edgeinc.catalogue.child` in a process of its own.

    Args:
        job: Its name.
        name: What the weights are called.
        content: The weights.
        request: What else the job wants to know; plain values.
        limits: `LIMITS` unless given.

    Returns:
        What the job answers; plain values.

    Raises:
        EdgeincError: What the job raised.
        ModelFormatError: It crashed, or ran into a limit.
        InputError: There is no room for its files.
        RuntimeUnavailableError: No process can be started here.
    """
    limits = limits or LIMITS
    memory = limits.memory_for(len(content))
    words = {
        "job": job,
        "name": name,
        **asdict(limits),
        "memory": memory,
        "written": max(limits.written, 4 * len(content)),
        **request,
    }
    try:
        # Windows may hold a file of a process that has just been ended for a moment longer.
        with tempfile.TemporaryDirectory(prefix="edgeinc-", ignore_cleanup_errors=True) as made:
            folder = Path(made).resolve()
            with tempfile.TemporaryFile(dir=folder) as stream:
                reserve(stream, limits.room * len(content) + _LEAST_ROOM)
            (folder / name).write_bytes(content)
            (folder / REQUEST).write_text(json.dumps(words), encoding="utf-8")
            with (folder / _SAID).open("w+b") as said:
                status = _run(folder, said, limits.seconds)
                answer = _answer(folder) if status == 0 else None
                last = _last_line(said)
            full = shutil.disk_usage(folder).free < _LEAST_ROOM
    except OSError as exc:
        if is_full(exc):
            raise _no_room(name) from exc
        raise RuntimeUnavailableError(
            f"{name} is tried in a process of its own, which cannot be started here "
            f"({exc.strerror or exc}); check that {sys.executable or 'a Python'} is there, and "
            f"room in {tempfile.gettempdir()}."
        ) from exc
    # Runtimes say all kinds of things where they could not write.
    if full and (answer is None or "error" in answer):
        raise _no_room(name)
    short = answer is not None and answer.get("error") == MemoryError.__name__
    if answer is None or short:
        what = _failure(status, limits)
        if short:
            what = f"needed more than {memory // _MIB} MiB of memory"
        more = f" ({last})" if last else ""
        advice = "do not use it"
        if not short and status == -getattr(signal, "SIGKILL", 0):
            # By the system, for want of memory, or by a person: nothing is known of the network.
            what, advice = "was ended from outside", "free memory, and try again"
        raise ModelFormatError(f"{name} {what} when it was tried{more}; {advice}.")
    if (error := answer.get("error")) is not None:
        kind = getattr(errors, error) if error in errors.__all__ else EdgeincError
        raise kind(str(answer.get("message")))
    return answer


def _no_room(name: str) -> InputError:
    return InputError(
        f"there is no room to try {name} in; make some in {tempfile.gettempdir()}, or name another "
        "folder with TMPDIR."
    )


def _run(folder: Path, said: IO[bytes], seconds: float) -> int | None:
    """The exit status of a child that works in `folder`; None when its time ran out."""
    # It finds edgeinc where this process did, and its folder is the first that is looked into.
    places = [str(Path(place or ".").resolve()) for place in sys.path]
    child = subprocess.Popen(
        [sys.executable or "", "-m", CHILD],
        cwd=folder,
        # What it leaves in the cache, and packages in between, goes with the folder.
        env={
            **os.environ,
            **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder)),
            "PYTHONPATH": os.pathsep.join(places),
            "EDGEINC_CACHE": str(folder / "cache"),
        },
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=said,
        start_new_session=True,
    )
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ends a child and, where there are process groups, all that it started."""
    if not hasattr(os, "killpg"):
        child.kill()
    elif child.returncode is None:
        # Until it has been waited for, its number cannot have become another's.
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _answer(folder: Path) -> dict[str, Any] | None:
    try:
        answer = json.loads((folder / ANSWER).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None


def _last_line(said: IO[bytes]) -> str:
    """The end of what a runtime printed, as one short line."""
    said.seek(max(0, said.seek(0, os.SEEK_END) - 2048))
    lines = said.read().decode("utf-8", "replace").split("\n")
    plain = ["".join(c for c in line if c.isprintable()).strip() for line in lines]
    return next((line[:160] for line in reversed(plain) if line), "")


def _failure(status: int | None, limits: Limits) -> str:
    """What happened, from the exit status of the child."""
    if status is None or status == -getattr(signal, "SIGALRM", 0):
        return f"took more than {limits.seconds:g} seconds"
    if status == -getattr(signal, "SIGXCPU", 0):
        return f"took more than {limits.cpu_seconds} seconds of processor time"
    if status < 0:
        return f"crashed its runtime by {signal.strsignal(-status) or f'signal {-status}'}"
    return "failed in its runtime"
