"""Damage to bytes, of the sort that cards, cables and malice do."""

from __future__ import annotations

import random
from collections.abc import Sequence

__all__ = ["INTEGERS", "damage", "patch_integer"]

INTEGERS = (0, 1, 2, 7, 8, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000)
INTEGERS += (0xFFFFFFFF, 0xFFFFFFFE, 0x10000, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)


def damage(rng: random.Random, data: bytes, others: Sequence[bytes] = (b"",)) -> bytes:
    """The data with one to six mutations; most of them small, so that parsers get far.

    Args:
        rng: Decides everything.
        data: What is damaged.
        others: Other files, of which pieces are spliced in.
    """
    content = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        rng.choice(_MUTATIONS)(rng, content, others)
    return bytes(content)


def patch_integer(rng: random.Random, content: bytearray) -> None:
    """Writes a number that is hard to bear over one, two, four or eight bytes."""
    width = rng.choice((1, 2, 4, 8))
    if len(content) < width:
        return
    at = rng.randrange(len(content) - width + 1)
    value = rng.choice(INTEGERS) & ((1 << 8 * width) - 1)
    content[at : at + width] = value.to_bytes(width, rng.choice(("little", "big")))


def _flip(rng: random.Random, content: bytearray, _: Sequence[bytes]) -> None:
    for _ in range(rng.choice((1, 1, 2, 8, 64)) if content else 0):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def _write(rng: random.Random, content: bytearray, _: Sequence[bytes]) -> None:
    patch_integer(rng, content)


def _head(rng: random.Random, content: bytearray, _: Sequence[bytes]) -> None:
    """Most of what steers a parser is at the beginning."""
    head = content[:64]
    patch_integer(rng, head)
    content[:64] = head


def _truncate(rng: random.Random, content: bytearray, _: Sequence[bytes]) -> None:
    del content[rng.randrange(len(content) + 1) :]


def _drop(rng: random.Random, content: bytearray, _: Sequence[bytes]) -> None:
    at = rng.randrange(len(content) + 1)
    del content[at : at + rng.choice((1, 2, 16, 512, 4096))]


def _insert(rng: random.Random, content: bytearray, _: Sequence[bytes]) -> None:
    at = rng.randrange(len(content) + 1)
    content[at:at] = rng.randbytes(rng.choice((1, 2, 16, 512)))


def _repeat(rng: random.Random, content: bytearray, _: Sequence[bytes]) -> None:
    at = rng.randrange(len(content) + 1)
    piece = content[at : at + rng.choice((1, 4, 64, 1024))]
    content[at:at] = piece * rng.choice((1, 2, 64))


def _fill(rng: random.Random, content: bytearray, _: Sequence[bytes]) -> None:
    at, most = rng.randrange(len(content) + 1), rng.choice((4, 64, 512, 4096))
    length = min(most, len(content) - at)
    content[at : at + length] = bytes([rng.choice((0, 0xFF, 0x7F, 0x20))]) * length


def _splice(rng: random.Random, content: bytearray, others: Sequence[bytes]) -> None:
    other = rng.choice(others)
    start = rng.randrange(len(other) + 1)
    piece = other[start : start + rng.choice((4, 64, 1024, len(other)))]
    at = rng.randrange(len(content) + 1)
    content[at : at + rng.choice((0, len(piece)))] = piece


_MUTATIONS = (_flip, _flip, _write, _write, _head, _truncate, _drop, _insert, _repeat, _fill)
_MUTATIONS += (_splice,)
