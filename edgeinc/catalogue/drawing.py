"""Some of many pictures: drawn by chance, and always the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

__all__ = ["drawn", "shuffled"]


def shuffled(paths: Sequence[Path]) -> list[Path]:
    """All of the paths, in an order drawn by chance; the same for the same folder."""
    return [paths[i] for i in np.random.default_rng(0).permutation(len(paths))]


def drawn(paths: Sequence[Path], most: int) -> list[Path]:
    """The first so many of `shuffled`, in the order in which they are given."""
    chosen = np.random.default_rng(0).permutation(len(paths))[:most]
    return [paths[i] for i in np.sort(chosen)]
