"""Faults on purpose, which show that the harness sees them; see `tests/test_fuzz.py`."""

from __future__ import annotations

import ctypes
import os
import random
import threading
import time
from pathlib import Path

import numpy as np

from edgeinc.errors import ImageError
from tests.fuzz.worker import Files, Wrong

__all__ = ["FAULTS", "Kind"]

FAULTS = ("foreign", "wrong", "lines", "thread", "memory", "abort", "crash", "loop", "exit")


class Kind:
    """Every tenth input is one of the faults, by its number; the others are sound."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = -1

    def make(self, rng: random.Random) -> Files:
        return {"input": rng.randbytes(8)}

    def run(self, files: Files, rng: random.Random) -> str:
        how = os.environ.get("EDGEINC_PLANTED", "")
        self._number += 1
        if self._number != 1:
            return "sound"
        if how == "foreign":
            raise KeyError("what nobody expects")
        if how == "wrong":
            raise Wrong("two and two are five")
        if how == "lines":
            raise ImageError("one line\nand another")
        if how == "thread":
            thread = threading.Thread(target=lambda: {}["absent"])
            thread.start()
            thread.join()
        if how == "memory":
            np.ones(400 << 17)
        if how == "abort":
            os.abort()
        if how == "crash":
            ctypes.string_at(1)
        if how == "exit":
            os._exit(0)
        while how == "loop":
            pass
        while how == "stall":
            time.sleep(1)
        return "sound"
