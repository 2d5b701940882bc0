"""The user's folders, and files in them that are whole or not there at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
import time
from pathlib import Path
from typing import BinaryIO

__all__ = [
    "cache_dir",
    "claim",
    "digest",
    "is_abandoned",
    "is_file",
    "is_full",
    "is_here",
    "is_part",
    "keep",
    "part_of",
    "recall",
    "reserve",
    "settle",
    "sync_file",
    "sync_folder",
    "user_models_dir",
]

_PART = re.compile(r"\.edgeinc-[0-9a-f]{8}\.part$")
_YOUNG = 60.0
"""Seconds for which a file is never taken for an abandoned one: it may not be claimed yet."""

_UNABLE = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""What a file system says that cannot take room beforehand."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
"""What systems say of a disk, or of a person's share of it, that is full."""


def cache_dir() -> Path:
    """The folder for what can be fetched or made again; it need not exist yet."""
    if own := os.environ.get("EDGEINC_CACHE"):
        return Path(own)
    return _user_folder("XDG_CACHE_HOME", ".cache")


def user_models_dir() -> Path:
    """The folder of the cards that the user added; it need not exist yet."""
    if own := os.environ.get("EDGEINC_CACHE"):
        return Path(own) / "models"
    return _user_folder("XDG_DATA_HOME", ".local/share") / "models"


def _user_folder(variable: str, default: str) -> Path:
    """A folder of the user's by the XDG base directory specification.

    Two lines rather than the package platformdirs, which takes 9 ms of every start.
    """
    given = os.environ.get(variable, "")
    # The specification passes over a path that is not absolute.
    base = Path(given) if Path(given).is_absolute() else Path.home() / default
    return base / "edgeinc"


def is_here(path: Path) -> bool:
    """True when there is a file or folder; what lies in a locked folder is not here.

    `Path.exists` raises there, in most releases of Python.
    """
    try:
        return path.exists()
    except OSError:
        return False


def is_file(path: Path) -> bool:
    """As `is_here`, and it is a file."""
    return is_here(path) and path.is_file()


def part_of(path: Path) -> Path:
    """A name beside `path` under which to write what is to appear there whole, or not at all."""
    return path.with_name(f"{path.name}.edgeinc-{os.urandom(4).hex()}.part")


def is_part(path: Path) -> bool:
    """True for a name that `part_of` gave."""
    return _PART.search(path.name) is not None


def settle(part: Path, target: Path, *, replace: bool = True) -> None:
    """Give a file that was written its place, in one step, on the disk when it returns.

    Args:
        part: The file, closed, in the folder of the other or on the same disk.
        target: Its name from now on.
        replace: Take the place of a file that is there.

    Raises:
        FileExistsError: Something is there, and is not to be replaced.
        OSError: The disk refused.
    """
    sync_file(part)
    if replace:
        part.replace(target)
    else:
        _move_new(part, target)
    sync_folder(target.parent)


def _move_new(part: Path, target: Path) -> None:
    """Move a file to a name that must be free, also where another takes it just now."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise
    except OSError:
        # Many memory cards know no links: an empty file then holds the name for a moment.
        target.open("xb").close()
        part.replace(target)
    else:
        part.unlink()


def sync_file(path: Path) -> None:
    """Have a file's content on the disk."""
    # For writing: Windows flushes nothing else.
    with path.open("r+b") as stream:
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Have a folder's entries on the disk, where the system lets folders be flushed."""
    if os.name == "posix":
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def claim(stream: BinaryIO) -> None:
    """Lock an open file until it is closed, or its process has ended: it is not abandoned.

    On Windows, and on disks without such locks, nothing is locked and nothing is ever abandoned.
    """
    with contextlib.suppress(ImportError, OSError):
        _lock(stream)


def is_abandoned(path: Path) -> bool:
    """True for a file of this user's, a minute old, that no process has claimed any more."""
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            return False
        if abs(time.time() - status.st_mtime) < _YOUNG:
            return False
        with path.open("rb") as stream:
            _lock(stream)
    except (ImportError, AttributeError, OSError):
        return False
    return True


def _lock(stream: BinaryIO) -> None:
    import fcntl

    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_full(exc: OSError) -> bool:
    """True for what is said where no room is left on a disk, or in a person's share of it."""
    return exc.errno in _FULL


def reserve(stream: BinaryIO, room: int) -> None:
    """Take the room on the disk that a file may need: it has that size afterwards.

    Args:
        stream: Open for writing; what it holds stays, and zeros follow.
        room: Bytes from the file's beginning. A file that is as long already stays as it is.

    Raises:
        OSError: There is no room; the file may have grown.
    """
    stream.flush()
    # macOS and Windows have no such call, and not every file system knows it.
    if hasattr(os, "posix_fallocate") and room > 0:
        try:
            os.posix_fallocate(stream.fileno(), 0, room)
        except OSError as exc:
            if exc.errno not in _UNABLE:
                raise
        else:
            return
    at = stream.tell()
    left = room - stream.seek(0, os.SEEK_END)
    while left > 0:
        left -= stream.write(bytes(min(left, 1 << 20)))
    stream.flush()
    stream.seek(at)


def digest(content: bytes) -> str:
    """Sha256 in hex."""
    return hashlib.sha256(content).hexdigest()


def recall(path: Path) -> bytes | None:
    """What `keep` put into the cache; None where it is missing, damaged or out of reach."""
    try:
        blob = path.read_bytes()
    except OSError:
        return None
    content = blob[64:]
    return content if blob[:64] == digest(content).encode() else None


def keep(path: Path, content: bytes) -> None:
    """Puts a file into the cache, whole or not at all; a cache may fail without harm.

    The file is its own sha256 in hex, and then the content.
    """
    part = part_of(path)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(digest(content).encode() + content)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
