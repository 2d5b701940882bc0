"""What features look like on pictures of nothing in particular."""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeinc.errors import CardError, InputError
from edgeinc.features.convert import UNIT

if TYPE_CHECKING:
    from zipfile import ZipFile

__all__ = ["Background"]

LARGEST_DIM = 1 << 16
LARGEST_COUNT = (1 << 63) - 1
LARGEST_ENTRY = 8 * LARGEST_DIM + 4096
LARGEST_VECTORS = 1 << 20
"""Bytes of the leading directions at most; `catalogue.background` writes fewer."""

# Version 1.0 of the format NPY: one array of plain numbers, of two axes, one or none.
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00.."
    rb"\{'descr': '([<>|][fiu][1248])', 'fortran_order': (False|True), "
    rb"'shape': \((?:(\d{1,6}),(?: (\d{1,6}))?)?\), \} *\n",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """Frozen statistics of a backbone's features over many unrelated pictures.

    Attributes:
        mean: `(d,)` float64, mean feature on the scale where a feature has length 1.
        count: Pictures that went into it.
        values: `(k,)` float64, the leading variances, largest first; none where only the mean
            is known. All variances together are `1 - mean @ mean`: features have length 1.
        vectors: `(k, d)` float32, their directions, orthogonal and of unit length.
    """

    mean: NDArray[np.float64]
    count: int
    values: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    vectors: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    @classmethod
    def of(cls, features: NDArray[np.int16]) -> Background:
        """Statistics of `(n, d)` int16 features, n at least 1.

        Raises:
            InputError: No row was given.
        """
        if features.ndim != 2 or not len(features):
            raise InputError("A background needs a two-dimensional array with at least one row.")
        total = features.sum(axis=0, dtype=np.int64)
        return cls(mean=(total / (UNIT * len(features))).astype(np.float64), count=len(features))

    def to_bytes(self) -> bytes:
        """The `.npz` file that `from_bytes` reads; the same bytes for the same statistics."""
        buffer = io.BytesIO()
        mean, count = self.mean.astype("<f4"), np.asarray(self.count, "<i8")
        if len(self.values):
            values, vectors = self.values.astype("<f4"), self.vectors.astype("<f2")
            np.savez(buffer, mean=mean, count=count, values=values, vectors=vectors)
        else:
            np.savez(buffer, mean=mean, count=count)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Background:
        """Read `to_bytes`'s `.npz`: `mean` `(d,)` float, `count` a whole number.

        `values` `(k,)` and `vectors` `(k, d)` float may be missing. Other entries are left
        alone, so that a richer file can be read by an older program.

        Raises:
            CardError: The bytes are no such file.
        """
        import zipfile
        import zlib

        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                mean, count = _entry(archive, "mean"), _entry(archive, "count")
                values, vectors = np.zeros(0), np.zeros((0, 0))
                if "values.npy" in archive.namelist():
                    values, vectors = _entry(archive, "values"), _entry(archive, "vectors")
        except (
            *(OSError, ValueError, LookupError, EOFError, RuntimeError, struct.error, zlib.error),
            zipfile.BadZipFile,
        ) as exc:
            raise CardError(
                "The background statistics are no .npz file with `mean` and `count`; "
                "pull the card's files again."
            ) from exc
        sound = mean.ndim == 1 and 0 < len(mean) <= LARGEST_DIM and mean.dtype.kind == "f"
        sound = sound and count.shape == () and count.dtype.kind in "iu"
        sound = sound and 0 < int(count) <= LARGEST_COUNT
        if not sound or not bool(np.isfinite(mean).all()):
            raise CardError(
                "The background statistics have a `mean` or `count` of the wrong shape or value; "
                "pull the card's files again."
            )
        if values.size or vectors.size:
            _check_leading(values, vectors, len(mean))
        return cls(
            mean=mean.astype(np.float64),
            count=int(count),
            values=values.astype(np.float64),
            vectors=vectors.astype(np.float32),
        )

    def pack(self) -> bytes:
        """All as plain bytes, for a cache: numpy's own reader takes 7 ms to import."""
        sizes = np.array([self.count, len(self.mean), len(self.values)], np.int64)
        vectors = self.vectors.astype(np.float16)
        return b"".join(a.tobytes() for a in (sizes, self.mean, self.values, vectors))

    @classmethod
    def unpack(cls, data: bytes) -> Background:
        """What `pack` gave."""
        count, dim, many = np.frombuffer(data, np.int64, 3).tolist()
        numbers = np.frombuffer(data, np.float64, dim + many, offset=24)
        vectors = np.frombuffer(data, np.float16, offset=24 + numbers.nbytes)
        shape = (many, dim if many else 0)
        wide = vectors.astype(np.float32).reshape(shape)
        return cls(mean=numbers[:dim], count=count, values=numbers[dim:], vectors=wide)


def _check_leading(values: NDArray[Any], vectors: NDArray[Any], dim: int) -> None:
    sound = values.ndim == 1 and vectors.shape == (len(values), dim)
    sound = sound and values.dtype.kind == "f" and vectors.dtype.kind == "f"
    # Features have length 1, and so has no direction a variance above it.
    if (
        not sound
        or not bool(((values >= 0) & (values <= 1)).all())
        or not bool((np.abs(vectors) <= 1.001).all())
    ):
        raise CardError(
            "The background statistics have `values` or `vectors` of the wrong shape or value; "
            "pull the card's files again."
        )


def _entry(archive: ZipFile, name: str) -> NDArray[Any]:
    """An array of an `.npz` file; numpy's own reader allocates whatever a header says.

    Raises:
        ValueError: It is too large, or no plain array. (The archive raises others.)
    """
    import zipfile

    info = archive.getinfo(f"{name}.npy")
    # numpy writes no other, and their readers raise errors of their own.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is compressed in a way that .npz files are not")
    largest = LARGEST_VECTORS if name == "vectors" else LARGEST_ENTRY
    with archive.open(info) as stream:
        content = stream.read(largest + 1)
    header = _HEADER.match(content)
    if header is None or len(content) > largest:
        raise ValueError(f"{name} is no array of at most {largest} bytes")
    array = np.frombuffer(content, header[1].decode(), offset=header.end())
    shape = tuple(int(size) for size in header.groups()[2:] if size is not None)
    return array.reshape(shape, order="F" if header[2] == b"True" else "C")
