"""What a picture file says of itself before any pixel is decoded.

A header of a few bytes can announce gigabytes of pixels, and OpenCV before version 5 decodes
a truncated JPEG with grey filling and without complaint. Both are found here.
"""

from __future__ import annotations

import struct
import zlib

from edgeinc.errors import ImageError
from edgeinc.images.sizes import Header, read_header

__all__ = ["LEAST_SIDE", "MAX_BYTES", "MAX_PIXELS", "check_header"]

LEAST_SIDE = 8
"""Pixels: a picture whose shorter side is less shows nothing that could be learned."""

MAX_PIXELS = 120_000_000
"""Pixels: a 108 megapixel telephone's picture passes. Decoding needs 6 bytes a pixel, because
OpenCV copies what it has decoded; a JPEG of which less suffices needs up to 64 times less, unless
it is progressive."""

MAX_BYTES = 256 * 1024**2
"""Bytes: the largest picture file that is read."""

KINDS = "JPEG, PNG, WebP, BMP, TIFF, PGM or PPM"


def check_header(data: bytes, name: str) -> Header:
    """Checks kind, size and wholeness of a picture file.

    Args:
        data: The whole file.
        name: What to call it in an error.

    Raises:
        ImageError: Empty, of another kind, too small, too large, truncated or damaged.
    """
    if not data:
        raise ImageError(f"{name} is empty; give a {KINDS}.")
    try:
        header = read_header(data)
    except ValueError as exc:
        raise ImageError(f"{name} is truncated or damaged ({exc}); record it again.") from exc
    if header is None:
        raise ImageError(f"{name} is no picture that can be read here; give a {KINDS}.")
    width, height = header.width, header.height
    if min(width, height) < LEAST_SIDE:
        raise ImageError(
            f"{name} is {width}x{height} pixels; each side needs at least {LEAST_SIDE}."
        )
    if width * height > MAX_PIXELS:
        most = MAX_PIXELS // 10**6
        raise ImageError(
            f"{name} is {width}x{height} pixels; scale it down to {most} megapixels or less."
        )
    if not _WHOLE[header.kind](data, header):
        raise ImageError(f"{name} is truncated or damaged; copy or record it again.")
    return header


def _jpeg_is_whole(data: bytes, header: Header) -> bool:
    """Looks for the end-of-image marker behind the start of the first scan.

    Searching the whole file would find the end of the thumbnail inside its EXIF segment.
    Within a scan 0xff is always followed by 0x00 or a restart marker, so there the two
    bytes cannot occur by accident.
    """
    return data.rfind(b"\xff\xd9", header.end) >= 0


def _png_is_whole(data: bytes, header: Header) -> bool:
    """Walks the chunks to IEND and checks the CRC of each."""
    view, at = memoryview(data), header.end
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            return False
        if zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            return False
        if name == b"IEND":
            return True
        at = end
    return False


def _webp_is_whole(data: bytes, header: Header) -> bool:
    return int.from_bytes(data[4:8], "little") + 8 <= len(data)


def _bmp_is_whole(data: bytes, header: Header) -> bool:
    if len(data) < 34:
        return False
    depth, compression = struct.unpack_from("<HI", data, 28)
    if compression in (1, 2):
        # Run lengths: what they need is only known after decoding.
        return True
    row: int = (header.width * depth + 31) // 32 * 4
    return header.end + row * header.height <= len(data)


def _pnm_is_whole(data: bytes, header: Header) -> bool:
    channels = 3 if data.startswith(b"P6") else 1
    return header.end + header.width * header.height * channels <= len(data)


def _tiff_is_whole(data: bytes, header: Header) -> bool:
    # Its parts lie anywhere; the decoder fails on its own where one is missing.
    return True


_WHOLE = {
    "jpeg": _jpeg_is_whole,
    "png": _png_is_whole,
    "webp": _webp_is_whole,
    "bmp": _bmp_is_whole,
    "pnm": _pnm_is_whole,
    "tiff": _tiff_is_whole,
}
