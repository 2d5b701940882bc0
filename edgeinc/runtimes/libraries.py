"""For which processor a shared library was built: the system's own loader does not say.

Where a library is for another processor, Linux's loader says that there is no such file.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["other_machine"]

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


def other_machine(library: str) -> str | None:
    """The processor of a library, where it is not this Python's; else None.

    Args:
        library: A path, or a name that is looked for where Linux's loader does.
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
        return
    own = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    system = (f"{root}/{lib}" for root in ("", "/usr", "/usr/local") for lib in ("lib", "lib64"))
    for folder in (*filter(None, own), *system):
        yield Path(folder) / library
        # Debian keeps a folder for each kind of processor.
        yield from Path(folder).glob(f"*-linux-gnu*/{library}")


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
    return (bits, machine) if magic == b"\x7fELF" and order == 1 else None
