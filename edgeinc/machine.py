"""What the kernel tells of this machine: processor, memory, cameras, energy.

Each function takes the root of the file system, so that it can be tried on another machine's.
"""

from __future__ import annotations

import errno
import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

__all__ = ["Camera", "Energy", "Processor", "cameras", "energy", "memory", "peak", "processor"]

ROOT = Path("/")
# What kernels for int8 are written for: products of bytes that are summed in one instruction,
# and what they are done with otherwise. By the names of /proc/cpuinfo.
X86 = ("avx2", "avx_vnni", "avx512_vnni", "amx_int8")
ARM = ("asimd", "asimddp", "i8mm", "sve")
DOT = {"avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm"}
# videodev2.h: the request, and what it says of a camera and of a converter in memory.
_QUERYCAP, _CAPTURE, _MEMORY = 0x80685600, 0x1 | 0x1000, 0x8000 | 0x4000


class Processor(NamedTuple):
    """The processor.

    Attributes:
        name: As the kernel names it, or the board; None where it does not.
        features: Of those that int8 networks profit from, whether it has them; empty where
            the kernel does not tell.
        int8: Whether it sums products of bytes in one instruction; None where that is unknown.
    """

    name: str | None
    features: dict[str, bool]
    int8: bool | None


class Camera(NamedTuple):
    """A camera: its device file, its name, and whether this user may open it."""

    path: str
    name: str
    usable: bool


def processor(root: Path = ROOT) -> Processor:
    """The processor of this machine."""
    said: dict[str, str] = {}
    for line in _text(root / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        said.setdefault(key.strip(), value.strip())
    board = _text(root / "proc/device-tree/model").strip("\0\n ")
    name = said.get("model name") or board or None
    flags = said.get("flags", said.get("Features"))
    if flags is None:
        return Processor(name, {}, None)
    there = set(flags.split())
    features = {one: one in there for one in (X86 if "flags" in said else ARM)}
    return Processor(name, features, bool(DOT & there))


def memory(root: Path = ROOT) -> tuple[int | None, int | None]:
    """Memory of the machine, and how much of it is free for programs, bytes."""
    found = {}
    for line in _text(root / "proc/meminfo").splitlines():
        key, _, value = line.partition(":")
        if value.endswith(" kB"):
            found[key] = 1024 * int(value.split()[0])
    total = found.get("MemTotal")
    if total is None and root == ROOT:
        with suppress(AttributeError, ValueError, OSError):
            total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return total, found.get("MemAvailable")


def peak(root: Path = ROOT) -> int | None:
    """The most memory that this process has held at once, bytes; None where it is not told.

    `getrusage` would count what the process was before it became this program.
    """
    for line in _text(root / "proc/self/status").splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    return None


def cameras(root: Path = ROOT) -> tuple[Camera, ...]:
    """The cameras that Linux knows; converters that look like one are left out."""
    folder = root / "sys/class/video4linux"
    try:
        names = sorted(path.name for path in folder.iterdir() if path.name.startswith("video"))
    except OSError:
        return ()
    found = []
    for name in names:
        device, words = root / "dev" / name, _text(folder / name / "name").strip()
        captures = _captures(device)
        if captures is not False:
            found.append(Camera(str(device), words or name, captures is True))
    return tuple(found)


def _captures(device: Path) -> bool | None:
    """Whether a video device is a camera; None where it cannot be opened."""
    if device.is_file():
        return False
    try:
        import fcntl

        with device.open("rb", buffering=0) as file:
            answer = fcntl.ioctl(file, _QUERYCAP, bytes(104))
    except ImportError:
        return None
    except OSError as exc:
        # It answers, and is no video device at all.
        return False if exc.errno == errno.ENOTTY else None
    every, own = struct.unpack_from("<II", answer, 84)
    can = own if every & 0x80000000 else every
    return bool(can & _CAPTURE) and not can & _MEMORY


@dataclass(frozen=True)
class Energy:
    """Counters of the energy that processors have taken, each with where it starts anew.

    Attributes:
        counters: Their files, and the microjoules after which each begins at zero.
        problem: Why there are none; empty where there are.
    """

    counters: tuple[tuple[Path, int], ...]
    problem: str

    def read(self) -> tuple[int, ...]:
        """What each says, microjoules."""
        return tuple(int(path.read_text(encoding="ascii")) for path, _ in self.counters)

    def joules(self, before: tuple[int, ...], after: tuple[int, ...]) -> float | None:
        """Energy between two readings; None where there are no counters.

        >>> Energy(((Path("energy_uj"), 1000),), "").joules((900,), (100,))
        0.0002
        """
        if not self.counters:
            return None
        rounds = (most for _, most in self.counters)
        spent = (a - b + (r if a < b else 0) for a, b, r in zip(after, before, rounds, strict=True))
        return sum(spent) / 1e6


def energy(root: Path = ROOT) -> Energy:
    """The counters of whole processors: `/sys/class/powercap`, Intel's and AMD's RAPL.

    Everything on the processor counts, not only this program. Most systems let only root
    read them (CVE-2020-8694).
    """
    folder = root / "sys/class/powercap"
    found, barred = [], False
    for path in sorted(folder.glob("intel-rapl:*")):
        if not _text(path / "name").startswith("package"):
            continue
        try:
            int((path / "energy_uj").read_text(encoding="ascii"))
            most = int((path / "max_energy_range_uj").read_text(encoding="ascii"))
        except (OSError, ValueError):
            barred = True
        else:
            found.append((path / "energy_uj", most))
    if found:
        return Energy(tuple(found), "")
    if barred:
        return Energy((), f"only root may read the counters of energy in {folder}")
    return Energy((), f"the kernel has no counters of energy here ({folder})")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
