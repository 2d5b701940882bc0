"""Rows found in the pages of a database file itself, without its schema or the way to them.

The layout is that of SQLite's "Database File Format", sections 1.6 (b-tree pages) and 2.1
(records). It has not changed since 2004, and SQLite promises to keep it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from mmap import mmap
from typing import TypeAlias

__all__ = ["PAGE", "Value", "table_rows"]

PAGE = 4096
"""Bytes of a page, in every store that edgeinc made."""

LONGEST = 1 << 20
"""Bytes of a row at most; it bounds what is read for a damaged one."""

LEAF = 13
"""The first byte of a page that holds rows of a table."""

Value: TypeAlias = "int | float | str | bytes | None"

_CONSTANTS: dict[int, Value] = {0: None, 8: 0, 9: 1}
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


def table_rows(content: bytes | mmap) -> Iterator[tuple[int, list[Value]]]:
    """Number and values of every row in a leaf page of any table, page by page.

    What cannot be read is passed over; what is read may be damaged, or of any table.

    Args:
        content: The whole file.
    """
    for start in range(PAGE, len(content) - PAGE + 1, PAGE):
        if content[start] != LEAF:
            continue
        (cells,) = struct.unpack_from(">H", content, start + 3)
        # A page has no room for more than a cell every six bytes.
        for cell in range(min(cells, PAGE // 6)):
            (at,) = struct.unpack_from(">H", content, start + 8 + 2 * cell)
            try:
                yield _row(content, start, at)
            except (IndexError, ValueError, struct.error):
                continue


def _row(content: bytes | mmap, start: int, at: int) -> tuple[int, list[Value]]:
    """The row in one cell of the page that begins at `start`."""
    size, at = _varint(content, start + at)
    if size > LONGEST:
        raise ValueError("no row of a store is so long")
    row, at = _varint(content, at)
    if size <= PAGE - 35:
        return row, _values(content[at : at + size], size)
    # What does not fit follows in pages of its own, each with the number of the next.
    least = (PAGE - 12) * 32 // 255 - 23
    here = least + (size - least) % (PAGE - 4)
    here = here if here <= PAGE - 35 else least
    parts, length = [content[at : at + here]], here
    (page,) = struct.unpack_from(">I", content, at + here)
    while length < size and page:
        place = (page - 1) * PAGE
        (page,) = struct.unpack_from(">I", content, place)
        parts.append(content[place + 4 : place + PAGE])
        length += len(parts[-1]) or size
    return row, _values(b"".join(parts)[:size], size)


def _values(record: bytes, size: int) -> list[Value]:
    """The values of a record.

    Raises:
        ValueError: It is cut short, or is none.
    """
    if len(record) != size:
        raise ValueError("cut short")
    end, at = _varint(record, 0)
    body = end
    found: list[Value] = []
    while at < end:
        kind, at = _varint(record, at)
        value, body = _value(record, kind, body)
        found.append(value)
    if body > size:
        raise ValueError("cut short")
    return found


def _value(record: bytes, kind: int, at: int) -> tuple[Value, int]:
    """A value of this serial type, and where the next begins."""
    if kind in _INTEGERS:
        end = at + _INTEGERS[kind]
        return int.from_bytes(record[at:end], "big", signed=True), end
    if kind == 7:
        return struct.unpack_from(">d", record, at)[0], at + 8
    if kind >= 12:
        end = at + (kind - 12) // 2
        part = record[at:end]
        return (part.decode("utf-8", "replace") if kind % 2 else part), end
    if kind not in _CONSTANTS:
        raise ValueError("no serial type")
    return _CONSTANTS[kind], at


def _varint(content: bytes | mmap, at: int) -> tuple[int, int]:
    """A number of one to nine bytes, and where the next begins."""
    value = 0
    for i in range(8):
        byte = content[at + i]
        value = value << 7 | byte & 127
        if byte < 128:
            return value, at + i + 1
    return value << 8 | content[at + 8], at + 9
