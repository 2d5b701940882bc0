"""Width and height of a picture, from the header of its file alone.

Six kinds in a few lines each, because a package that reads every kind there is takes longer
to import than a picture takes to recognise, at each start of the shell.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

__all__ = ["Header", "read_header"]

# JPEG markers that stand alone, without a length: TEM, RST0-7, SOI.
_ALONE = {0x01, *range(0xD0, 0xD9)}
# Start of frame, of every process; DHT, JPG and DAC lie between them.
_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN = 0xDA

_PNM = re.compile(rb"P[56]" + 3 * rb"(?:\s|#[^\n]*\n)+(\d{1,9})")

# TIFF tags, and the two types that lengths may have.
_WIDTHS, _HEIGHTS = (256, 322), (257, 323)
_TIFF_TYPES = {3: "H", 4: "I"}


class Header(NamedTuple):
    """What the header says.

    Attributes:
        kind: `jpeg`, `png`, `webp`, `bmp`, `tiff` or `pnm`.
        width: Pixels, as stored, before any orientation is applied.
        height: Pixels.
        end: Where the header ends; 0 where that is of no use.
    """

    kind: str
    width: int
    height: int
    end: int = 0


def read_header(data: bytes) -> Header | None:
    """Reads the header of a picture file; None when it is of another kind.

    Raises:
        ValueError: The kind is known, the header is damaged.
    """
    for start, read in _READERS.items():
        if data.startswith(start):
            try:
                return read(data)
            except (struct.error, IndexError) as exc:
                raise ValueError("the header is cut off") from exc
    return None


def _jpeg(data: bytes) -> Header:
    """ITU T.81, annex B: segments up to the first scan."""
    at, size = 2, (0, 0)
    while True:
        # Some cameras pad between segments, and decoders put up with it.
        if (at := data.find(b"\xff", at)) < 0:
            raise ValueError("it has no scan")
        marker = data[at + 1]
        if marker == _START_OF_SCAN:
            return Header("jpeg", *size, at)
        if marker == 0xFF:
            at += 1
        elif marker in _ALONE:
            at += 2
        else:
            if marker in _FRAME:
                height, width = struct.unpack_from(">HH", data, at + 5)
                size = (width, height)
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]


def _png(data: bytes) -> Header:
    if data[12:16] != b"IHDR":
        raise ValueError("IHDR is not the first chunk")
    width, height = struct.unpack_from(">II", data, 16)
    return Header("png", width, height, 8)


def _webp(data: bytes) -> Header | None:
    """RFC 9649: lossy, lossless or extended."""
    if data[8:12] != b"WEBP":
        return None
    chunk = data[12:16]
    if chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return Header("webp", width & 0x3FFF, height & 0x3FFF)
    if chunk == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return Header("webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if chunk == b"VP8X":
        low_w, high_w, low_h, high_h = struct.unpack_from("<HBHB", data, 24)
        return Header("webp", (high_w << 16 | low_w) + 1, (high_h << 16 | low_h) + 1)
    raise ValueError("an unknown first chunk")


def _bmp(data: bytes) -> Header | None:
    # "BM" alone may begin a text.
    if data[6:10] != bytes(4):
        return None
    start, size = struct.unpack_from("<II", data, 10)
    if size < 40:
        raise ValueError("a header older than Windows 3")
    width, height = struct.unpack_from("<ii", data, 18)
    # A negative height says that the first row is the upper one.
    return Header("bmp", width, abs(height), start)


def _pnm(data: bytes) -> Header:
    found = _PNM.match(data[:4096])
    if found is None:
        raise ValueError("not three numbers")
    return Header("pnm", int(found[1]), int(found[2]), found.end() + 1)


def _tiff(data: bytes) -> Header:
    """TIFF 6.0: the first directory. Tiles count too, they are decoded whole."""
    order = "<" if data.startswith(b"II") else ">"
    directory = struct.unpack_from(f"{order}I", data, 4)[0]
    width = height = 0
    for i in range(struct.unpack_from(f"{order}H", data, directory)[0]):
        at = directory + 2 + 12 * i
        tag, number = struct.unpack_from(f"{order}HH", data, at)
        if tag in _WIDTHS + _HEIGHTS:
            if number not in _TIFF_TYPES:
                raise ValueError("a length of an unknown type")
            value = struct.unpack_from(f"{order}{_TIFF_TYPES[number]}", data, at + 8)[0]
            if tag in _WIDTHS:
                width = max(width, value)
            else:
                height = max(height, value)
    return Header("tiff", width, height)


_READERS = {
    b"\xff\xd8\xff": _jpeg,
    b"\x89PNG\r\n\x1a\n": _png,
    b"RIFF": _webp,
    b"BM": _bmp,
    b"II*\0": _tiff,
    b"MM\0*": _tiff,
    b"P5": _pnm,
    b"P6": _pnm,
}
