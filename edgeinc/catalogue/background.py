"""Statistics of a backbone's features over many unrelated pictures, from any folder of them."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeinc.backbone import Backbone
from edgeinc.cards import ModelCard
from edgeinc.catalogue.drawing import drawn
from edgeinc.devices import AskedDevice
from edgeinc.errors import InputError
from edgeinc.features import UNIT, to_features
from edgeinc.images import list_images
from edgeinc.types import counted

__all__ = ["USUAL_PICTURES", "Measured", "largest_background", "measure_background"]

LEAST_PICTURES = 100
USUAL_PICTURES = 20_000
# Products of two features are below 2**30, so that float64 holds every sum of them exactly.
MOST_PICTURES = 1 << 23
# Pictures that are handed out to the cores at a time.
BATCH = 256
# Of the covariance: at most so many, of at most so many numbers, 2 bytes each.
DIRECTIONS = 128
MOST_NUMBERS = 400_000
# Wider embeddings are measured without their covariance: it would take gigabytes.
WIDEST = 4096


@dataclass(frozen=True, slots=True)
class Measured:
    """What `measure_background` found.

    Attributes:
        content: An `.npz` file of less than 1 MB: `mean` (d,) float32 and `count`, which
            `features.Background` reads; `values` (k,) float32 and `vectors` (k, d) float16,
            the leading part of the covariance, largest first. Features have length 1.
        count: Pictures that went into it.
        skipped: A sentence for each file that was passed over.
    """

    content: bytes
    count: int
    skipped: tuple[str, ...]


class Sums:
    """Exact sums of features: adding them in another order or in other batches is the same."""

    def __init__(self, dim: int) -> None:
        """Starts empty, for features of length `dim`."""
        self.count = 0
        self._total = np.zeros(dim, np.int64)
        self._products = np.zeros((dim, dim)) if _directions(dim) else None

    def add(self, features: NDArray[np.int16]) -> None:
        """Takes `(n, d)` int16 features in."""
        self.count += len(features)
        self._total += features.sum(axis=0, dtype=np.int64)
        if self._products is not None:
            x = features.astype(np.float64)
            self._products += x.T @ x

    def to_bytes(self) -> bytes:
        """The file; the same bytes for the same sums. At least one feature was added."""
        mean = self._total / (UNIT * self.count)
        values, vectors = self._leading(mean)
        buffer = io.BytesIO()
        np.savez(
            buffer,
            mean=mean.astype("<f4"),
            count=np.asarray(self.count, "<i8"),
            values=values.astype("<f4"),
            vectors=vectors.astype("<f2"),
        )
        return buffer.getvalue()

    def _leading(self, mean: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        """Eigenvalues `(k,)` and eigenvectors `(k, d)` of the covariance, largest first."""
        dim = len(mean)
        if self._products is None:
            return np.zeros(0), np.zeros((0, dim))
        second = self._products / (UNIT**2 * self.count)
        values, vectors = np.linalg.eigh(second - np.outer(mean, mean))
        values, vectors = values[::-1], vectors.T[::-1]
        # What lies below is rounding alone, and would differ from one processor to the next.
        sound = int((values > dim * np.finfo(np.float64).eps * np.trace(second)).sum())
        keep = min(_directions(dim), sound)
        values, vectors = values[:keep], vectors[:keep]
        # An eigenvector has no sign of its own: its largest part is made positive.
        largest = np.abs(vectors).argmax(axis=1)
        signs = np.sign(vectors[np.arange(keep), largest])
        return values, vectors * signs[:, np.newaxis]


def measure_background(
    card: ModelCard | str | Path,
    folder: str | Path,
    *,
    most: int = USUAL_PICTURES,
    device: AskedDevice = "auto",
    strict: bool = False,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Measured:
    """Embeds a folder of pictures of nothing in particular and sums them up.

    All cores work, each on a picture of its own. The sums are exact, so that neither the
    pictures' order nor their names matter, as long as all are taken.

    Args:
        card: A card, a model's name, or the path of a card.
        folder: Pictures, in it and in all folders below it; see `images.list_images`.
        most: Of more pictures than this, so many are drawn, always the same. Thousands are
            good; beyond 8,388,608 the sums would not be exact, and no more are taken.
        device: As in `Backbone.open`.
        strict: As in `Backbone.open`.
        threads: As in `Backbone.open`.
        progress: Called with (done, total).

    Raises:
        InputError: Fewer than 100 pictures can be read, or `most` is less than that.
        ModelNotFoundError, ChecksumError, ...: As in `Backbone.open`.
        InferenceError: The network failed.
    """
    if most < LEAST_PICTURES:
        raise InputError(f"{most} pictures are too few; ask for {LEAST_PICTURES} or more.")
    found = list_images(folder)
    _check_enough(len(found.pictures), folder)
    paths = drawn(found.pictures, min(most, MOST_PICTURES))
    skipped = [*found.passed_over]
    with Backbone.open(card, device=device, strict=strict, threads=threads) as backbone:
        sums = Sums(backbone.dim)
        # Of even size: a backbone works on a few pictures in another way than on many.
        batches = -(-len(paths) // BATCH)
        done = 0
        for first in range(batches):
            batch = paths[first::batches]
            rows, sentences = backbone.embed_many(batch, skip_unreadable=True)
            skipped += sentences
            if read := [row for row in rows if row is not None]:
                sums.add(to_features(np.stack(read), nonnegative=backbone.card.nonnegative))
            done += len(batch)
            if progress is not None:
                progress(done, len(paths))
    _check_enough(sums.count, folder)
    return Measured(sums.to_bytes(), sums.count, tuple(sorted(skipped)))


def largest_background(dim: int) -> int:
    """Bytes that a file for embeddings of length `dim` takes at most."""
    return 4 * dim + _directions(dim) * (4 + 2 * dim) + 4096


def _directions(dim: int) -> int:
    """How many directions of the covariance are kept at most."""
    return min(DIRECTIONS, MOST_NUMBERS // dim) if dim <= WIDEST else 0


def _check_enough(count: int, folder: str | Path) -> None:
    if count < LEAST_PICTURES:
        raise InputError(
            f"{folder} has {counted(count, 'pictures')} that can be read, and a background needs "
            f"{LEAST_PICTURES} at least; add pictures of anything, thousands are good."
        )
