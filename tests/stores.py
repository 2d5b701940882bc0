"""Small stores for the tests of the store room."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinc.store import Change, NewExample, Store

DIM = 8
WEIGHTS = {"file": "tiny.onnx", "file_sha256": "ab" * 32}


def open_store(path: Path, **changes: Any) -> Store:
    """A store of eight dimensions; made when it is not there."""
    wanted = {"backbone": "tiny", "fingerprint": "f" * 64, "dim": DIM, **changes}
    return Store.open(path, **wanted)


def integers(seed: int) -> NDArray[np.uint8]:
    """Eight integers that belong to a seed."""
    return np.random.default_rng(seed).integers(1, 256, DIM, dtype=np.uint8)


def shot(label: str | None, seed: int, source: str | None = None) -> NewExample:
    """An example whose content belongs to a seed."""
    return NewExample(label, integers(seed), source=source)


def enroll(store: Store, label: str | None, *seeds: int) -> Change:
    """Enrol one class, or negatives, an example a seed."""
    return store.enroll([shot(label, seed) for seed in seeds], **WEIGHTS)


def contents(store: Store) -> dict[str, tuple[str, bytes]]:
    """What counts, from a fresh read: id -> label and embedding bytes."""
    found = {}
    for rows in store.rows(batch=3):
        for id, label, row in zip(rows.ids, rows.labels, rows.embeddings, strict=True):
            found[id] = (label, row.astype(np.int16).tobytes())
    return found


def labels_of(store: Store) -> dict[str, int]:
    """Each class with the number of its examples."""
    return {info.label: info.examples for info in store.classes()}


_HALF = """
import os, signal, sqlite3, sys
conn = sqlite3.connect(sys.argv[1], isolation_level=None)
conn.execute("PRAGMA cache_size = 2")
conn.execute("BEGIN IMMEDIATE")
conn.execute("UPDATE samples SET source = hex(randomblob(2000)), live = 0")
os.kill(os.getpid(), signal.SIGKILL)
"""
_WRITE = """
import sqlite3, sys
conn = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)
try:
    conn.execute("BEGIN IMMEDIATE")
except sqlite3.OperationalError:
    sys.exit(3)
"""


def leave_half_written(path: Path) -> None:
    """Kill a process in the middle of a write: new pages in the file, old ones in the journal."""
    done = subprocess.run([sys.executable, "-c", _HALF, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert Path(f"{path}-journal").stat().st_size > 4096


def another_can_write(path: Path) -> bool:
    """Whether a process of its own gets the writer's lock at once."""
    done = subprocess.run([sys.executable, "-c", _WRITE, str(path)], check=False)
    assert done.returncode in (0, 3)
    return done.returncode == 0
