"""The system calls by which a process changes one folder, recorded as they happen."""

from __future__ import annotations

import os
import platform
import shutil
import struct
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["Call", "build", "environment", "missing", "read"]

SOURCE = Path(__file__).with_name("trace.c")
HEAD = struct.Struct("<4q")
KINDS = {
    "o": "open",
    "c": "close",
    "w": "write",
    "t": "truncate",
    "s": "sync",
    "u": "unlink",
    "r": "rename",
    "m": "mark",
}


class Call(NamedTuple):
    """One call that succeeded, or a mark of the recorded process.

    Attributes:
        kind: `open`, `close`, `write`, `truncate`, `sync`, `unlink`, `rename` or `mark`.
        descriptor: Of the open file.
        offset: Where it wrote, or the size to which it truncated.
        content: What it wrote, or the text of a mark.
        name: The file within the folder; empty for the folder itself.
        target: Its new name.
        empties: An opening that truncates.
    """

    kind: str
    descriptor: int = -1
    offset: int = 0
    content: bytes = b""
    name: str = ""
    target: str = ""
    empties: bool = False


def missing() -> str | None:
    """Why calls cannot be recorded here, or None."""
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return "system calls are recorded by a library preloaded under Linux with glibc"
    if _compiler() is None:
        return "there is no C compiler (cc, gcc or clang) to build the recording library with"
    return None


def build(folder: Path) -> Path:
    """The recording library, made in `folder`."""
    library = folder / "trace.so"
    options = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    command = [str(_compiler()), *options, "-o", str(library), str(SOURCE), "-ldl", "-lpthread"]
    subprocess.run(command, check=True)
    return library


def environment(library: Path, folder: Path, trace: Path) -> dict[str, str]:
    """The environment in which a process's calls on `folder` are written to `trace`."""
    return {
        **os.environ,
        "LD_PRELOAD": str(library),
        "EDGEINC_TRACE_FOLDER": str(folder),
        "EDGEINC_TRACE_FILE": str(trace),
    }


def read(trace: Path, folder: Path) -> Iterator[Call]:
    """The calls in a trace, in order."""
    content = trace.read_bytes()
    at = 0
    while at < len(content):
        letter, descriptor, offset, length = HEAD.unpack_from(content, at)
        at += HEAD.size
        what, at = content[at : at + length], at + length
        kind = KINDS[chr(letter)]
        if kind in ("write", "mark"):
            yield Call(kind, descriptor, offset, what)
        elif kind == "open":
            name = _name(what, folder)
            yield Call(kind, descriptor, name=name, empties=bool(offset & os.O_TRUNC))
        elif kind in ("unlink", "rename"):
            names = [_name(part, folder) for part in what.split(b"\0")]
            yield Call(kind, name=names[0], target=names[-1])
        else:
            yield Call(kind, descriptor, offset)


def _compiler() -> str | None:
    configured = (sysconfig.get_config_var("CC") or "").split()[:1]
    found = (shutil.which(name) for name in (*configured, "cc", "gcc", "clang"))
    return next((path for path in found if path is not None), None)


def _name(path: bytes, folder: Path) -> str:
    """A path's name within the folder; empty for the folder."""
    where = Path(os.fsdecode(path))
    if where == folder:
        return ""
    if where.parent != folder:
        raise ValueError(f"{where} is not right within {folder}")
    return where.name
