"""Asking a process of its own, which may crash."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import edgeinc.errors as errors
from edgeinc.bench.notes import ANSWER, REQUEST
from edgeinc.errors import EdgeincError, InferenceError

__all__ = ["ask"]

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
        EdgeincError: Its own, or the process crashed or did not end.
    """
    with tempfile.TemporaryDirectory(prefix="edgeinc-", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        (folder / REQUEST).write_text(json.dumps(request), encoding="utf-8")
        # The process finds edgeinc where this one did.
        places = [str(Path(place or ".").resolve()) for place in sys.path]
        try:
            done = subprocess.run(
                [sys.executable, "-m", "edgeinc.bench.child", made],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PATIENCE + 2 * seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise InferenceError(f"{what} did not end in {exc.timeout:g} seconds") from exc
        if done.returncode != 0:
            how = _ended(done.returncode, done.stderr)
            raise InferenceError(f"{what} {how}; {advice}")
        answer: dict[str, Any] = json.loads((folder / ANSWER).read_text(encoding="utf-8"))
    if (error := answer.get("error")) is not None:
        kind = getattr(errors, error) if error in errors.__all__ else EdgeincError
        raise kind(answer["message"])
    return answer


def _ended(status: int, said: bytes) -> str:
    """How a process ended that ended in a way of its own."""
    how = f"failed with status {status}"
    if status < 0:
        how = f"crashed by {signal.strsignal(-status) or f'signal {-status}'}"
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return how + (f" ({lines[-1][:160]})" if lines else "")
