"""Loading the shared libraries of devices, and what the system's own loader does not say.

Where a library is for another processor, Linux's loader says that there is no such file; where
it is cut short, as by a copy that was broken off, the process dies of a bus error.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from edgeinc.errors import DeviceLibraryError

__all__ = ["load_library", "other_machine", "refuse_cut"]

# Numbers of the ELF specification, `e_machine`.
_MACHINES = {
    3: "x86 (32 bits)",
    40: "Arm (32 bits)",
    62: "x86-64",
    164: "Hexagon",
    183: "Arm (64 bits)",
    243: "RISC-V",
}
_HEAD = struct.Struct("<4sBB10xHH")
# By bits (1 for 32, 2 for 64): the whole header, of which `e_phoff` and `e_phnum`; and an entry
# of the table of segments, of which `p_type`, `p_offset` and `p_filesz`.
_HEADERS = {1: struct.Struct("<28xI12xH6x"), 2: struct.Struct("<32xQ16xH6x")}
_SEGMENTS = {1: struct.Struct("<II8xI12x"), 2: struct.Struct("<I4xQ16xQ16x")}
_LOADED = 1


def load_library(library: str) -> ctypes.CDLL:
    """A shared library, which stays loaded.

    Args:
        library: A path, or a name that the system looks for.

    Raises:
        DeviceLibraryError: It is cut short.
        OSError: The system cannot load it.
    """
    refuse_cut(library)
    return ctypes.CDLL(library)


def refuse_cut(library: str) -> None:
    """Refuses a library of which a part is missing; what is no ELF file is left to the loader.

    Args:
        library: As for `load_library`.

    Raises:
        DeviceLibraryError: It is cut short.
    """
    own = _machine(Path(sys.executable or ""))
    for path in _places(library):
        found = _machine(path)
        # The loader passes over those for other processors, and takes the first for its own.
        if found is not None and own in (None, found):
            if _is_cut(path, found[0]):
                raise DeviceLibraryError(
                    f"The library {path} is cut short; copy or install it again."
                )
            return


def other_machine(library: str) -> str | None:
    """The processor of a library, where it is not this Python's; else None.

    Args:
        library: As for `load_library`.
    """
    own = _machine(Path(sys.executable or ""))
    if own is None:
        return None
    for path in _places(library):
        found = _machine(path)
        if found is not None and found != own:
            return _MACHINES.get(found[1], f"processor number {found[1]}")
    return None


def _places(library: str) -> Iterator[Path]:
    if os.sep in library:
        yield Path(library)
    else:
        yield from (folder / library for folder in _folders())


@cache
def _folders() -> tuple[Path, ...]:
    """Where Linux's loader looks; like it, at what was in the environment at first."""
    own = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    system = (f"{root}/{lib}" for root in ("", "/usr", "/usr/local") for lib in ("lib", "lib64"))
    found: list[Path] = []
    for folder in map(Path, (*filter(None, own), *system)):
        # Debian keeps a folder for each kind of processor.
        found += (folder, *folder.glob("*-linux-gnu*"))
    return tuple(found)


def _machine(path: Path) -> tuple[int, int] | None:
    """Bits (1 for 32, 2 for 64) and number of a file's processor; None where it is no ELF."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD.size)
    except OSError:
        return None
    if len(head) < _HEAD.size:
        return None
    magic, bits, order, _, machine = _HEAD.unpack(head)
    known = magic == b"\x7fELF" and order == 1 and bits in _HEADERS
    return (bits, machine) if known else None


def _is_cut(path: Path, bits: int) -> bool:
    """Whether an ELF file ends before one of the segments does that are mapped into memory."""
    header, segment = _HEADERS[bits], _SEGMENTS[bits]
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size < header.size:
                return True
            start, count = header.unpack(stream.read(header.size))
            stream.seek(start)
            table = stream.read(count * segment.size)
    except (OSError, OverflowError):
        # The loader says what is wrong with it.
        return False
    if len(table) < count * segment.size:
        return True
    segments = segment.iter_unpack(table)
    return any(kind == _LOADED and offset + length > size for kind, offset, length in segments)
