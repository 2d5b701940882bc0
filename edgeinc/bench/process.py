"""Asking a process of its own, which may crash."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import edgeinc.errors as errors
from edgeinc.bench.notes import ANSWER, REQUEST
from edgeinc.cache import is_full, reserve
from edgeinc.errors import EdgeincError, InferenceError, InputError, RuntimeUnavailableError

__all__ = ["ask"]

_LEAST_ROOM = 1 << 20

PATIENCE = 300.0
"""Seconds for opening a network: compiling it for a chip takes minutes."""


def ask(
    request: Mapping[str, Any], what: str, advice: str, *, seconds: float = 0.0
) -> dict[str, Any]:
    """Has `edgeinc.bench.child` answer a request.

    Args:
        request: It, for JSON.
        what: What the process does, for errors.
        advice: What to do where it crashes.
        seconds: How long it works, beyond opening a network.

    Raises:
        EdgeincError: Its own.
        InferenceError: The process crashed, did not end, or left no answer.
        InputError: There is no room for its files.
        RuntimeUnavailableError: No process can be started here.
    """
    try:
        answer = _answer(request, what, advice, PATIENCE + 2 * seconds)
    except OSError as exc:
        if is_full(exc):
            raise _no_room(what) from exc
        raise RuntimeUnavailableError(
            f"{what} is a process of its own, which cannot be started here "
            f"({exc.strerror or exc}); check that {sys.executable or 'a Python'} is there, and "
            f"room in {tempfile.gettempdir()}"
        ) from exc
    if (error := answer.get("error")) is not None:
        kind = getattr(errors, error) if error in errors.__all__ else EdgeincError
        raise kind(answer["message"])
    return answer


def _answer(request: Mapping[str, Any], what: str, advice: str, patience: float) -> dict[str, Any]:
    """What a process of its own answers.

    Raises:
        OSError: Its files cannot be written, or it cannot be started.
        InferenceError, InputError: As `ask`.
    """
    with tempfile.TemporaryDirectory(prefix="edgeinc-", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        with tempfile.TemporaryFile(dir=folder) as stream:
            reserve(stream, _LEAST_ROOM)
        (folder / REQUEST).write_text(json.dumps(request), encoding="utf-8")
        # The process finds edgeinc where this one did.
        places = [str(Path(place or ".").resolve()) for place in sys.path]
        try:
            done = subprocess.run(
                [sys.executable or "", "-m", "edgeinc.bench.child", made],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=patience,
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise InferenceError(f"{what} did not end in {exc.timeout:g} seconds") from exc
        if done.returncode == 0:
            # It has one whole, unless whatever it loaded ended it before.
            with suppress(FileNotFoundError, ValueError):
                found: dict[str, Any] = json.loads((folder / ANSWER).read_text(encoding="utf-8"))
                return found
        # Whatever it says then, it says nothing of the network.
        if shutil.disk_usage(folder).free < _LEAST_ROOM:
            raise _no_room(what)
        raise InferenceError(f"{what} {_ended(done.returncode, done.stderr)}; {advice}")


def _no_room(what: str) -> InputError:
    return InputError(
        f"there is no room for {what}; make some in {tempfile.gettempdir()}, or name another "
        "folder with TMPDIR"
    )


def _ended(status: int, said: bytes) -> str:
    """How a process ended that ended in a way of its own."""
    how = f"failed with status {status}" if status else "ended without an answer"
    if status < 0:
        how = f"crashed by {signal.strsignal(-status) or f'signal {-status}'}"
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return how + (f" ({lines[-1][:160]})" if lines else "")
