"""What stores share when they are merged, record by record, and what each record may be.

A merge reads these from another store or from an archive and trusts neither.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np

from edgeinc.errors import StoreFormatError
from edgeinc.store.content import is_negative
from edgeinc.store.journal import MOST_COUNTER
from edgeinc.store.labels import is_stored
from edgeinc.store.overrides import is_threshold
from edgeinc.store.records import Identity

__all__ = [
    "MOST_TEXT",
    "Counts",
    "Example",
    "Operation",
    "Purged",
    "Record",
    "Source",
    "fault",
    "is_text",
    "unsound",
]

MOST_TEXT = 1000
MOST_SOURCE = 100_000
MOST_THUMBNAIL = 1 << 18
"""Bounds: characters of a name, characters of a source, bytes of a thumbnail."""

KINDS = ("enroll", "forget", "rename", "threshold", "repair")
"""Operations that examples refer to; a repair stands in for what was lost of the others. Undos
show in what they took back, purges in the ids that they left, and words for people stay in the log
of their own store."""


class Operation(NamedTuple):
    """An operation that an example refers to.

    Attributes:
        uid: Its random id, 16 bytes.
        device: Random id of the device that did it, 16 bytes.
        counter: That device's logical counter.
        kind: `enroll`, `forget`, `rename`, `threshold` or `repair`.
        time: Unix time, seconds; for people.
        tool: Version of edgeinc.
        file: Name and sha256 of the weight file that made the examples.
        undone: Taken back.
        threshold: The one that it set; None where it is to be worked out.
    """

    uid: bytes
    device: bytes
    counter: int
    kind: str
    time: float
    tool: str
    file: tuple[str, str] | None
    undone: bool
    threshold: float | None = None


class Example(NamedTuple):
    """An example that was not purged, live or not.

    Attributes:
        uid: Its random id, 16 bytes.
        operation: The enrolment that it came by.
        label: The class that it was enrolled in, "" for a negative.
        embedding: Its integers in stored form; see `content.pack`.
        source: Where it came from, for people.
        thumbnail: An encoded picture of it.
        removals: The operations that took it out.
        relabels: The operations that gave it another class, each with the class.
        thresholds: The operations that set the threshold of its class.
    """

    uid: bytes
    operation: bytes
    label: str
    embedding: bytes
    source: str | None
    thumbnail: bytes | None
    removals: tuple[bytes, ...]
    relabels: tuple[tuple[bytes, str], ...]
    thresholds: tuple[bytes, ...] = ()


class Purged(NamedTuple):
    """What stays of a purged example: its random id, 16 bytes."""

    uid: bytes


Record: TypeAlias = "Operation | Example | Purged"


class Counts(NamedTuple):
    """How many records there are of each kind."""

    operations: int
    examples: int
    purged: int


class Source(Protocol):
    """Another store, or an archive of one."""

    @property
    def name(self) -> str:
        """The file, for messages."""

    @property
    def identity(self) -> Identity:
        """The backbone of its examples."""

    def records(self) -> Iterator[Record]:
        """Operations, then examples, then purged ones; each kind by id, ascending."""


def unsound(name: str, how: str) -> StoreFormatError:
    """The error for a file that cannot be merged."""
    return StoreFormatError(
        f"{name} cannot be merged: {how}. Nothing was changed; export it again."
    )


def fault(record: Record, dim: int, nonnegative: bool = False) -> str | None:
    """What is wrong with a record, whatever types its fields came with; None for a sound one.

    With `nonnegative`, an embedding with a negative number is wrong too.
    """
    if not _is_id(record.uid):
        return "an id is not 16 bytes"
    if isinstance(record, Operation):
        wrong = _first_wrong(
            device=_is_id(record.device),
            counter=type(record.counter) is int and 0 < record.counter <= MOST_COUNTER,
            kind=record.kind in KINDS,
            time=isinstance(record.time, float) and math.isfinite(record.time),
            tool=is_text(record.tool, MOST_TEXT),
            file=all(is_text(text, MOST_TEXT) for text in record.file or ()),
            undone=isinstance(record.undone, bool),
            threshold=record.threshold is None
            or (record.kind == "threshold" and is_threshold(record.threshold)),
        )
        return None if wrong is None else f"operation {record.uid.hex()} has no possible {wrong}"
    if isinstance(record, Example):
        wrong = _first_wrong(
            operation=_is_id(record.operation),
            label=_is_label(record.label),
            embedding=_is_embedding(record.embedding, dim),
            source=record.source is None or is_text(record.source, MOST_SOURCE),
            thumbnail=record.thumbnail is None or _is_jpeg(record.thumbnail),
            removals=all(_is_id(operation) for operation in record.removals),
            relabels=all(_is_id(uid) and _is_label(label) for uid, label in record.relabels),
            thresholds=all(_is_id(operation) for operation in record.thresholds),
        )
        if wrong is not None:
            return f"example {record.uid.hex()} has no possible {wrong}"
        if nonnegative and is_negative(record.embedding, dim):
            id = record.uid.hex()
            return f"example {id} has negative numbers, which its backbone never gives"
    return None


def _first_wrong(**fields: bool) -> str | None:
    return next((field for field, sound in fields.items() if not sound), None)


def _is_id(value: object) -> bool:
    return isinstance(value, bytes) and len(value) == 16


def _is_jpeg(value: object) -> bool:
    """True for what begins and ends as a JPEG does, and is none too large for a thumbnail."""
    if not isinstance(value, bytes) or len(value) > MOST_THUMBNAIL:
        return False
    return value.startswith(b"\xff\xd8\xff") and value.endswith(b"\xff\xd9")


def is_text(value: object, most: int) -> bool:
    """True for text of at most so many characters that a store can keep."""
    if not isinstance(value, str) or len(value) > most:
        return False
    try:
        # A lone surrogate is no text, and SQLite refuses it.
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_label(value: object) -> bool:
    return isinstance(value, str) and _is_stored(value)


_is_stored = lru_cache(maxsize=1024)(is_stored)


def _is_embedding(value: object, dim: int) -> bool:
    """True for integers in their one stored form: wide only where one byte is too little."""
    if not isinstance(value, bytes) or len(value) not in (dim, 2 * dim):
        return False
    if len(value) == dim:
        return True
    wide = np.frombuffer(value, "<i2")
    return bool(wide.min() < 0 or wide.max() > 255)
