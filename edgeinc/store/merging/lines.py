"""Records as lines of JSON, and back; one record has one form."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

from edgeinc.store.merging.shared import Example, Operation, Purged, Record

__all__ = ["from_line", "read_record", "to_line", "write_record"]

MOST_DIGITS = 20

_ABSENT: dict[str, Any] = {"threshold": None, "thresholds": ()}
"""What the lines of version 1 had not, as it is read."""


def to_line(fields: Mapping[str, object]) -> bytes:
    r"""One line of ASCII.

    >>> to_line({"label": "é", "n": 1})
    b'{"label":"\\u00e9","n":1}\n'
    """
    return json.dumps(fields, separators=(",", ":")).encode("ascii") + b"\n"


def from_line(line: bytes) -> dict[str, Any]:
    """What `to_line` was given.

    Raises:
        ValueError: It did not make this line.
    """
    try:
        fields = json.loads(line, parse_int=_whole, parse_constant=_refuse)
    except RecursionError as exc:
        raise ValueError("lists within lists") from exc
    if not isinstance(fields, dict) or to_line(fields) != line:
        raise ValueError("a line that is not written as it should be")
    return fields


def write_record(record: Record, version: int = 2) -> bytes:
    """A record as a line of an archive of this version."""
    fields = _fields(record)
    if version == 1:
        fields = {name: value for name, value in fields.items() if name not in _ABSENT}
    return to_line(fields)


def read_record(kind: type[Record], line: bytes, version: int = 2) -> Record:
    """The record of a line. Its fields may still be of any type: see `shared.fault`.

    Raises:
        ValueError: It is no record of this kind.
    """
    fields = from_line(line)
    try:
        record = _READERS[kind]((_ABSENT if version == 1 else {}) | fields)
        # Nothing more than a record's fields, and those in order.
        same = write_record(record, version) == line
    except (KeyError, TypeError, AttributeError) as exc:
        raise ValueError("a field is missing, or of another type") from exc
    if not same:
        raise ValueError("a field too many, or one that is not written as it should be")
    return record


def _fields(record: Record) -> dict[str, object]:
    if isinstance(record, Operation):
        return {
            "operation": record.uid.hex(),
            "device": record.device.hex(),
            "counter": record.counter,
            "kind": record.kind,
            "time": record.time,
            "tool": record.tool,
            "file": record.file,
            "undone": record.undone,
            "threshold": record.threshold,
        }
    if isinstance(record, Example):
        return {
            "example": record.uid.hex(),
            "operation": record.operation.hex(),
            "label": record.label,
            "embedding": _text(record.embedding),
            "source": record.source,
            "thumbnail": None if record.thumbnail is None else _text(record.thumbnail),
            "removals": [operation.hex() for operation in record.removals],
            "relabels": [[operation.hex(), label] for operation, label in record.relabels],
            "thresholds": [operation.hex() for operation in record.thresholds],
        }
    return {"purged": record.uid.hex()}


def _operation(fields: dict[str, Any]) -> Operation:
    file = fields["file"]
    if file is not None:
        name, sha256 = file
        file = (name, sha256)
    return Operation(
        bytes.fromhex(fields["operation"]),
        bytes.fromhex(fields["device"]),
        fields["counter"],
        fields["kind"],
        fields["time"],
        fields["tool"],
        file,
        fields["undone"],
        fields["threshold"],
    )


def _example(fields: dict[str, Any]) -> Example:
    thumbnail = fields["thumbnail"]
    return Example(
        bytes.fromhex(fields["example"]),
        bytes.fromhex(fields["operation"]),
        fields["label"],
        base64.b64decode(fields["embedding"], validate=True),
        fields["source"],
        None if thumbnail is None else base64.b64decode(thumbnail, validate=True),
        tuple(bytes.fromhex(operation) for operation in fields["removals"]),
        tuple((bytes.fromhex(operation), label) for operation, label in fields["relabels"]),
        tuple(bytes.fromhex(operation) for operation in fields["thresholds"]),
    )


def _purged(fields: dict[str, Any]) -> Purged:
    return Purged(bytes.fromhex(fields["purged"]))


_READERS: dict[type[Record], Callable[[dict[str, Any]], Record]] = {
    Operation: _operation,
    Example: _example,
    Purged: _purged,
}


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _whole(digits: str) -> int:
    # Python takes seconds over a million digits.
    if len(digits) > MOST_DIGITS:
        raise ValueError("a number too long")
    return int(digits)


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is no number")
