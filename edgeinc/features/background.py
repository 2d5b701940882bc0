"""What features look like on pictures of nothing in particular."""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeinc.errors import CardError, InputError
from edgeinc.features.convert import UNIT

if TYPE_CHECKING:
    from zipfile import ZipFile

LARGEST_DIM = 1 << 16
LARGEST_COUNT = (1 << 63) - 1
LARGEST_ENTRY = 8 * LARGEST_DIM + 4096

# Version 1.0 of the format NPY: one array of plain numbers, of one axis or none.
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00.."
    rb"\{'descr': '([<>|][fiu][1248])', 'fortran_order': False, 'shape': \((?:(\d{1,6}),)?\), \}"
    rb" *\n",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """Frozen statistics of a backbone's features over many unrelated pictures.

    Attributes:
        mean: `(d,)` float64, mean feature on the scale where a feature has length 1.
        count: Pictures that went into it.
    """

    mean: NDArray[np.float64]
    count: int

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
        np.savez(buffer, mean=self.mean.astype("<f4"), count=np.asarray(self.count, "<i8"))
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Background:
        """Read `to_bytes`'s `.npz`: `mean` `(d,)` float, `count` a whole number.

        Other entries are left alone, so that a richer file can be read by an older program.

        Raises:
            CardError: The bytes are no such file.
        """
        import zipfile
        import zlib

        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                mean, count = _entry(archive, "mean"), _entry(archive, "count")
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
        return cls(mean=mean.astype(np.float64), count=int(count))

    def pack(self) -> bytes:
        """Count and mean as plain bytes, for a cache: numpy's own reader takes 7 ms to import."""
        return np.int64(self.count).tobytes() + self.mean.tobytes()

    @classmethod
    def unpack(cls, data: bytes) -> Background:
        """What `pack` gave."""
        count = np.frombuffer(data, np.int64, 1)[0]
        return cls(mean=np.frombuffer(data, np.float64, offset=8), count=int(count))


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
    with archive.open(info) as stream:
        content = stream.read(LARGEST_ENTRY + 1)
    header = _HEADER.match(content)
    if header is None or len(content) > LARGEST_ENTRY:
        raise ValueError(f"{name} is no array of at most {LARGEST_DIM} numbers")
    array = np.frombuffer(content, header[1].decode(), offset=header.end())
    return array.reshape(() if header[2] is None else (int(header[2]),))
