"""Private copies of stores: gone with their process, and what killed ones left is swept up."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from edgeinc.cache import claim, is_abandoned, is_part

__all__ = ["PrivateFolder", "sweep"]

_PREFIX = "edgeinc-store-"
_LOCK = "lock"


class PrivateFolder:
    """A folder that this user alone may look into, for copies of a store.

    A file in it is locked for as long as it is in use, so that `sweep` can tell.

    Attributes:
        path: The folder.
    """

    def __init__(self, parent: Path | None = None) -> None:
        """Make it, hidden in `parent` or else among the system's temporary files.

        Raises:
            OSError: It cannot be made.
        """
        prefix = _PREFIX if parent is None else f".{_PREFIX}"
        self._folder = tempfile.TemporaryDirectory(prefix=prefix, dir=parent)
        self.path = Path(self._folder.name)
        try:
            self._lock = (self.path / _LOCK).open("xb")
        except BaseException:
            self._folder.cleanup()
            raise
        claim(self._lock)

    def cleanup(self) -> None:
        """Delete it and all that is in it; doing so again does nothing."""
        self._lock.close()
        self._folder.cleanup()

    def __enter__(self) -> PrivateFolder:
        """The folder itself, deleted at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Delete it."""
        self.cleanup()


def sweep(store: Path) -> int:
    """Delete what killed processes left of their copies of stores, of this user's.

    Looked at are the system's temporary files and the folder of a store: private folders, and
    files that were being exported. What is in use, or not a minute old, stays.

    Args:
        store: The store.

    Returns:
        How many files and folders are gone.
    """
    gone = 0
    folder = store.absolute().parent
    private = [
        *Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"),
        *folder.glob(f".{_PREFIX}*"),
    ]
    for place in private:
        with suppress(OSError):
            if not place.is_symlink() and is_abandoned(place / _LOCK):
                shutil.rmtree(place)
                gone += 1
    for part in folder.glob("*.part"):
        with suppress(OSError):
            if is_part(part) and is_abandoned(part):
                part.unlink()
                gone += 1
    return gone
