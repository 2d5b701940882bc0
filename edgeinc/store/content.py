"""Embedding integers as bytes, and back, and the digest that finds equal ones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from edgeinc.errors import InputError, StoreFormatError
from edgeinc.store.disk.trust import damaged
from edgeinc.store.records import Integers, Row

__all__ = [
    "digest",
    "is_negative",
    "is_sound_embedding",
    "mark_of",
    "pack",
    "refuse_negative",
    "unpack",
]


def pack(embedding: Integers, dim: int) -> bytes:
    """Embedding integers in their one stored form, so that equal integers are equal bytes.

    They are kept as uint8 where all fit, else as little-endian int16; the length tells which.

    Args:
        embedding: `(dim,)` uint8 or int16.
        dim: The store's dimension.

    Raises:
        InputError: Another shape or type.

    >>> pack(np.array([1, 255], np.int16), 2) == pack(np.array([1, 255], np.uint8), 2)
    True
    """
    if embedding.shape != (dim,) or embedding.dtype not in (np.uint8, np.int16):
        raise InputError(
            f"An embedding is {embedding.dtype} of shape {embedding.shape}; "
            f"this store takes uint8 or int16 of shape ({dim},). Embed with the store's backbone."
        )
    if embedding.dtype == np.uint8 or (embedding.min() >= 0 and embedding.max() <= 255):
        return embedding.astype(np.uint8).tobytes()
    return embedding.astype("<i2").tobytes()


def unpack(blobs: Sequence[tuple[object, object]], dim: int) -> Integers:
    """Stored bytes, each with its digest, as `(n, dim)` uint8, or int16 where a row needs it.

    Raises:
        StoreFormatError: Bytes of another length, or that no longer match their digest.
    """
    if not all(is_sound_embedding(blob, check, dim) for blob, check in blobs):
        raise damaged("an example no longer matches its digest")
    parts = [blob for blob, _ in blobs if isinstance(blob, bytes)]
    if all(len(part) == dim for part in parts):
        return np.frombuffer(b"".join(parts), np.uint8).reshape(len(parts), dim)
    rows = np.empty((len(parts), dim), np.int16)
    for row, part in zip(rows, parts, strict=True):
        row[:] = np.frombuffer(part, np.uint8 if len(part) == dim else "<i2")
    return rows


def is_negative(blob: bytes, dim: int) -> bool:
    """True where one of the `dim` integers that are stored so is negative.

    >>> is_negative(pack(np.array([300, -1], np.int16), 2), 2)
    True
    """
    return len(blob) == 2 * dim and bool(np.frombuffer(blob, "<i2").min() < 0)


def refuse_negative(ids: Sequence[str], rows: Integers) -> None:
    """Refuse stored examples that their backbone cannot have made; for one that never gives less.

    Args:
        ids: Of n examples.
        rows: Their integers, `(n, d)`.

    Raises:
        StoreFormatError: One has a negative number; the message says which, and what to do.
    """
    if rows.dtype == np.uint8 or not len(rows):
        return
    wrong = np.flatnonzero(rows.min(axis=1) < 0)
    if len(wrong):
        id = ids[wrong[0]]
        raise StoreFormatError(
            f"The example {id} has negative numbers, which the store's backbone never gives. "
            f"Destroy it: `edgeinc forget --sample {id} --purge`."
        )


def is_sound_embedding(blob: object, check: object, dim: int) -> bool:
    """True for the bytes of an embedding of `dim` integers that match their digest."""
    return isinstance(blob, bytes) and len(blob) in (dim, 2 * dim) and digest(blob) == check


def digest(blob: bytes) -> bytes:
    """The 16 bytes (BLAKE2b) by which equal embeddings are found and damage is noticed."""
    return hashlib.blake2b(blob, digest_size=16).digest()


def mark_of(row: Row) -> bytes:
    """The 32 bytes by which a stored example is known: its digest, then its id."""
    return digest(pack(row.embedding, len(row.embedding))) + bytes.fromhex(row.id)
