"""Stands in for `edgeinc.catalogue.child`, to end in every way that a crashing runtime can."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def stay(request: dict[str, Any]) -> None:
    """Waits for ever, and so does what it starts."""
    script = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    below = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert below.stdout is not None
    Path(request["note"]).write_text(below.stdout.readline(), encoding="utf-8")
    time.sleep(600)


def main() -> None:
    request = json.loads(Path("request.json").read_text(encoding="utf-8"))
    how = request["job"]
    if how == "stay":
        stay(request)
    elif how == "segfault":
        ctypes.string_at(1)
    elif how == "abort":
        print("terminate called: no memory\x1b[0m\n\n", file=sys.stderr, flush=True)
        os.abort()
    elif how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "asked":
        Path("answer.json").write_text(json.dumps(request), encoding="utf-8")
    elif how == "foreign":
        raise RuntimeError("what nobody expects")
    elif how == "garbage":
        Path("answer.json").write_bytes(b"\xff{")
    elif how == "late":
        Path("answer.json").write_text("{}", encoding="utf-8")
        os.abort()
    elif how == "odd":
        Path("answer.json").write_text('{"error": "SystemExit", "message": "x"}', encoding="utf-8")
    elif how == "surroundings":
        names = sorted(path.name for path in Path().iterdir())
        weights = Path(request["name"]).read_text(encoding="utf-8")
        answer = {"names": names, "cache": os.environ["EDGEINC_CACHE"], "weights": weights}
        Path("answer.json").write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
