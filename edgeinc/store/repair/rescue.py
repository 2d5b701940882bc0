"""From what can be read of a damaged store to the rows of a new one."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from edgeinc.errors import LabelError
from edgeinc.store.content import is_sound_embedding
from edgeinc.store.disk.trust import one_row
from edgeinc.store.journal import record
from edgeinc.store.labels import clean_label
from edgeinc.store.overrides import is_threshold
from edgeinc.store.repair.wreck import Wreck
from edgeinc.store.state import DERIVE, settle
from edgeinc.types import NEGATIVE, counted

__all__ = ["Rescue"]

UID = 16
"""Bytes of an id."""

BATCH = 1024
"""Examples that are settled at a time."""


_LABELS = "SELECT id, label FROM classes INDEXED BY sqlite_autoindex_classes_1"


class Rescue:
    """Copies a wreck into a new store, inside the caller's transaction.

    Rows keep their numbers. What a row refers to and is lost is made up for: a class by a
    label that says so, an operation by the one that this rescue is.

    Attributes:
        examples: Examples that were saved, forgotten ones too.
        operations: Operations that were saved.
        lost: Examples that are known to be lost, by label.
    """

    def __init__(self, wreck: Wreck, conn: sqlite3.Connection, dim: int) -> None:
        self.examples = 0
        self.operations = 0
        self.lost: Counter[str] = Counter()
        self._wreck = wreck
        self._conn = conn
        self._dim = dim
        self._labels: dict[object, object] = dict(
            # The index by label holds them a second time.
            chain(wreck.all(_LABELS), wreck.rows("classes", "label"))
        )
        self._classes: set[object] = set()
        self._operations: set[object] = set()
        self._repair = 0

    def run(self, now: float) -> None:
        """Copy everything that is sound; `now` is Unix time, for the log.

        Raises:
            StoreError: As for every write.
        """
        self._copy_operations(now)
        seen: set[int] = set()
        batch: dict[int, tuple[object, object]] = {}
        columns = "uid, live, class, origin, operation, digest, source, embedding"
        found = chain(self._wreck.rows("samples", columns), self._strays())
        for row, uid, live, group, *rest in found:
            if row in seen:
                continue
            seen.add(row)
            if group is None and rest[-1] is None:
                # Purged: its id keeps a merge from bringing it back.
                self._insert("samples", "id, uid, live", (row, uid, 0))
            elif self._copy_example(row, uid, group, *rest):
                batch[row] = (group, live)
            else:
                self.lost[self._name(group)] += 1
            if len(batch) == BATCH:
                self._settle(batch)
                batch = {}
        self._settle(batch)
        # An index may still list what the table has lost.
        listed = "SELECT id, class FROM samples INDEXED BY samples_content WHERE class IS NOT NULL"
        self.lost.update(self._name(c) for row, c in self._wreck.all(listed) if row not in seen)
        saved = counted(self.examples, "examples")
        detail = f"saved {saved} of a damaged store, lost {self.lost.total()}"
        self._conn.execute("UPDATE operations SET detail = ? WHERE id = ?", (detail, self._repair))

    def _strays(self) -> Iterator[tuple[Any, ...]]:
        """Rows that look like examples, among them those that no table leads to any more."""
        for row in self._wreck.strays(columns=9):
            uid, *_, blob = row[1:]
            if isinstance(uid, bytes) and len(uid) == UID and isinstance(blob, bytes):
                yield row

    def _copy_operations(self, now: float) -> None:
        """Devices, weight files, operations, and the store's own counters."""
        devices = {1}
        for row, uid in self._wreck.rows("devices", "uid"):
            if row == 1 and isinstance(uid, bytes) and len(uid) == UID:
                # The new store's own, which is to take the old one's place.
                self._conn.execute("UPDATE devices SET uid = ? WHERE id = 1", (uid,))
            elif self._insert("devices", "id, uid", (row, uid)):
                devices.add(row)
        files = {
            row[0]
            for row in self._wreck.rows("files", "name, sha256")
            if self._insert("files", "id, name, sha256", row)
        }
        found = self._wreck.first("SELECT counter, lines FROM store")
        counter, lines = found if found and all(map(_is_count, found)) else (0, 0)
        columns = "uid, device, counter, number, kind, detail, time, tool, undone"
        for row, file, *values in self._wreck.rows("operations", f"file, {columns}"):
            values[1] = values[1] if values[1] in devices else 1
            values[3] = values[3] if _is_count(values[3]) else None
            file = file if file in files else None
            if _is_count(values[2]) and self._insert(
                "operations", f"id, file, {columns}", (row, file, *values)
            ):
                self._operations.add(row)
                self._copy_threshold(row, values[4])
                counter, lines = max(counter, values[2]), max(lines, values[3] or 0)
        self.operations = len(self._operations)
        self._conn.execute("UPDATE store SET counter = ?, lines = ?", (counter, lines))
        self._repair, _ = record(self._conn, "repair", "", now)

    def _copy_threshold(self, row: object, kind: object) -> None:
        """The threshold that an operation set; stores of earlier formats have none."""
        found = self._wreck.first("SELECT threshold FROM operations WHERE id = ?", row)
        if kind == "threshold" and found and is_threshold(found[0]):
            self._conn.execute("UPDATE operations SET threshold = ? WHERE id = ?", (*found, row))

    def _copy_example(
        self,
        row: int,
        uid: object,
        group: object,
        origin: object,
        operation: object,
        check: object,
        source: object,
        blob: object,
    ) -> bool:
        """An example that matches its digest, with what was done to it; False for any other."""
        if not is_sound_embedding(blob, check, self._dim):
            return False
        if not isinstance(uid, bytes) or len(uid) != UID:
            uid = os.urandom(UID)
        source = source if isinstance(source, str) else None
        first = self._class(group if origin is None else origin)
        values = (row, uid, 0, first, first, self._known(operation), check, source, blob)
        columns = "id, uid, live, class, origin, operation, digest, source, embedding"
        if not self._insert("samples", columns, values):
            return False
        self.examples += 1
        for (by,) in self._wreck.all("SELECT operation FROM removals WHERE sample = ?", row):
            self._insert("removals", "sample, operation", (row, self._known(by)))
        relabels = "SELECT operation, class FROM relabels WHERE sample = ?"
        for by, new in self._wreck.all(relabels, row):
            if by in self._operations:
                moved = (row, by, self._class(new))
                self._insert("relabels", "sample, operation, class", moved)
        for (by,) in self._wreck.all("SELECT operation FROM thresholds WHERE sample = ?", row):
            if by in self._operations:
                self._insert("thresholds", "sample, operation", (row, by))
        image = self._wreck.first("SELECT image FROM thumbnails WHERE sample = ?", row)
        if image is not None:
            self._insert("thumbnails", "sample, image", (row, *image))
        return True

    def _settle(self, batch: Mapping[int, tuple[object, object]]) -> None:
        """Make examples count as their operations say, and no less out than they were.

        Where operations are lost, what the damaged store had worked out from them stays.
        """
        for row, (group, live) in batch.items():
            derived = one_row(self._conn.execute(DERIVE, (row,)))
            if derived[4] and live == 0:
                self._insert("removals", "sample, operation", (row, self._repair))
            if group is not None and group != derived[3]:
                moved = (row, self._repair, self._class(group))
                self._insert("relabels", "sample, operation, class", moved)
        settle(self._conn, batch, self._dim)

    def _known(self, operation: object) -> object:
        """An operation that was saved: this one, or else the rescue itself."""
        return operation if operation in self._operations else self._repair

    def _class(self, row: object) -> object:
        """The row of a class, which is made where it was not yet."""
        if row not in self._classes:
            for label in (self._name(row), _lost(row)):
                if self._insert("classes", "id, label", (row, label)):
                    self._classes.add(row)
                    break
        return row

    def _name(self, row: object) -> str:
        """The label of a class, or words for one that is lost."""
        label = self._labels.get(row)
        if label == NEGATIVE:
            return NEGATIVE
        try:
            return clean_label(label) if isinstance(label, str) else _lost(row)
        except LabelError:
            return _lost(row)

    def _insert(self, table: str, columns: str, values: Sequence[object]) -> bool:
        """Put a row in; False where the table does not take it."""
        marks = ", ".join("?" * len(values))
        try:
            self._conn.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", values)
        except (sqlite3.IntegrityError, OverflowError):
            return False
        return True


def _is_count(value: object) -> bool:
    """True for a number that can have come about by counting."""
    return isinstance(value, int) and 0 <= value < 1 << 53


def _lost(group: object) -> str:
    """A label for a class whose own is lost."""
    return f"class {group} (name lost)"
