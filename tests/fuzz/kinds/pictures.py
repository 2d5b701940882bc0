"""Picture files of every format that is read, damaged in bytes and in structure."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np

from edgeinc import Backbone, Engine
from edgeinc.images import LEAST_SIDE, MAX_PIXELS, read_image
from tests.fuzz.mutate import INTEGERS, damage
from tests.fuzz.worker import Files, Wrong

__all__ = ["Kind"]

SIDES = (0, 1, 7, 8, 9, 255, 4096, 16383, 16384, 30000, 65500, 65535, 65536, 1 << 24, 0x7FFFFFFF)


class Kind:
    """Bytes or a path of a picture, to be read, embedded, predicted or enrolled."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "picture"
        self._seeds = seeds()
        self._all = list(self._seeds.values())
        # One takes JPEGs at an eighth of their size, the other as they are.
        self._small = _backbone("small", 8)
        self._large = _backbone("large", 160)
        self._engine = Engine.open(folder / "s.db", backbone=self._small)
        self._engine.enroll("a", np.full((9, 9, 3), 9, np.uint8))
        self._engine.enroll("b", np.full((9, 9, 3), (250, 9, 9), np.uint8))

    def make(self, rng: random.Random) -> Files:
        name = rng.choice(list(self._seeds))
        data = self._seeds[name]
        kind = name.partition(" ")[0]
        if rng.random() < 0.5 and kind in _STRUCTURES:
            data = _STRUCTURES[kind](rng, data)
        if rng.random() < 0.6:
            data = damage(rng, data, self._all)
        return {"picture": data}

    def run(self, files: Files, rng: random.Random) -> str:
        data = files["picture"]
        way = rng.randrange(20)
        if way == 0:
            self._path.write_bytes(data)
            self._engine.enroll("c", self._path)
            self._engine.forget("c", purge=rng.random() < 0.1)
        elif way < 3:
            self._path.write_bytes(data)
            label = self._engine.predict(self._path).label
            if label not in ("a", "b", "unknown", None):
                raise Wrong(f"predicted {label!r}")
        elif way < 6:
            _sound(self._large.embed([data]), (1, 3))
        elif way < 10:
            box = tuple(rng.choice((0, 1, 8, 20, 64, -1, 1 << 40)) for _ in range(4))
            _picture(read_image(data, roi=box, least=rng.choice((None, 8, 32))))
        elif way < 15:
            _picture(read_image(data))
        else:
            _sound(self._small.embed([data]), (1, 3))
        return "read"


def _backbone(name: str, side: int) -> Backbone:
    return Backbone.from_function(
        lambda picture: picture.mean(axis=(1, 2)).astype(np.float32),
        name=name,
        size=(side, side),
        dim=3,
    )


def _sound(rows: np.ndarray, shape: tuple[int, ...]) -> None:
    if rows.shape != shape or rows.dtype != np.int16:
        raise Wrong(f"embedding of {rows.dtype} {rows.shape}")


def _picture(image: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise Wrong(f"picture of {image.dtype} {image.shape}")
    # At a half, a quarter or an eighth a side may be a little shorter than the least.
    if min(image.shape[:2]) < 1 or image.shape[0] * image.shape[1] > MAX_PIXELS:
        raise Wrong(f"picture of {image.shape}, least side {LEAST_SIDE}")


def seeds() -> dict[str, bytes]:
    """Small pictures: each format, and within it what a decoder does differently."""
    y, x = np.mgrid[:40, :48]
    colour = np.stack([x * 5, y * 6, (x + y) * 2], axis=2).astype(np.uint8)
    colour[10:20, 10:30] = np.random.default_rng(0).integers(0, 256, (10, 20, 3))
    grey = colour[:, :, 0]
    alpha = np.dstack([colour, grey])
    deep = colour.astype(np.uint16) * 257

    def encoded(suffix: str, image: np.ndarray, *flags: int) -> bytes:
        done, data = cv2.imencode(suffix, image, list(flags))
        assert done
        return bytes(data)

    jpeg = encoded(".jpg", colour)
    made = {
        "jpeg baseline": jpeg,
        "jpeg progressive": encoded(".jpg", colour, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "jpeg restarts": encoded(".jpg", colour, cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
        "jpeg grey": encoded(".jpg", grey),
        "jpeg turned": _with_exif(jpeg, 6),
        "jpeg large": encoded(".jpg", cv2.resize(colour, (480, 400))),
        "png colour": encoded(".png", colour),
        "png grey": encoded(".png", grey),
        "png alpha": encoded(".png", alpha),
        "png deep": encoded(".png", deep),
        "png bits": encoded(".png", grey, cv2.IMWRITE_PNG_BILEVEL, 1),
        "png palette": _palette_png(colour),
        "webp lossy": encoded(".webp", colour, cv2.IMWRITE_WEBP_QUALITY, 60),
        "webp lossless": encoded(".webp", colour, cv2.IMWRITE_WEBP_QUALITY, 101),
        "webp alpha": encoded(".webp", alpha),
        "bmp colour": encoded(".bmp", colour),
        "bmp grey": encoded(".bmp", grey),
        "bmp alpha": encoded(".bmp", alpha),
        "bmp runs": _run_length_bmp(),
        "pnm colour": encoded(".ppm", colour),
        "pnm grey": encoded(".pgm", grey),
        "pnm deep": encoded(".ppm", deep),
    }
    for name, number in {"none": 1, "lzw": 5, "deflate": 8, "packbits": 32773}.items():
        made[f"tiff {name}"] = encoded(".tif", colour, cv2.IMWRITE_TIFF_COMPRESSION, number)
    made["tiff deep"] = encoded(".tif", deep)
    made["tiff real"] = encoded(".tif", colour.astype(np.float32))
    made["tiff alpha"] = encoded(".tif", alpha)
    return made


def _with_exif(jpeg: bytes, orientation: int) -> bytes:
    """A JPEG with an EXIF segment: orientation, a text, and a pointer to a further directory."""
    entries = [
        struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0),
        struct.pack(">HHII", 0x010E, 2, 12, 62),
        struct.pack(">HHII", 0x8769, 4, 1, 8),
    ]
    body = b"MM\0*" + struct.pack(">IH", 8, len(entries)) + b"".join(entries) + bytes(4)
    segment = b"Exif\0\0" + body + b"description\0"
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _palette_png(colour: np.ndarray) -> bytes:
    height, width = colour.shape[:2]
    rows = b"".join(b"\0" + bytes(row) for row in colour[:, :, 0] // 32)
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    palette = bytes(range(24))
    parts = [(b"IHDR", head), (b"PLTE", palette), (b"tRNS", b"\0\x80"), (b"IDAT", _packed(rows))]
    body = b"".join(_chunk(*part) for part in [*parts, (b"IEND", b"")])
    return b"\x89PNG\r\n\x1a\n" + body


def _packed(rows: bytes) -> bytes:
    return zlib.compress(rows, 1)


def _run_length_bmp() -> bytes:
    """16x16 pixels of 8 bits in runs, with a jump and the end of the picture."""
    pixels = b"".join(bytes([8, line, 8, 15 - line, 0, 0]) for line in range(15)) + b"\0\2\4\0\0\1"
    head = struct.pack("<IiiHHIIiiII", 40, 16, 16, 1, 8, 1, len(pixels), 0, 0, 16, 0)
    palette = b"".join(bytes([i * 16, 255 - i * 16, i, 0]) for i in range(16))
    start = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + head + palette + pixels


def _png(rng: random.Random, data: bytes) -> bytes:
    """Damages a chunk and gives it the right checksum, without which nothing goes further."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        length = struct.unpack_from(">I", data, at)[0]
        chunks.append([data[at + 4 : at + 8], data[at + 8 : at + 8 + length]])
        at += 12 + length
    if rng.random() < 0.02:
        # As much as is let in: what a small file can make of it is the memory that it takes.
        side = rng.choice((10_900, 10_954, 10_955, 20_000))
        chunks[0][1] = struct.pack(">II", side, side) + chunks[0][1][8:]
    for _ in range(rng.choice((1, 1, 2))):
        which = rng.randrange(len(chunks))
        how = rng.randrange(6)
        if how == 0:
            chunks.insert(which, list(rng.choice(chunks)))
        elif how == 1:
            del chunks[which]
        elif how == 2 and chunks:
            kinds = (
                b"IDAT",
                b"tRNS",
                b"PLTE",
                b"eXIf",
                b"acTL",
                b"fcTL",
                b"fdAT",
                b"iCCP",
                b"xxxx",
            )
            chunks.insert(which, [rng.choice(kinds), rng.randbytes(rng.choice((0, 4, 8, 26, 999)))])
        elif how == 3 and chunks[which][0] == b"IHDR":
            sides = struct.pack(">II", rng.choice(SIDES), rng.choice(SIDES))
            chunks[which][1] = sides + chunks[which][1][8:]
        elif how == 4 and chunks[which][0] == b"IDAT":
            # Fewer or more pixels than the header says.
            chunks[which][1] = zlib.compress(bytes(rng.choice((0, 10, 10_000, 3_000_000))), 1)
        else:
            chunks[which][1] = damage(rng, chunks[which][1])
        if not chunks:
            break
    return data[:8] + b"".join(_chunk(name, part) for name, part in chunks)


def _jpeg(rng: random.Random, data: bytes) -> bytes:
    """Damages segments: sizes of the picture, tables, EXIF."""
    content = bytearray(data)
    starts, at = [], 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        starts.append(at)
        if content[at + 1] == 0xDA:
            break
        at += 2 + struct.unpack_from(">H", content, at + 2)[0]
    frames = [s for s in starts if content[s + 1] in (0xC0, 0xC2)]
    how = rng.randrange(5)
    if how == 0 and frames:
        sides = (rng.choice(SIDES) & 0xFFFF, rng.choice(SIDES) & 0xFFFF)
        struct.pack_into(">HH", content, frames[0] + 5, *sides)
    elif how == 1:
        start = rng.choice(starts)
        struct.pack_into(">H", content, start + 2, rng.choice(INTEGERS) & 0xFFFF)
    elif how == 2:
        start = rng.choice(starts)
        length = struct.unpack_from(">H", content, start + 2)[0]
        content[start + 4 : start + 2 + length] = damage(
            rng, content[start + 4 : start + 2 + length]
        )
    elif how == 3:
        piece = rng.choice((b"\xff\xd8\xff\xd9", b"\xff\xda", b"\xff" * 999, b"\xff\xe1\0\0"))
        content[rng.choice(starts) : 0] = piece
    else:
        exif = _with_exif(data, rng.choice((0, 1, 3, 6, 8, 9, 255)))
        end = 4 + struct.unpack_from(">H", exif, 4)[0]
        return exif[:12] + damage(rng, exif[12:end]) + exif[end:]
    return bytes(content)


def _tiff(rng: random.Random, data: bytes) -> bytes:
    """Damages entries of the first directory."""
    content = bytearray(data)
    order = "<" if data[:2] == b"II" else ">"
    directory = struct.unpack_from(f"{order}I", content, 4)[0]
    count = struct.unpack_from(f"{order}H", content, directory)[0]
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = directory + 2 + 12 * rng.randrange(count)
        field, width = rng.choice(((0, 2), (2, 2), (4, 4), (8, 4), (8, 2)))
        value = rng.choice((*INTEGERS, *SIDES, rng.randrange(600)))
        letter = "H" if width == 2 else "I"
        struct.pack_into(f"{order}{letter}", content, at + field, value & ((1 << 8 * width) - 1))
    return bytes(content)


def _bmp(rng: random.Random, data: bytes) -> bytes:
    content = bytearray(data)
    at, letter = rng.choice(
        ((18, "i"), (22, "i"), (28, "H"), (30, "I"), (10, "I"), (46, "I"), (14, "I"))
    )
    value = rng.choice((*SIDES, *INTEGERS, 4, 16, 24, 32, 40, 54, 124))
    value &= 0xFFFF if letter == "H" else 0x7FFFFFFF
    struct.pack_into(f"<{letter}", content, at, -value if letter == "i" and value % 2 else value)
    return bytes(content)


def _pnm(rng: random.Random, data: bytes) -> bytes:
    parts = data.split(b"\n", 3)
    numbers = [str(rng.choice((*SIDES, 48, 40))).encode() for _ in range(2)]
    most = rng.choice((b"255", b"65535", b"0", b"1", b"99999", b"-1", b"256"))
    space = rng.choice((b" ", b"\n", b"\n# words\n", b"\t"))
    head = rng.choice((b"P6", b"P5", b"P4", b"P3", parts[0]))
    return head + space + numbers[0] + space + numbers[1] + space + most + b"\n" + parts[-1]


def _webp(rng: random.Random, data: bytes) -> bytes:
    """Damages sizes and the headers of chunks."""
    content = bytearray(data)
    at = rng.choice((4, 12, 16, 20, 21, 24, 26, 27, 28, 29))
    width = rng.choice((1, 2, 4))
    value = rng.choice((*INTEGERS, *SIDES)) & ((1 << 8 * width) - 1)
    content[at : at + width] = value.to_bytes(width, "little")
    return bytes(content)


_STRUCTURES = {
    "jpeg": _jpeg,
    "png": _png,
    "tiff": _tiff,
    "bmp": _bmp,
    "pnm": _pnm,
    "webp": _webp,
}
