"""A module that serves, to end in every way that a process can."""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from edgeinc.children import serve
from edgeinc.errors import InputError

HERE = Path.cwd()
HOLD = """
import fcntl, sys, time
with open(sys.argv[1], "w") as note:
    fcntl.flock(note, fcntl.LOCK_EX)
    print("here", file=note, flush=True)
    time.sleep(600)
"""


def begin(note: Path) -> None:
    """Starts a process that holds a note for as long as it runs."""
    subprocess.Popen([sys.executable, "-c", HOLD, str(note)])
    while not note.exists() or not note.read_text(encoding="utf-8"):
        time.sleep(0.005)


def leave(content: bytes) -> None:
    """Leaves something where the answer is looked for."""
    (HERE / "answer.json").write_bytes(content)


def work(request: dict[str, Any]) -> dict[str, Any]:
    how = request["job"]
    if "note" in request:
        begin(Path(request["note"]))
    if how == "stay":
        time.sleep(600)
    elif how == "spin":
        while True:
            pass
    elif how == "segfault":
        ctypes.string_at(1)
    elif how == "abort":
        print("terminate called: no memory\x1b[0m\n\n", file=sys.stderr, flush=True)
        os.abort()
    elif how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "late":
        leave(b"{}")
        os.abort()
    elif how == "garbage":
        leave(b"\xff{")
        os._exit(0)
    elif how == "list":
        leave(b"[]")
        os._exit(0)
    elif how == "silent":
        os._exit(0)
    elif how == "short":
        raise MemoryError
    elif how == "own":
        raise InputError("nothing of use; give something else")
    elif how == "odd":
        return {"error": "SystemExit", "message": "x"}
    elif how == "load":
        return {"loaded": str(importlib.import_module(request["module"]).__file__)}
    elif how == "surroundings":
        return {
            "where": str(Path.cwd()),
            "names": sorted(path.name for path in Path().iterdir()),
            "libraries": os.environ.get("LD_LIBRARY_PATH"),
            "cache": os.environ["EDGEINC_CACHE"],
            "temporary": tempfile.gettempdir(),
        }
    elif how == "limits":
        import resource

        kinds = ("RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_FSIZE")
        limits = {kind: resource.getrlimit(getattr(resource, kind))[0] for kind in kinds}
        return {**limits, "alarm": signal.alarm(0)}
    elif how == "asked":
        return request
    raise RuntimeError("what nobody expects")


if __name__ == "__main__":
    serve(work)
