"""The union of what two stores share, row by row.

- An example is known by its random id and never changes; what was purged anywhere is purged here.
- An operation is known by its random id too, never by device and counter. So two copies of one
  file, which have one device id, may go separate ways and be merged like any others.
- It is undone where any copy of it is; removals, relabellings and thresholds are added.
- The store's counter becomes the highest of any operation in it, so that what is done here
  afterwards comes after all that it has seen (L. Lamport, Time, clocks, and the ordering of events
  in a distributed system, 1978).
- A store that was repaired may have lost who did an operation, what file made an example, or a
  label. So where these, or thumbnails, differ, an order of their contents decides, what was lost
  last. An example's integers, and when and what an operation was, must be the same.

Union, maximum and "purged wins" are commutative, associative and idempotent, and so is this.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from edgeinc.errors import StoreFormatError
from edgeinc.store.content import digest
from edgeinc.store.disk.trust import one_row
from edgeinc.store.enrolment import row_of_class, row_of_file
from edgeinc.store.journal import TOUCHED, last_row
from edgeinc.store.merging.joining import join, loss, rank
from edgeinc.store.merging.shared import Example, Operation, Source, fault, unsound

__all__ = ["Union"]

_OPERATION = """
SELECT o.id, o.undone, d.uid, o.counter, o.kind, o.time, o.tool, o.threshold, f.name, f.sha256
FROM operations o JOIN devices d ON d.id = o.device LEFT JOIN files f ON f.id = o.file
WHERE o.uid = ?
"""
_EXAMPLE = """
SELECT s.id, s.class IS NULL, s.digest, e.kind, e.uid, c.label, s.source
FROM samples s LEFT JOIN operations e ON e.id = s.operation LEFT JOIN classes c ON c.id = s.origin
WHERE s.uid = ?
"""
_THUMBNAIL = """
INSERT INTO thumbnails (sample, image) VALUES (?, ?)
ON CONFLICT (sample) DO UPDATE SET image = excluded.image WHERE excluded.image < image
"""
_RELABEL = """
SELECT c.label FROM relabels r JOIN classes c ON c.id = r.class
WHERE r.sample = ? AND r.operation = ?
"""
_DROP = """
DELETE FROM operations WHERE id > ?
    AND NOT EXISTS (SELECT 1 FROM samples WHERE operation = operations.id)
    AND NOT EXISTS (SELECT 1 FROM removals WHERE operation = operations.id)
    AND NOT EXISTS (SELECT 1 FROM relabels WHERE operation = operations.id)
    AND NOT EXISTS (SELECT 1 FROM thresholds WHERE operation = operations.id)
"""


class Union:
    """What has come into a store from others, inside the caller's transaction.

    Attributes:
        changed: Anything came that was not there.
        touched: Rows of the examples for which something changed.
        doomed: Rows of examples that were purged elsewhere; the caller wipes them.
    """

    def __init__(self, conn: sqlite3.Connection, shape: tuple[int, bool]) -> None:
        """Begin with a store as it is.

        Args:
            conn: A connection in a write transaction.
            shape: The store's dimension, and whether no number of it may be negative.
        """
        self.changed = False
        self.touched: dict[int, None] = {}
        self.doomed: dict[int, None] = {}
        self._conn = conn
        self._shape = shape
        self._name = ""
        (self._last,) = one_row(conn.execute("SELECT coalesce(max(id), 0) FROM operations"))

    def take(self, source: Source) -> None:
        """Add what a source holds. New examples do not count before they are settled.

        Raises:
            StoreFormatError: It is unsound, or contradicts what is there.
        """
        self._name = source.name
        for record in source.records():
            wrong = fault(record, *self._shape)
            if wrong is not None:
                raise unsound(source.name, wrong)
            if isinstance(record, Operation):
                self._take_operation(record)
            elif isinstance(record, Example):
                self._take_example(record)
            else:
                self._take_purged(record.uid)

    def drop_idle(self) -> None:
        """Let go of operations that came but are of no use: their examples are purged here."""
        self._conn.execute(_DROP, (self._last,))

    def _take_operation(self, record: Operation) -> None:
        found = self._conn.execute(_OPERATION, (record.uid,)).fetchone()
        if found is None:
            self._add_operation(record)
            return
        row, undone, device, counter, kind, time, tool, threshold, name, sha256 = found
        file = None if name is None else (name, sha256)
        here = Operation(
            record.uid, device, counter, kind, time, tool, file, undone == 1, threshold
        )
        joined = join(here, record)
        if joined is None:
            raise self._contradiction(record.uid)
        if joined != here:
            self._conn.execute(
                "UPDATE operations SET device = ?, file = ?, undone = ?, threshold = ?"
                " WHERE id = ?",
                (*self._rows_of(joined), joined.undone, joined.threshold, row),
            )
            for (sample,) in self._conn.execute(TOUCHED, {"o": row}):
                self._touch(sample)

    def _add_operation(self, record: Operation) -> None:
        conn = self._conn
        device, file = self._rows_of(record)
        # Without a number: it has no line in this store's log, and is not undone from here.
        conn.execute(
            "INSERT INTO operations"
            " (uid, device, counter, kind, detail, time, tool, file, undone, threshold)"
            " VALUES (?, ?, ?, ?, '', ?, ?, ?, ?, ?)",
            (
                *(record.uid, device, record.counter, record.kind),
                *(record.time, record.tool, file, record.undone, record.threshold),
            ),
        )
        conn.execute("UPDATE store SET counter = max(counter, ?)", (record.counter,))

    def _rows_of(self, record: Operation) -> tuple[int, int | None]:
        """The rows of an operation's device and file, made where there are none."""
        conn = self._conn
        conn.execute("INSERT OR IGNORE INTO devices (uid) VALUES (?)", (record.device,))
        query = "SELECT id FROM devices WHERE uid = ?"
        (device,) = one_row(conn.execute(query, (record.device,)))
        return device, None if record.file is None else row_of_file(conn, *record.file)

    def _take_example(self, record: Example) -> None:
        content = digest(record.embedding)
        found = self._conn.execute(_EXAMPLE, (record.uid,)).fetchone()
        if found is None:
            row = self._add_example(record, content)
        else:
            row, purged, here, *facts = found
            if purged:
                return
            if here != content:
                raise self._contradiction(record.uid)
            self._join_example(row, record, facts)
        image = record.thumbnail
        if image is not None and self._conn.execute(_THUMBNAIL, (row, image)).rowcount:
            self._touch(row)
        for operation in record.removals:
            pair = (row, self._row_of_operation(operation, "forget"))
            self._insert(row, "removals (sample, operation)", pair)
        for operation in record.thresholds:
            pair = (row, self._row_of_operation(operation, "threshold"))
            self._insert(row, "thresholds (sample, operation)", pair)
        for operation, label in record.relabels:
            pair = (row, self._row_of_operation(operation, "rename"))
            target = row_of_class(self._conn, label)
            self._insert(row, "relabels (sample, operation, class)", (*pair, target))
            (found,) = one_row(self._conn.execute(_RELABEL, pair))
            if loss(label) < loss(found):
                query = "UPDATE relabels SET class = ? WHERE sample = ? AND operation = ?"
                self._conn.execute(query, (target, *pair))
                self._touch(row)

    def _join_example(self, row: int, record: Example, facts: list[Any]) -> None:
        """Decide between what is known here and there of how an example came.

        Args:
            row: The example's.
            record: What is known there.
            facts: What is known here: kind and id of the operation, label, source.
        """
        if facts[1:] == [record.operation, record.label, record.source]:
            return
        operation, kind = self._find_operation(record.operation, "enroll")
        if rank(kind, record.operation, record.label, record.source) < rank(*facts):
            self._conn.execute(
                "UPDATE samples SET operation = ?, origin = ?, source = ? WHERE id = ?",
                (operation, row_of_class(self._conn, record.label), record.source, row),
            )
            self._touch(row)

    def _add_example(self, record: Example, content: bytes) -> int:
        target = row_of_class(self._conn, record.label)
        operation = self._row_of_operation(record.operation, "enroll")
        self._conn.execute(
            "INSERT INTO samples (uid, live, class, origin, operation, digest, source, embedding)"
            " VALUES (?, 0, ?, ?, ?, ?, ?, ?)",
            (record.uid, target, target, operation, content, record.source, record.embedding),
        )
        row = last_row(self._conn)
        self._touch(row)
        return row

    def _take_purged(self, uid: bytes) -> None:
        found = self._conn.execute(_EXAMPLE, (uid,)).fetchone()
        if found is None:
            # Its id is kept, so that no later merge brings it in.
            self._conn.execute("INSERT INTO samples (uid, live) VALUES (?, 0)", (uid,))
            self.changed = True
        elif not found[1]:
            self.doomed[found[0]] = None
            self._touch(found[0])

    def _insert(self, sample: int, into: str, values: tuple[object, ...]) -> None:
        """Add a row about an example, unless it is there."""
        marks = ", ".join("?" * len(values))
        done = self._conn.execute(f"INSERT OR IGNORE INTO {into} VALUES ({marks})", values)
        if done.rowcount:
            self._touch(sample)

    def _touch(self, sample: int) -> None:
        self.touched[sample] = None
        self.changed = True

    def _row_of_operation(self, uid: bytes, kind: str) -> int:
        return self._find_operation(uid, kind)[0]

    def _find_operation(self, uid: bytes, kind: str) -> tuple[int, str]:
        """Row and kind of an operation that is of this kind, or a repair."""
        query = "SELECT id, kind FROM operations WHERE uid = ? AND kind IN (?, 'repair')"
        found: tuple[int, str] | None = self._conn.execute(query, (uid, kind)).fetchone()
        if found is None:
            raise unsound(self._name, f"there is no operation {uid.hex()} to {kind}")
        return found

    def _contradiction(self, uid: bytes) -> StoreFormatError:
        return unsound(self._name, f"{uid.hex()} in it contradicts what is known of it already")
