"""A disk that may lose power: what it can hold after each system call.

The rules, harsher than most file systems and never kinder than POSIX:

- What was written to a file before its last `fsync` or `fdatasync` is there. Of what was written
  since, any part may be: each sector of 512 bytes holds what it held at any one moment since
  that sync, whatever the others hold. A sector itself is never torn (SQLite counts on that, as
  `SQLITE_IOCAP_POWERSAFE_OVERWRITE`).
- The size of a file is that of any one moment since its last sync, whatever its sectors hold.
  Where a file grew and its new sectors were not written, they hold zeros or random bytes.
- A name that was made, removed or moved is so after the folder was synced; until then, each may
  be or not be, in the order of the calls that name the same. Syncing a file does not sync its
  name. Moving is atomic.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tests.power.trace import Call

__all__ = ["SECTOR", "STYLES", "Disk"]

SECTOR = 512
PAGE = 4096

STYLES = ("nothing", "everything", "random", "random", "random")
"""What is tried at each cut: nothing that was not synced is there, all of it is, any of it."""


@dataclass
class _File:
    """A file's content as processes see it, and its past since it was synced."""

    live: bytearray = field(default_factory=bytearray)
    synced: bytes = b""
    moment: int = 0
    # Moment, whether it was a truncation, and what the sector held from then on.
    sectors: dict[int, list[tuple[int, bool, bytes]]] = field(default_factory=dict)
    sizes: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)])

    def write(self, offset: int, content: bytes) -> None:
        end = offset + len(content)
        before = len(self.live)
        self.moment += 1
        if end > before:
            self.live.extend(bytes(end - before))
            self.sizes.append((self.moment, end))
        self.live[offset:end] = content
        for sector in range(offset // SECTOR, (end - 1) // SECTOR + 1):
            self._note(sector, False)

    def truncate(self, size: int) -> None:
        before = len(self.live)
        self.moment += 1
        self.sizes.append((self.moment, size))
        if size >= before:
            self.live.extend(bytes(size - before))
            return
        del self.live[size:]
        for sector in range(size // SECTOR, (before - 1) // SECTOR + 1):
            self._note(sector, True)

    def sync(self) -> None:
        self.synced = bytes(self.live)
        self.moment = 0
        self.sectors.clear()
        self.sizes = [(0, len(self.live))]

    def image(self, style: str, rng: random.Random) -> bytes:
        """The file after a power cut."""
        if style == "nothing":
            return self.synced
        if style == "everything" or self.moment == 0:
            return bytes(self.live)
        # How likely it is that something is there, and what goes together: a page or a sector.
        likely = rng.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        unit = rng.choice((SECTOR, PAGE)) // SECTOR
        garbage = rng.random() < 0.5

        def moment() -> int:
            return self.moment if rng.random() < likely else rng.randint(0, self.moment)

        at = moment()
        size = next(size for when, size in reversed(self.sizes) if when <= at)
        content = bytearray(self.synced)
        if len(content) < size:
            content.extend(bytes(min(size, -(-len(content) // SECTOR) * SECTOR) - len(content)))
            rest = max(0, size - len(content))
            content.extend(rng.randbytes(rest) if garbage else bytes(rest))
        moments: dict[int, int] = {}
        for sector, past in self.sectors.items():
            when = moments.setdefault(sector // unit, moment())
            # A truncation that the size does not show has not happened.
            shown = [what for then, cut, what in past if then <= when and (not cut or then <= at)]
            if shown and sector * SECTOR < len(content):
                start = sector * SECTOR
                content[start : start + SECTOR] = shown[-1]
        return bytes(content[:size])

    def _note(self, sector: int, truncation: bool) -> None:
        content = bytes(self.live[sector * SECTOR : (sector + 1) * SECTOR]).ljust(SECTOR, b"\0")
        self.sectors.setdefault(sector, []).append((self.moment, truncation, content))


class Disk:
    """One folder of files on such a disk."""

    def __init__(self, files: dict[str, bytes], *, deaf: frozenset[str] = frozenset()) -> None:
        """Start with files that are on the disk.

        Args:
            files: Name to content.
            deaf: What the disk says it did and does not do: `file` and `folder` syncs.
        """
        self._names: dict[str, _File] = {}
        for name, content in files.items():
            file = self._names[name] = _File()
            file.write(0, content)
            file.sync()
        self._synced_names = dict(self._names)
        # Each change gives names files, or takes them away.
        self._changes: list[dict[str, _File | None]] = []
        self._open: dict[int, _File | None] = {}
        self._deaf = deaf

    def apply(self, call: Call) -> bool:
        """Do a recorded call; True where it changed what a power cut could leave."""
        if call.kind == "open":
            return self._opened(call)
        if call.kind == "close":
            del self._open[call.descriptor]
            return False
        if call.kind == "unlink":
            self._rename({call.name: None})
            return True
        if call.kind == "rename":
            self._rename({call.name: None, call.target: self._names[call.name]})
            return True
        file = self._open[call.descriptor]
        if call.kind == "sync":
            self._sync(file)
        elif file is None:
            raise ValueError(f"{call.kind} on the folder")
        elif call.kind == "write":
            file.write(call.offset, call.content)
        else:
            file.truncate(call.offset)
        return True

    def files(self) -> dict[str, bytes]:
        """What processes see now."""
        return {name: bytes(file.live) for name, file in self._names.items()}

    def cut(self, style: str, rng: random.Random) -> dict[str, bytes]:
        """What may be in the folder after a power cut now, one of many possibilities."""
        names: dict[str, _File | None] = dict(self._synced_names)
        late: set[str] = set()
        likely = {"nothing": 0.0, "everything": 1.0}.get(style, rng.choice((0.1, 0.5, 0.9)))
        for change in self._changes:
            if late.isdisjoint(change) and rng.random() < likely:
                names.update(change)
            else:
                late.update(change)
        # One file under two names, where a move is half known, is made up once.
        images = {id(file): file.image(style, rng) for file in names.values() if file is not None}
        return {name: images[id(file)] for name, file in names.items() if file is not None}

    def _opened(self, call: Call) -> bool:
        if call.name == "":
            self._open[call.descriptor] = None
            return False
        made = call.name not in self._names
        if made:
            self._rename({call.name: _File()})
        file = self._open[call.descriptor] = self._names[call.name]
        if call.empties and len(file.live) > 0:
            file.truncate(0)
            return True
        return made

    def _rename(self, change: dict[str, _File | None]) -> None:
        self._changes.append(change)
        for name, file in change.items():
            if file is None:
                del self._names[name]
            else:
                self._names[name] = file

    def _sync(self, file: _File | None) -> None:
        if ("folder" if file is None else "file") in self._deaf:
            return
        if file is not None:
            file.sync()
            return
        self._synced_names = dict(self._names)
        self._changes.clear()
