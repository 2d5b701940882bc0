"""Who holds a file's locks, as far as the system tells.

Linux lists every lock in `/proc/locks`, with its process and its file, so no note of our own
has to lie beside the store, where it could be stale or could not be written. Nothing is known of
processes in other containers or on other machines, nor on other systems.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

__all__ = ["Holder", "find_holders", "name_holders"]

# SQLite locks bytes from 1 GiB on: pending, reserved, then 510 of readers. See "File Locking
# And Concurrency" in its documentation.
_FIRST = 0x40000000
_LAST = _FIRST + 511
_LONGEST = 80


class Holder(NamedTuple):
    """A process that holds a lock.

    Attributes:
        pid: Its id.
        command: How it was started, up to 80 characters; empty where that is not told.
        seconds: How long it has been running; None where that is not told.
        writes: True where it writes, or is about to; False where it only reads.
        stopped: True where it has been suspended, and so will hold on until it goes on.
    """

    pid: int
    command: str
    seconds: float | None
    writes: bool
    stopped: bool

    def __str__(self) -> str:
        if self.pid == os.getpid():
            return "this process, through another connection"
        about = [f"`{self.command}`"] if self.command else []
        if self.seconds is not None:
            about.append(f"running for {self.seconds:.0f} s")
        about += ["suspended"] if self.stopped else []
        return f"process {self.pid}" + (f" ({', '.join(about)})" if about else "")


def find_holders(path: Path) -> tuple[Holder, ...]:
    """The processes that hold locks of SQLite on a file, writers first.

    Nothing is waited for and nothing is locked; what is found may have changed since.

    Returns:
        Empty where no one holds one, or where the system does not tell.
    """
    try:
        status = path.stat()
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return ()
    writes: dict[int, bool] = {}
    for line in lines:
        found = _read(line, status)
        if found is not None:
            writes[found[0]] = writes.get(found[0], False) or found[1]
    holders = (_describe(pid, writing) for pid, writing in writes.items())
    return tuple(sorted(holders, key=lambda holder: (not holder.writes, holder.pid)))


def name_holders(path: Path) -> str:
    """Words for whoever holds a file's locks, for the middle of a sentence."""
    holders = find_holders(path)
    others = [holder for holder in holders if holder.pid != os.getpid()]
    # While it waits for readers this process holds a lock too.
    return "; ".join(str(holder) for holder in (others or holders)[:3]) or "another process"


def _read(line: str, status: os.stat_result) -> tuple[int, bool] | None:
    """Process and kind of a lock on this file; None for any other line.

    `1: POSIX  ADVISORY  WRITE 2473 fe:00:2148821 1073741825 1073741825`
    """
    words = line.split()
    try:
        _, kind, _, access, pid, place, first, last = words
        major, minor, number = place.split(":")
        overlaps = int(first) <= _LAST and (last == "EOF" or int(last) >= _FIRST)
        process = int(pid)
        device = (int(major, 16), int(minor, 16))
    except ValueError:
        return None
    if kind != "POSIX" or number != str(status.st_ino) or not overlaps or process <= 0:
        return None
    # Some file systems (btrfs, overlay) tell programs another device than they tell the kernel.
    if device != (os.major(status.st_dev), os.minor(status.st_dev)) and not _has_open(
        process, status
    ):
        return None
    return process, access == "WRITE" or int(first) <= _FIRST + 1


def _has_open(pid: int, status: os.stat_result) -> bool:
    """True where a process is known to have this file open."""
    try:
        opened = [entry.stat() for entry in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return False
    return any((o.st_dev, o.st_ino) == (status.st_dev, status.st_ino) for o in opened)


def _describe(pid: int, writes: bool) -> Holder:
    folder = Path(f"/proc/{pid}")
    try:
        raw = (folder / "cmdline").read_bytes()
        # The name, between brackets, may hold anything; state and start time come after it.
        state = (folder / "stat").read_text(encoding="utf-8", errors="replace").rsplit(")", 1)[1]
        uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
        fields = state.split()
        seconds = uptime - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return Holder(pid, "", None, writes, False)
    words = raw.rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")
    command = "".join(c if c.isprintable() else "?" for c in words)
    if len(command) > _LONGEST:
        command = f"{command[: _LONGEST - 3]}..."
    return Holder(pid, command, max(seconds, 0.0), writes, fields[0] in "Tt")
