"""The tables of a store, as numbered migrations.

What is shared between devices only ever grows, so that merging two stores is a union and its
order does not matter:

- `samples`: an example has a random id and never changes its embedding. Purged, it keeps the
  id alone (every other column NULL, `live` 0), and a purged example wins over an unpurged one.
- `operations`: each has a random id, its device and that device's logical (Lamport) counter.
  `undone` is set once, by its own device, and never cleared.
- `removals`, `relabels`: which operation took an example out, or gave it another class.
- `thresholds`: which operation set the threshold of an example's class; the value is
  `operations.threshold`, NULL for one that is to be worked out. It is kept with the examples, and
  goes with them, so that merging is a union here too; an example that is enrolled later takes
  over what holds for its class.

What follows from these is kept in `samples.live` and `samples.class`, for speed (`state.py`):
an example is live unless the operation that enrolled it is undone or a removal of it is not;
its class is the one of its latest relabelling that is not undone, by logical counter and then
device id, never by a clock, and else the one it was enrolled in.

Four more things are derived, and kept for speed alone: `classes.examples`, how many examples of
a class count; `classes.override`, the operation whose threshold holds for it, which is the latest
of those of its live examples, in the order of relabellings (`overrides.py`); `changes`, which
examples came and went, in the order of the commits, so that whoever follows a store reads only
that (`following.py`); and `gram` with `sums`, statistics of all that counted after one of those
changes (`statistics.py`), so that opening a store need not read it all.
`store.changed` is the number of the last change, `store.floor` the last that is no longer listed.
`store.tip` is a random number that each commit draws anew, `changes.before` the one before it, so
that a number that another copy of the store counts too is not taken for the same change.

`store.nonnegative` is what the backbone's card says of its numbers, for who has no card.

STRICT tables need SQLite 3.37; Raspberry Pi OS has 3.34 and 3.40. The CHECKs stand in for them.
"""

from __future__ import annotations

import sqlite3
from functools import cache

__all__ = ["APPLICATION_ID", "MIGRATIONS", "apply_migration", "expected_objects", "found_objects"]

APPLICATION_ID = 0x65646769
"""`edgi`, at bytes 68 to 71 of the file; `file` and others tell stores by it."""

_TABLES = (
    """CREATE TABLE devices (
        id INTEGER PRIMARY KEY,
        uid BLOB NOT NULL UNIQUE CHECK (typeof(uid) = 'blob' AND length(uid) = 16)
    )""",
    """CREATE TABLE store (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        device INTEGER NOT NULL REFERENCES devices,
        backbone TEXT NOT NULL CHECK (typeof(backbone) = 'text'),
        fingerprint TEXT NOT NULL CHECK (typeof(fingerprint) = 'text'),
        dim INTEGER NOT NULL CHECK (typeof(dim) = 'integer' AND dim > 0),
        counter INTEGER NOT NULL CHECK (typeof(counter) = 'integer'),
        lines INTEGER NOT NULL CHECK (typeof(lines) = 'integer'),
        scrub INTEGER NOT NULL CHECK (scrub IN (0, 1)),
        created REAL NOT NULL CHECK (typeof(created) = 'real'),
        tool TEXT NOT NULL CHECK (typeof(tool) = 'text')
    )""",
    """CREATE TABLE files (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL CHECK (typeof(name) = 'text'),
        sha256 TEXT NOT NULL CHECK (typeof(sha256) = 'text'),
        UNIQUE (sha256, name)
    )""",
    """CREATE TABLE classes (
        id INTEGER PRIMARY KEY,
        label TEXT NOT NULL UNIQUE CHECK (typeof(label) = 'text')
    )""",
    # `number` is the line in this store's own log; operations that came by a merge have none.
    """CREATE TABLE operations (
        id INTEGER PRIMARY KEY,
        uid BLOB NOT NULL UNIQUE CHECK (typeof(uid) = 'blob' AND length(uid) = 16),
        device INTEGER NOT NULL REFERENCES devices,
        counter INTEGER NOT NULL CHECK (typeof(counter) = 'integer'),
        number INTEGER CHECK (typeof(number) IN ('integer', 'null')),
        kind TEXT NOT NULL CHECK (typeof(kind) = 'text'),
        detail TEXT NOT NULL CHECK (typeof(detail) = 'text'),
        time REAL NOT NULL CHECK (typeof(time) = 'real'),
        tool TEXT NOT NULL CHECK (typeof(tool) = 'text'),
        file INTEGER REFERENCES files,
        undone INTEGER NOT NULL DEFAULT 0 CHECK (undone IN (0, 1))
    )""",
    """CREATE TABLE samples (
        id INTEGER PRIMARY KEY,
        uid BLOB NOT NULL UNIQUE CHECK (typeof(uid) = 'blob' AND length(uid) = 16),
        live INTEGER NOT NULL CHECK (live IN (0, 1)),
        class INTEGER REFERENCES classes,
        origin INTEGER REFERENCES classes,
        operation INTEGER REFERENCES operations,
        digest BLOB CHECK (typeof(digest) IN ('blob', 'null')),
        source TEXT CHECK (typeof(source) IN ('text', 'null')),
        embedding BLOB CHECK (typeof(embedding) IN ('blob', 'null')),
        CHECK ((class IS NULL) = (embedding IS NULL) AND (live = 0 OR class IS NOT NULL))
    )""",
    # Apart from `samples`, so that rows stay small and reading embeddings skips pictures.
    """CREATE TABLE thumbnails (
        sample INTEGER PRIMARY KEY REFERENCES samples,
        image BLOB NOT NULL CHECK (typeof(image) = 'blob')
    )""",
    """CREATE TABLE removals (
        sample INTEGER NOT NULL REFERENCES samples,
        operation INTEGER NOT NULL REFERENCES operations,
        PRIMARY KEY (sample, operation)
    ) WITHOUT ROWID""",
    """CREATE TABLE relabels (
        sample INTEGER NOT NULL REFERENCES samples,
        operation INTEGER NOT NULL REFERENCES operations,
        class INTEGER NOT NULL REFERENCES classes,
        PRIMARY KEY (sample, operation)
    ) WITHOUT ROWID""",
)

_INDEXES = (
    # Duplicates, counts, canonical order and representatives all come from this one.
    """CREATE INDEX samples_content ON samples (class, live, digest, uid)
        WHERE class IS NOT NULL""",
    """CREATE INDEX samples_operation ON samples (operation) WHERE operation IS NOT NULL""",
    """CREATE INDEX removals_operation ON removals (operation)""",
    """CREATE INDEX relabels_operation ON relabels (operation)""",
)

_DERIVED = (
    "ALTER TABLE store ADD COLUMN changed INTEGER NOT NULL DEFAULT 0"
    " CHECK (typeof(changed) = 'integer')",
    "ALTER TABLE store ADD COLUMN tip INTEGER NOT NULL DEFAULT 0 CHECK (typeof(tip) = 'integer')",
    "ALTER TABLE store ADD COLUMN floor INTEGER NOT NULL DEFAULT 0"
    " CHECK (typeof(floor) = 'integer')",
    # Whether the backbone never gives a negative number; NULL until an engine has said so.
    "ALTER TABLE store ADD COLUMN nonnegative INTEGER CHECK (nonnegative IN (0, 1))",
    "ALTER TABLE classes ADD COLUMN examples INTEGER NOT NULL DEFAULT 0"
    " CHECK (typeof(examples) = 'integer')",
    """CREATE TABLE changes (
        id INTEGER PRIMARY KEY,
        class INTEGER NOT NULL CHECK (typeof(class) = 'integer'),
        sample INTEGER NOT NULL CHECK (typeof(sample) = 'integer'),
        sign INTEGER NOT NULL CHECK (sign IN (-1, 1)),
        before INTEGER NOT NULL CHECK (typeof(before) = 'integer')
    )""",
    """CREATE TABLE gram (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        seq INTEGER NOT NULL CHECK (typeof(seq) = 'integer'),
        tip INTEGER NOT NULL CHECK (typeof(tip) = 'integer'),
        form TEXT NOT NULL CHECK (typeof(form) = 'text'),
        matrix BLOB NOT NULL CHECK (typeof(matrix) = 'blob'),
        digest BLOB NOT NULL CHECK (typeof(digest) = 'blob')
    )""",
    """CREATE TABLE sums (
        class INTEGER PRIMARY KEY,
        marks BLOB NOT NULL CHECK (typeof(marks) = 'blob'),
        total BLOB NOT NULL CHECK (typeof(total) = 'blob'),
        digest BLOB NOT NULL CHECK (typeof(digest) = 'blob')
    )""",
)

_FILLED = (
    """UPDATE classes SET examples = (
        SELECT count(DISTINCT digest) FROM samples s WHERE s.class = classes.id AND s.live = 1
    )""",
    # As if each example had come by a change that is no longer listed.
    """UPDATE store SET tip = abs(random() / 256),
        changed = (SELECT coalesce(sum(examples), 0) FROM classes),
        floor = (SELECT coalesce(sum(examples), 0) FROM classes)""",
)

_THRESHOLDS = (
    "ALTER TABLE operations ADD COLUMN threshold REAL CHECK (threshold IS NULL"
    " OR (typeof(threshold) = 'real' AND threshold BETWEEN 0 AND 1))",
    """CREATE TABLE thresholds (
        sample INTEGER NOT NULL REFERENCES samples,
        operation INTEGER NOT NULL REFERENCES operations,
        PRIMARY KEY (sample, operation)
    ) WITHOUT ROWID""",
    """CREATE INDEX thresholds_operation ON thresholds (operation)""",
    "ALTER TABLE classes ADD COLUMN override INTEGER REFERENCES operations",
    """CREATE INDEX classes_override ON classes (override) WHERE override IS NOT NULL""",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (*_TABLES, *_INDEXES),
    (*_DERIVED, *_FILLED),
    _THRESHOLDS,
)
"""Migration k, counted from 1, brings a store of version k-1 to version k. Never edit one."""


def apply_migration(conn: sqlite3.Connection, number: int) -> None:
    """Bring a store from version `number - 1` to `number`, inside the caller's transaction."""
    for statement in MIGRATIONS[number - 1]:
        conn.execute(statement)
    conn.execute(f"PRAGMA user_version = {number}")


def found_objects(conn: sqlite3.Connection) -> frozenset[tuple[str, str, str | None]]:
    """Type, name and text of everything in a database's schema."""
    return frozenset(conn.execute("SELECT type, name, sql FROM sqlite_master"))


def expected_objects(version: int | None = None) -> frozenset[tuple[str, str, str | None]]:
    """Type, name and text of everything in the schema of a version, by default the latest."""
    return _objects_after(MIGRATIONS[:version])


@cache
def _objects_after(
    migrations: tuple[tuple[str, ...], ...],
) -> frozenset[tuple[str, str, str | None]]:
    conn = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for migration in migrations:
            for statement in migration:
                conn.execute(statement)
        return found_objects(conn)
    finally:
        conn.close()
