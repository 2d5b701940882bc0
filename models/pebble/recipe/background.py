"""Statistics of a backbone's features over many unrelated pictures, for heads and stranger scores.

    python models/pebble/recipe/background.py CARD FOLDER OUT.npz [--count 20000]

works for every card of the catalogue: any picture folder, one card, one `.npz` of at most 1 MB with
`mean` (d,), `count`, and the covariance's leading `values` (k,) and `vectors` (k, d), k = 128.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

import cv2
import numpy as np
from data import list_pictures
from numpy.typing import NDArray

from edgeinc.backbone import Backbone
from edgeinc.errors import EdgeincError, InputError
from edgeinc.features import UNIT, to_features

DIRECTIONS = 128  # of the covariance; 2 bytes a number keep every card below 400 kB
CHUNK = 500


class Sums:
    """Exact sums of integer features: their order does not matter."""

    def __init__(self, dim: int) -> None:
        self.count = 0
        self.total = np.zeros(dim, np.int64)
        self.gram = np.zeros((dim, dim))

    def add(self, features: NDArray[np.int16]) -> None:
        """Take (n, d) int16 features in."""
        x = features.astype(np.float64)
        self.count += len(x)
        self.total += features.sum(0, dtype=np.int64)
        self.gram += x.T @ x

    def to_bytes(self) -> bytes:
        """The `.npz`."""
        mean = self.total / (UNIT * self.count)
        covariance = self.gram / (UNIT**2 * self.count) - np.outer(mean, mean)
        values, vectors = np.linalg.eigh(covariance)
        keep = min(DIRECTIONS, len(mean))
        buffer = io.BytesIO()
        np.savez(
            buffer,
            mean=mean.astype("<f4"),
            count=np.asarray(self.count, "<i8"),
            values=values[::-1][:keep].astype("<f4"),
            vectors=np.ascontiguousarray(vectors[:, ::-1][:, :keep].T).astype("<f2"),
        )
        return buffer.getvalue()


def of_pictures(card: str | Path, folder: Path, count: int) -> bytes:
    """Statistics of `count` pictures of a folder, drawn at random with a fixed seed.

    Raises:
        InputError: The folder has no pictures.
        EdgeincError: The card or its weights cannot be used.
    """
    paths = [path for _, path in list_pictures(folder)]
    if not paths:
        raise InputError(f"{folder} has no pictures; give a folder of unrelated ones.")
    chosen = np.random.default_rng(0).permutation(len(paths))[:count]
    with Backbone.open(card, threads=1) as backbone:
        sums = Sums(backbone.dim)
        for part in np.array_split(np.sort(chosen), max(len(chosen) // CHUNK, 1)):
            pictures = [image for i in part if (image := cv2.imread(str(paths[i]))) is not None]
            rows = backbone.embed(pictures)
            sums.add(to_features(rows, nonnegative=backbone.card.nonnegative))
    return sums.to_bytes()


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Background statistics of a model card.")
    parser.add_argument("card", help="a model's name, or the path of its card")
    parser.add_argument("folder", type=Path, help="pictures of nothing in particular")
    parser.add_argument("out", type=Path, help="the .npz to write")
    parser.add_argument("--count", type=int, default=20000, help="pictures to use")
    given = parser.parse_args()
    try:
        given.out.write_bytes(of_pictures(given.card, given.folder, given.count))
    except (EdgeincError, OSError) as exc:
        print(f"background: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
