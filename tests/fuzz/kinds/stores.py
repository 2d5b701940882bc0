"""Stores: bits, pages and journals that are damaged, and tables that say what cannot be."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from edgeinc import Backbone, EdgeincError, Engine
from edgeinc.cli import main
from edgeinc.doctor import examine, repair
from edgeinc.engine import memory
from edgeinc.store import NewExample, Store
from tests.fuzz.mutate import INTEGERS, damage, patch_integer
from tests.fuzz.worker import Files, Wrong, write

__all__ = ["DIM", "Kind", "attempt", "backbone", "build", "damage_store", "numbers", "picture"]

DIM = 12
WEIGHTS = {"file": "blocks", "file_sha256": "ab" * 32}
NAME = "s.db"
TEXTS = (
    "",
    "nut",
    "bolt",
    "\x00",
    "a\x00b",
    "\u202e",
    "x" * 300,
    "\U0001f529",
    "e\u0301",
    "' --",
    "\n",
)
VALUES: tuple[Any, ...] = (
    *(None, 0, 1, 2, -1, 12, 13, 4096, 65537, 2**31, 2**40, 2**62, 2**63 - 1, -(2**63)),
    *(0.5, 1e308, -1e308, float("inf"), b"", b"\x00", b"x" * 12, b"y" * 16, b"z" * 24, b"w" * 5000),
    *TEXTS,
)
BROKEN_TEXT = ("CAST(x'ff' AS TEXT)", "CAST(x'eda080' AS TEXT)", "CAST(x'00ff' AS TEXT)")
SCHEMA = (
    "DROP INDEX samples_content",
    "CREATE INDEX more ON samples (source)",
    "CREATE TABLE more (a, b)",
    "CREATE TRIGGER t AFTER INSERT ON operations BEGIN DELETE FROM samples; END",
    "CREATE VIEW v AS SELECT * FROM samples",
    "ALTER TABLE samples ADD COLUMN more",
    "ALTER TABLE samples RENAME COLUMN source TO sauce",
    "DROP TABLE thumbnails",
    "DELETE FROM store",
    "DELETE FROM devices",
    "DELETE FROM classes",
    "DELETE FROM operations",
    "DELETE FROM samples",
    "DELETE FROM files",
    "UPDATE samples SET live = 1",
    "UPDATE samples SET live = 0",
    "UPDATE samples SET class = 1 WHERE class IS NOT NULL",
    "UPDATE samples SET digest = NULL",
    "UPDATE store SET dim = 1099511627776",
    "UPDATE store SET dim = 24",
    "UPDATE store SET counter = 9223372036854775807",
    "UPDATE store SET lines = 9223372036854775807",
    "UPDATE store SET scrub = 1",
    "UPDATE operations SET undone = 1",
    "INSERT INTO relabels SELECT id, 1, 2 FROM samples",
    "INSERT INTO removals SELECT id, 2 FROM samples",
    "INSERT OR IGNORE INTO thresholds SELECT id, 1 FROM samples",
    "UPDATE thresholds SET operation = 99999",
    "UPDATE operations SET threshold = 0.5",
    "UPDATE operations SET threshold = 9e999",
    "UPDATE classes SET override = 1",
    "UPDATE classes SET label = '' WHERE id = 1",
    "INSERT OR IGNORE INTO thumbnails SELECT id, zeroblob(300000) FROM samples",
    "PRAGMA user_version = 0",
    "PRAGMA user_version = 99",
    "PRAGMA user_version = -1",
    "PRAGMA application_id = 0",
    "UPDATE sqlite_master SET sql = 'CREATE TABLE samples (id)' WHERE name = 'samples'",
    "UPDATE sqlite_master SET rootpage = 1 WHERE name = 'samples'",
    "UPDATE sqlite_master SET rootpage = 99999 WHERE name = 'samples_content'",
    "UPDATE sqlite_master SET sql = CAST(x'ff' AS TEXT) WHERE name = 'classes'",
    "UPDATE sqlite_master SET type = 'view', rootpage = 0, sql = 'CREATE VIEW store AS WITH "
    "RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT * FROM c' "
    "WHERE name = 'store'",
)


class Kind:
    """A store `s.db` with what lies beside it, opened and used in every way."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "stores"
        self._edit = folder / "edit.db"
        os.environ["EDGEINC_CACHE"] = str(folder / "cache")
        # Statistics are kept beside the examples of large stores; here, of these too.
        memory.KEEP_EVERY = memory.KEEP_AT_CLOSE = 20
        self._seeds = seeds(folder)
        self._all = [content for one in self._seeds for content in one.values()]

    def make(self, rng: random.Random) -> Files:
        files = dict(rng.choice(self._seeds))
        how = rng.randrange(10)
        if how < 5 and len(files) == 1:
            files[NAME] = self._edited(rng, files[NAME])
        if how > 3 or rng.random() < 0.1:
            name = rng.choice(list(files))
            files[name] = damage_store(rng, files[name], self._all)
        if how == 9:
            beside = rng.choice(("-journal", "-wal", "-shm", "-journal"))
            files[NAME + beside] = damage(rng, rng.choice(self._all), self._all)
        return files

    def run(self, files: Files, rng: random.Random) -> str:
        shutil.rmtree(self._folder, ignore_errors=True)
        write(files, self._folder)
        path = self._folder / NAME
        if rng.random() < 0.1:
            examine(path)
        if rng.random() < 0.1:
            self._repair(path)
        if rng.random() < 0.1:
            _shell(rng, path)
        try:
            return self._use(path, rng)
        except Wrong:
            # Opening a store looks for less than `doctor`, which must find what is wrong.
            write(files, self._folder / "again")
            found = examine(self._folder / "again" / NAME).store
            if found is None or found.sound:
                raise
            return "opened+unsound_as_doctor_says"

    def _use(self, path: Path, rng: random.Random) -> str:
        with Engine.open(path, backbone=backbone()) as engine:
            refused = [attempt(work) for work in _works(rng, engine)]
            before = _state(engine)
        with Engine.open(path, backbone=backbone()) as engine:
            after = _state(engine)
            if None not in (before, after) and before != after:
                raise Wrong(f"{before} became {after} by opening it again")
        return "+".join(["opened", *sorted({name for name in refused if name})])

    def _repair(self, path: Path) -> None:
        new = self._folder / "new.db"
        with contextlib.suppress(EdgeincError):
            repair(path, new, backbone().card)
            with Engine.open(new, backbone=backbone()) as engine:
                engine.predict(picture(0, 0))
                engine.enroll("new", [picture(9, 9)])

    def _edited(self, rng: random.Random, content: bytes) -> bytes:
        """Changes rows and tables past every rule that the schema has."""
        self._edit.write_bytes(content)
        with closing(sqlite3.connect(self._edit, isolation_level=None)) as conn:
            for setting in ("ignore_check_constraints = ON", "writable_schema = ON"):
                conn.execute(f"PRAGMA {setting}")
            conn.execute("PRAGMA synchronous = OFF")
            for _ in range(rng.choice((1, 1, 2, 5))):
                with contextlib.suppress(sqlite3.Error):
                    if rng.random() < 0.25:
                        conn.execute(rng.choice(SCHEMA))
                    else:
                        _edit_row(rng, conn)
        return self._edit.read_bytes()


def damage_store(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """Damages the bytes of a store, by bits, headers or pages."""
    return rng.choice(_DAMAGES)(rng, data, others)


def attempt(work: Callable[[], object]) -> str:
    """The name of the error of ours that it raised, or nothing."""
    try:
        work()
    except EdgeincError as exc:
        return type(exc).__name__
    return ""


def backbone() -> Backbone:
    """Twelve means of parts of a picture."""
    return Backbone.from_function(
        lambda one: one.reshape(1, 2, 4, 2, 4, 3).mean(axis=(2, 4)).astype(np.float32),
        name="blocks",
        size=(8, 8),
        dim=DIM,
    )


def picture(kind: int, number: int) -> np.ndarray:
    """A picture of a kind: its numbers lie near each other."""
    noise = np.random.default_rng((kind, number)).integers(0, 40, (8, 8, 3))
    base = np.random.default_rng(kind).integers(0, 215, (8, 8, 3))
    return (base + noise).astype(np.uint8)


def numbers(kind: int, number: int) -> np.ndarray:
    """An embedding of a kind."""
    base = np.random.default_rng(kind).integers(0, 30000, DIM)
    return (base + np.random.default_rng((kind, number)).integers(0, 2000, DIM)).astype(np.int16)


def _works(rng: random.Random, engine: Engine) -> list[Callable[[], object]]:
    """Some of what can be asked of an engine."""
    label = rng.choice(("nut", "bolt", "washer", "absent"))
    shot = picture(rng.randrange(5), rng.randrange(1000))
    works: list[Callable[[], object]] = [
        lambda: engine.predict(shot),
        lambda: engine.search(shot),
        lambda: engine.log(),
        lambda: engine.samples(label),
        lambda: engine.enroll(label, [shot, picture(7, rng.randrange(1000))]),
        lambda: engine.enroll("new", shot),
        lambda: engine.enroll(None, shot),
        lambda: engine.forget(None, purge=rng.random() < 0.5),
        lambda: engine.set_threshold(label, rng.choice((0.0, 0.5, 1.0, None))),
        lambda: engine.forget(label),
        lambda: engine.forget(label, purge=True),
        lambda: engine.forget(sample=engine.samples("nut")[0].id),
        lambda: engine.rename(label, "renamed"),
        lambda: engine.undo(rng.choice((1, 2, 50))),
        lambda: engine.purge(),
        lambda: engine.flush(),
    ]
    return rng.sample(works, rng.choice((2, 4, 8)))


def _state(engine: Engine) -> object:
    """What an engine says of its classes; None where it cannot."""
    try:
        # Until the head has caught up, thresholds are those before the last change.
        engine.flush()
        classes = engine.classes()
        label = engine.predict(picture(0, 1)).label
    except EdgeincError:
        return None
    for one in classes:
        if not isinstance(one.label, str) or type(one.examples) is not int or one.examples < 1:
            raise Wrong(f"a class {one}")
    if label not in (None, "unknown", *(one.label for one in classes)):
        raise Wrong(f"predicted {label!r} of {classes}")
    return sorted(classes, key=lambda one: one.label)


def _shell(rng: random.Random, path: Path) -> None:
    words = rng.choice(
        (
            *(["log"], ["classes"], ["samples", "nut"], ["doctor"], ["undo"], ["forget", "nut"]),
            *(["threshold", "nut", "0.5"], ["samples", "--negative"], ["forget", "--negative"]),
        )
    )
    with (
        Path(os.devnull).open("w", encoding="utf-8") as null,
        contextlib.redirect_stdout(null),
        contextlib.redirect_stderr(null),
    ):
        status = main(["--json", "--store", str(path), *words])
    if status not in (0, 1):
        raise Wrong(f"`edgeinc {' '.join(words)}` exits with {status}")


def _edit_row(rng: random.Random, conn: sqlite3.Connection) -> None:
    """Gives a column of one row, or of all, a value that it should not have."""
    query = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
    tables = [name for (name,) in conn.execute(query)]
    if not tables:
        return
    table = rng.choice(tables)
    columns = [row[1] for row in conn.execute(f"PRAGMA table_info({table})")]
    if not columns:
        # An edit of the schema before has taken them.
        return
    column = rng.choice(columns)
    rows = conn.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    where = "1" if rng.random() < 0.2 else f"{columns[0]} = (SELECT {columns[0]} FROM {table} "
    where += "" if where == "1" else f"LIMIT 1 OFFSET {rng.randrange(rows + 1)})"
    how = rng.randrange(8)
    if how == 0:
        conn.execute(
            f"UPDATE OR IGNORE {table} SET {column} = {rng.choice(BROKEN_TEXT)} WHERE {where}"
        )
    elif how == 1:
        conn.execute(f"DELETE FROM {table} WHERE {where}")
    elif how == 2:
        other = rng.choice(columns)
        conn.execute(f"UPDATE OR IGNORE {table} SET {column} = {other} WHERE {where}")
    elif how == 3:
        query = f"SELECT {column} FROM {table} WHERE {where} LIMIT 1"
        (value,) = conn.execute(query).fetchone() or (b"",)
        value = damage(rng, value) if isinstance(value, bytes) else rng.choice(VALUES)
        conn.execute(f"UPDATE OR IGNORE {table} SET {column} = ? WHERE {where}", (value,))
    else:
        value = rng.choice(VALUES)
        conn.execute(f"UPDATE OR IGNORE {table} SET {column} = ? WHERE {where}", (value,))


def _bits(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    content = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 100)) if content else 0):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def _pages(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """Swaps, copies, wipes or drops whole pages, as a card does that mixes its blocks up."""
    size = rng.choice((512, 4096, 4096))
    pages = [data[i : i + size] for i in range(0, len(data), size)]
    if len(pages) < 2:
        return damage(rng, data, others)
    a, b = rng.randrange(len(pages)), rng.randrange(len(pages))
    how = rng.randrange(5)
    if how == 0:
        pages[a], pages[b] = pages[b], pages[a]
    elif how == 1:
        pages[a] = pages[b]
    elif how == 2:
        pages[a] = bytes([rng.choice((0, 0xFF))]) * len(pages[a])
    elif how == 3:
        del pages[max(a, 1) :]
    else:
        other = rng.choice(others)
        pages[a] = other[a * size : (a + 1) * size].ljust(len(pages[a]), b"\0")
    return b"".join(pages)


def _headers(rng: random.Random, data: bytes, _: list[bytes]) -> bytes:
    """Damages the file's header, or that of a b-tree page and its array of cells."""
    content = bytearray(data)
    if len(content) < 4096:
        return data
    start = 4096 * rng.randrange(len(content) // 4096) if rng.random() < 0.7 else 0
    at = start + (rng.choice((100, 0)) if start == 0 else 0)
    part = content[at : at + 24]
    if rng.random() < 0.5:
        patch_integer(rng, part)
    else:
        value = rng.choice(INTEGERS) & 0xFFFF
        struct.pack_into(">H", part, rng.randrange(0, 22), value)
    content[at : at + 24] = part
    return bytes(content)


_DAMAGES = (_bits, _bits, _pages, _pages, _headers, _headers, damage)


def build(path: Path, *, size: int) -> Store:
    """A store with a history of every kind, `size` examples a class."""
    bound = backbone().card
    ticks = iter(range(10**9, 2 * 10**9, 60))
    store = Store.open(
        path,
        backbone=bound.name,
        fingerprint=bound.fingerprint,
        dim=DIM,
        clock=lambda: float(next(ticks)),
    )
    for kind, label in enumerate(("nut", "bolt", "washer", "screw")):
        shots = [
            NewExample(label, numbers(kind, i), f"photos/{label}/{i}.jpg") for i in range(size)
        ]
        store.enroll(shots, **WEIGHTS)
    store.rename("screw", "hex screw")
    store.forget("washer")
    store.undo()
    store.enroll([NewExample("bad", numbers(9, 9), "bad.jpg")], **WEIGHTS)
    store.undo()
    store.forget(sample=store.samples("nut")[0].id)
    store.enroll([NewExample(None, numbers(8, i)) for i in range(size)], **WEIGHTS)
    store.set_threshold("nut", 0.5)
    store.set_threshold("bolt", 0.25)
    store.set_threshold("bolt", None)
    return store


@contextlib.contextmanager
def _fixed_chance() -> Iterator[None]:
    """Random ids that are the same in each run."""
    rng, real = random.Random(0), os.urandom
    os.urandom = rng.randbytes
    try:
        yield
    finally:
        os.urandom = real


def seeds(folder: Path) -> list[dict[str, bytes]]:
    """Sound stores: blank, small, larger, purged, cut off in the middle of writing, and in WAL."""
    made = [{NAME: b""}]
    path = folder / "seed.db"
    with _fixed_chance():
        for size, purge in ((2, False), (2, True), (40, False)):
            path.unlink(missing_ok=True)
            with build(path, size=size) as store:
                if purge:
                    store.forget("bolt", purge=True)
            made.append({NAME: path.read_bytes()})
        with Engine.open(path, backbone=backbone()) as engine:
            engine.flush()
        made.append({NAME: path.read_bytes()})
    for mode in ("DELETE", "WAL"):
        with closing(sqlite3.connect(path, isolation_level=None)) as conn:
            conn.execute(f"PRAGMA journal_mode = {mode}").fetchall()
            conn.execute("PRAGMA cache_size = 3")
            conn.execute("BEGIN IMMEDIATE")
            conn.execute("UPDATE samples SET source = source || 'x' || hex(randomblob(40))")
            if mode == "WAL":
                conn.execute("COMMIT")
            beside = "-journal" if mode == "DELETE" else "-wal"
            journal = Path(f"{path}{beside}").read_bytes()
            made.append({NAME: path.read_bytes(), NAME + beside: journal})
            if mode == "DELETE":
                conn.execute("ROLLBACK")
    return made
