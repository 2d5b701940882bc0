"""The user's folders, and files in them that are whole or not there at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

__all__ = [
    "cache_dir",
    "digest",
    "is_file",
    "is_here",
    "keep",
    "part_of",
    "recall",
    "user_models_dir",
]


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
    return path.with_name(f"{path.name}.{os.urandom(4).hex()}.part")


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
