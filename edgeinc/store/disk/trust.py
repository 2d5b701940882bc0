"""Values from a file that may be damaged, taken only for what they should be.

Up to a size every opening checks the whole file; in a larger one, and in an index, damage may
show only where it is read.
"""

from __future__ import annotations

import sqlite3
from typing import Any, TypeVar

from edgeinc.errors import StoreFormatError

__all__ = ["damaged", "expect", "one_row"]

_T = TypeVar("_T")


def damaged(how: str = "its parts contradict each other") -> StoreFormatError:
    """The error for what cannot be in a sound store."""
    return StoreFormatError(
        f"The store is damaged: {how}. Restore it from a copy, or see `edgeinc doctor`."
    )


def expect(kind: type[_T], value: object) -> _T:
    """The value, if it is of this type.

    Raises:
        StoreFormatError: It is not.

    >>> expect(str, "nut")
    'nut'
    """
    if not isinstance(value, kind):
        raise damaged()
    return value


def one_row(cursor: sqlite3.Cursor) -> Any:
    """The first row of an answer that must have one.

    Raises:
        StoreFormatError: There is none.
    """
    row = cursor.fetchone()
    if row is None:
        raise damaged()
    return row
