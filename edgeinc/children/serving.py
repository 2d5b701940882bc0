"""The side of the process that is asked."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeinc.children.bounds import ANSWER, REQUEST, Bounds, restrain
from edgeinc.errors import EdgeincError

__all__ = ["serve"]


def serve(work: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answers the request that this process was started for; see `ask`.

    Args:
        work: Makes the answer of the request; plain values. An error of edgeinc is an answer
            too, and so is a lack of memory.
    """
    folder = Path.cwd()
    words = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    # Only now: where a process starts Python looks for modules, and what lies in the other
    # folder may have any name.
    os.chdir(words["where"])
    restrain(Bounds(**words["bounds"]))
    try:
        answer = work(words["request"])
    except (EdgeincError, MemoryError) as exc:
        answer = {"error": type(exc).__name__, "message": str(exc)}
    (folder / ANSWER).write_text(json.dumps(answer), encoding="utf-8")
