"""What a picture file says of itself before any pixel is decoded.

A header of a few bytes can announce gigabytes of pixels, and OpenCV before version 5 decodes
a truncated JPEG with grey filling and without complaint. Both are found here.
"""

from __future__ import annotations

import io
import struct
import zlib

from edgeinc.errors import ImageError

__all__ = ["LEAST_SIDE", "MAX_BYTES", "MAX_PIXELS", "check_header", "check_size"]

LEAST_SIDE = 8
"""Pixels: a picture whose shorter side is less shows nothing that could be learned."""

MAX_PIXELS = 120_000_000
"""Pixels: 360 MB once decoded; a 108 megapixel telephone's picture passes."""

MAX_BYTES = 256 * 1024**2
"""Bytes: the largest picture file that is read."""

KINDS = "JPEG, PNG, WebP, BMP, TIFF, PGM or PPM"

# JPEG markers that stand alone, without a length: TEM, RST0-7, SOI.
_ALONE = {0x01, *range(0xD0, 0xD9)}
_START_OF_SCAN = 0xDA
_END_OF_IMAGE = b"\xff\xd9"


def check_size(width: int, height: int, name: str) -> None:
    """Refuses pictures that are too small or too large, in pixels.

    Raises:
        ImageError: A side below `LEAST_SIDE`, or more than `MAX_PIXELS` pixels.
    """
    if min(width, height) < LEAST_SIDE:
        raise ImageError(
            f"{name} is {width}x{height} pixels; each side needs at least {LEAST_SIDE}."
        )
    if width * height > MAX_PIXELS:
        most = MAX_PIXELS // 10**6
        raise ImageError(
            f"{name} is {width}x{height} pixels; scale it down to {most} megapixels or less."
        )


def check_header(data: bytes, name: str) -> tuple[str, int, int]:
    """Checks kind, size and wholeness of a picture file.

    Args:
        data: The whole file.
        name: What to call it in an error.

    Returns:
        `jpeg`, `png`, `webp`, `bmp`, `tiff` or `pnm`; width and height in pixels, as
        stored, before any orientation is applied.

    Raises:
        ImageError: Empty, of another kind, too small, too large, truncated or damaged.
    """
    import imagesize

    if not data:
        raise ImageError(f"{name} is empty; give a picture of kind {KINDS}.")
    kind = _kind(data)
    if kind is None:
        raise ImageError(f"{name} is no picture that can be read here; give a {KINDS}.")
    # Answers (-1, -1) to a header that it cannot make sense of.
    width, height = imagesize.get(io.BytesIO(data), exif_rotation=False)
    if width < 1 or height < 1:
        raise ImageError(f"{name} has a damaged {kind} header; copy or record it again.")
    check_size(width, height, name)
    if not _WHOLE[kind](data, width, height):
        raise ImageError(f"{name} is truncated or damaged; copy or record it again.")
    return kind, width, height


def _kind(data: bytes) -> str | None:
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "webp"
    if data.startswith((b"II*\0", b"MM\0*")):
        return "tiff"
    if data.startswith((b"P5", b"P6")):
        return "pnm"
    # "BM" alone may begin a text.
    if data.startswith(b"BM") and data[6:10] == b"\0\0\0\0":
        return "bmp"
    return None


def _jpeg_is_whole(data: bytes, width: int, height: int) -> bool:
    """Looks for the end-of-image marker behind the first scan.

    Searching the whole file would find the end of the thumbnail inside its EXIF segment.
    Within a scan 0xff is always followed by 0x00 or a restart marker, so there the two
    bytes cannot occur by accident.
    """
    at = 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 4 <= len(data):
        marker = data[at + 1]
        if marker == _START_OF_SCAN:
            return data.rfind(_END_OF_IMAGE, at) >= 0
        if marker == 0xFF:
            at += 1
        elif marker in _ALONE:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False


def _png_is_whole(data: bytes, width: int, height: int) -> bool:
    """Walks the chunks to IEND and checks the CRC of each."""
    view, at = memoryview(data), 8
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


def _webp_is_whole(data: bytes, width: int, height: int) -> bool:
    return int.from_bytes(data[4:8], "little") + 8 <= len(data)


def _bmp_is_whole(data: bytes, width: int, height: int) -> bool:
    if len(data) < 34:
        return False
    depth, compression = struct.unpack_from("<HI", data, 28)
    if compression in (1, 2):
        # Run lengths: what they need is only known after decoding.
        return True
    start = int.from_bytes(data[10:14], "little")
    row: int = (width * depth + 31) // 32 * 4
    return start + row * height <= len(data)


def _pnm_is_whole(data: bytes, width: int, height: int) -> bool:
    channels = 3 if data.startswith(b"P6") else 1
    return width * height * channels < len(data)


def _tiff_is_whole(data: bytes, width: int, height: int) -> bool:
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
