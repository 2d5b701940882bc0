"""SQLite's errors as edgeinc's; nothing else in edgeinc handles them."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgeinc.errors import (
    StoreBusyError,
    StoreError,
    StoreFormatError,
    StoreReadOnlyError,
    StoreWriteError,
)

__all__ = ["Opened", "inode", "is_busy", "is_no_database"]

_BUSY = "locked"
_NO_DATABASE = "not a database"
_QUOTING = "malformed database schema"
_LONGEST = 160


def inode(path: Path) -> tuple[int, int] | None:
    """What tells a file from another that has taken its name; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def is_busy(exc: sqlite3.Error) -> bool:
    """True when another connection holds a lock that SQLite needs."""
    return _BUSY in str(exc)


def is_no_database(exc: BaseException | None) -> bool:
    """True for SQLite's error about a file that does not begin as a database does."""
    return isinstance(exc, sqlite3.Error) and _NO_DATABASE in str(exc)


@dataclass(slots=True)
class Opened:
    """What an error message about an open file needs to know.

    Attributes:
        path: The file.
        timeout: How long another process's lock is waited for, seconds.
        inode: The file's when it was opened.
    """

    path: Path
    timeout: float
    inode: tuple[int, int] | None

    @contextlib.contextmanager
    def translated(self, *, undone: bool = False) -> Iterator[None]:
        """Raise errors of SQLite in the block as ours.

        Args:
            undone: An error that leaves the block leaves nothing written behind: say so.

        Raises:
            StoreError: The one that fits.
        """
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as exc:
            # A message that quotes a damaged schema may not even be text, nor one line of it.
            raise self._error(_plain(str(exc)), undone) from exc

    def busy(self, waited: float) -> StoreBusyError:
        """The error for a lock that was waited for in vain, so many seconds."""
        # Imported where it is needed: most processes never wait.
        from edgeinc.store.disk.holder import name_holders

        return StoreBusyError(
            f"{self.path} has been held for more than {waited:g} s by {name_holders(self.path)}. "
            "Try again when that is done."
        )

    def unconfirmed(self, *, made: bool) -> StoreWriteError:
        """The error for a change of which the disk could not be made sure.

        Args:
            made: It is there, as far as can be seen; else not even that is known.
        """
        how = "is there now, but may be gone after a power cut" if made else "may be there, or not"
        return StoreWriteError(
            f"The disk refused to confirm a change of {self.path}: it {how}. Check the disk's "
            "health, then `edgeinc log`."
        )

    def only_read(self) -> StoreReadOnlyError:
        """The error for a file that may not be written."""
        return StoreReadOnlyError(
            f"{self.path} can only be read. Make the file and its folder writable, or work on a "
            "copy."
        )

    def refuse_moved(self) -> None:
        """Refuse a file that was deleted, or whose name another has taken.

        Raises:
            StoreWriteError: It was.
        """
        if inode(self.path) != self.inode:
            raise self._moved()

    def _moved(self) -> StoreWriteError:
        return StoreWriteError(
            f"{self.path} was deleted or replaced while it was open; open the store again. "
            "`Engine.export` still saves what was open."
        )

    def _error(self, words: str, undone: bool) -> StoreError:
        """Ours for SQLite's, told apart by SQLite's own fixed words.

        Its error codes would be better, but Python passes them on from 3.11 only.
        """
        if words.startswith(_QUOTING):
            return self._damaged(words)
        if _BUSY in words:
            return self.busy(self.timeout)
        if "readonly" in words:
            if inode(self.path) != self.inode:
                return self._moved()
            return self.only_read()
        if "full" in words or "I/O" in words or "unable to open" in words:
            check = "Nothing was written; check" if undone else "Check"
            return StoreWriteError(
                f"The disk refused to serve {self.path} ({words}). {check} free space, the "
                "folder's permissions and the disk's health."
            )
        return self._damaged(words)

    def _damaged(self, words: str) -> StoreFormatError:
        return StoreFormatError(
            f"{self.path} is no store, or a damaged one ({words}). Restore it from a copy, "
            "or see `edgeinc doctor`."
        )


def _plain(words: str) -> str:
    """On one line, without what a terminal would obey, and not too long."""
    line = "".join(c if c.isprintable() else " " for c in words)
    return " ".join(line.split())[:_LONGEST]
