"""A portable form of a store: a text file of JSON lines with a checksum.

    {"format":"edgeinc archive","version":2,"backbone":...,"operations":2,"examples":9,...}
    {"operation":...}   so many lines as the first one says
    {"example":...}
    {"purged":...}
    {"sha256":...}      of everything before

Plain text, so that any language reads it and nothing in it can run; lines, so that it is read and
written without holding it in memory; not compressed, so that a small file cannot become a large
one. Each record has one form and one place, so stores that share the same write the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from edgeinc.cache import claim, part_of, settle
from edgeinc.errors import InputError, StoreError, StoreFormatError, StoreVersionError
from edgeinc.store.disk.files import file_to_write, open_ordinary
from edgeinc.store.merging.lines import from_line, read_record, to_line, write_record
from edgeinc.store.merging.shared import (
    MOST_TEXT,
    Counts,
    Example,
    Operation,
    Purged,
    Record,
    Source,
    fault,
    is_text,
    unsound,
)
from edgeinc.store.records import Identity
from edgeinc.version import __version__

__all__ = [
    "VERSION",
    "ArchiveSource",
    "open_archive",
    "read_identity",
    "write_archive",
]

VERSION = 2
"""Of the format; a reader refuses a newer one. Version 1 had no thresholds."""

_KINDS: tuple[type[Record], ...] = (Operation, Example, Purged)
_LONGEST = 4 << 20
"""Bytes of a line, so that reading one takes little memory whatever a file holds."""


def write_archive(source: Source, counts: Counts, path: str | Path, *, thumbnails: bool) -> None:
    """Write what a store shares; the file appears under its name when it is on the disk.

    Args:
        source: The store.
        counts: How many records it has.
        path: The file; one that exists is replaced, unless it is a database.
        thumbnails: Take thumbnails along, where examples have them.

    Raises:
        InputError: The path is none, or empty; or the file cannot be written, or is a database.
        StoreError: The store cannot be read.
    """
    path = file_to_write(path)
    part = part_of(path)
    try:
        try:
            with part.open("xb") as stream:
                claim(stream)
                _write(source, counts, stream, thumbnails=thumbnails)
            settle(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as exc:
        raise InputError(
            f"{path} cannot be written ({exc.strerror or exc}). "
            "Check its folder and the room there."
        ) from exc


@contextmanager
def open_archive(path: str | Path) -> Iterator[ArchiveSource]:
    """Open an archive, after every line of it was checked.

    Raises:
        StoreFormatError: It is damaged, or what it holds cannot be.
        StoreVersionError: A newer edgeinc wrote it.
        StoreError: It cannot be read.
    """
    with open_ordinary(path) as stream:
        source = ArchiveSource(stream, str(path))
        for _ in source.records():
            # Reading is checking.
            continue
        yield source


def read_identity(path: str | Path) -> Identity:
    """What the first line of an archive says of its backbone; the others are not read.

    Raises:
        StoreError: As for `open_archive`.
    """
    with open_ordinary(path) as stream:
        return ArchiveSource(stream, str(path)).identity


class ArchiveSource:
    """An archive as a source; memory is that of a few lines.

    Attributes:
        name: The file, for messages.
        identity: The backbone of its examples.
        counts: How many records it has.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        """Read the first line.

        Raises:
            StoreFormatError: It is none of an archive.
            StoreVersionError: A newer edgeinc wrote it.
        """
        self.name = name
        self._stream = stream
        try:
            header = from_line(self._line())
        except ValueError as exc:
            raise unsound(name, f"it is no archive ({exc})") from exc
        version = header.get("version")
        if type(version) is int and version > VERSION:
            raise StoreVersionError(
                f"{name} has format {version}; edgeinc {__version__} knows formats up to "
                f"{VERSION}. Upgrade edgeinc."
            )
        backbone, fingerprint, dim = (header.get(key) for key in Identity._fields[:3])
        numbers = [header.get(key) for key in Counts._fields]
        if not (
            is_text(backbone, MOST_TEXT)
            and is_text(fingerprint, MOST_TEXT)
            and all(type(n) is int and 0 <= n < 2**31 for n in (dim, *numbers))
            and dim
        ):
            raise unsound(name, "its first line is none of an archive")
        self.identity = Identity(str(backbone), str(fingerprint), int(dim))
        self.counts = Counts(*(int(n or 0) for n in numbers))
        if version not in (1, VERSION) or header != _header(self.identity, self.counts, version):
            raise unsound(name, "its first line is none of an archive")
        self._version = int(version)

    def records(self) -> Iterator[Record]:
        """What the archive holds; see `Source.records`. It may be read again.

        Raises:
            StoreFormatError: It is damaged, or what it holds cannot be; then nothing that was
                read from it before counts.
        """
        checksum = hashlib.sha256()
        self._stream.seek(0)
        checksum.update(self._line())
        place = 1
        for kind, count in zip(_KINDS, self.counts, strict=True):
            before = b""
            for _ in range(count):
                line = self._line()
                checksum.update(line)
                place += 1
                try:
                    record = read_record(kind, line, self._version)
                except ValueError as exc:
                    raise unsound(self.name, f"line {place} is damaged ({exc})") from exc
                wrong = fault(record, self.identity.dim)
                if wrong is not None:
                    raise unsound(self.name, f"line {place}: {wrong}")
                if record.uid <= before:
                    raise unsound(self.name, f"line {place} is not in order, or there twice")
                before = record.uid
                yield record
        if self._line() != to_line({"sha256": checksum.hexdigest()}):
            raise unsound(self.name, "its checksum is not that of its content")
        if self._stream.read(1):
            raise unsound(self.name, "it goes on behind its end")

    def _line(self) -> bytes:
        try:
            line = self._stream.readline(_LONGEST)
        except OSError as exc:
            raise StoreError(
                f"{self.name} cannot be read ({exc.strerror}). Check its disk, or export it again."
            ) from exc
        if not line.endswith(b"\n"):
            raise unsound(self.name, "it ends too early, or has a line without end")
        return line


def _header(bound: Identity, counts: Counts, version: int = VERSION) -> dict[str, object]:
    return {
        "format": "edgeinc archive",
        "version": version,
        "backbone": bound.backbone,
        "fingerprint": bound.fingerprint,
        "dim": bound.dim,
        **counts._asdict(),
    }


def _write(source: Source, counts: Counts, stream: BinaryIO, *, thumbnails: bool) -> None:
    checksum = hashlib.sha256()
    line = to_line(_header(source.identity, counts))
    stream.write(line)
    checksum.update(line)
    for record in source.records():
        if isinstance(record, Example) and not thumbnails:
            record = record._replace(thumbnail=None)
        wrong = fault(record, source.identity.dim, bool(source.identity.nonnegative))
        if wrong is not None:
            raise StoreFormatError(
                f"{source.name} cannot be exported: {wrong}. Forget and purge it."
            )
        line = write_record(record)
        stream.write(line)
        checksum.update(line)
    stream.write(to_line({"sha256": checksum.hexdigest()}))
