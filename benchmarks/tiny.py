"""Tiny-ImageNet: 200 of ImageNet's classes at 64 pixels.

40 of them are strangers in the figures: those that the recipe of `pebble` leaves out where it
measures itself, and that no constant was chosen on. The public backbones, which were trained on
ImageNet, have seen them all the same, and so has `pebble`, which was trained on all 200.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.common import unpacked
from edgeinc.images import crop, read_image

__all__ = ["SIDE", "as_tiny", "classes", "held_out", "pictures_of", "words"]

SIDE = 64
"""Its pictures' width and height."""

QUALITY = 75
"""The JPEG quality of its pictures, told from their quantisation tables; colours at half the
width and height, as OpenCV writes them too."""

HELD_OUT = 40


def classes() -> tuple[str, ...]:
    """All 200 classes, sorted, as WordNet's ids."""
    return tuple(sorted(p.name for p in (_folder() / "train").iterdir() if p.is_dir()))


@cache
def held_out() -> tuple[str, ...]:
    """The 40 classes that no constant was chosen on: the draw of `models/pebble/recipe/data.py`."""
    return drawn(classes())


def drawn(names: tuple[str, ...]) -> tuple[str, ...]:
    """The classes of `names`, sorted, that are held out."""
    order = np.random.default_rng(20).permutation(len(names))
    return tuple(names[i] for i in np.sort(order[:HELD_OUT]))


@cache
def words() -> dict[str, str]:
    """Each class's names, as ImageNet has them."""
    lines = (_folder() / "words.txt").read_text(encoding="utf-8").splitlines()
    return {id: names for id, _, names in (line.partition("\t") for line in lines)}


def pictures_of(names: tuple[str, ...], part: str = "val") -> list[tuple[str, Path]]:
    """Class and path of the pictures of some classes, sorted; 20 a class in `val`."""
    return [(name, path) for name in names for path in sorted((_folder() / part / name).iterdir())]


def as_tiny(path: Path) -> bytes:
    """A picture as Tiny-ImageNet would have it: its centre square at 64 pixels, as a JPEG.

    So that neither blur nor the traces of compression tell the two worlds apart.
    """
    image = read_image(path)
    side = min(image.shape[:2])
    small = cv2.resize(crop(image, side, side), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return jpeg(small)


def jpeg(image: NDArray[Any]) -> bytes:
    """A picture as a JPEG of Tiny-ImageNet's quality."""
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()


def _folder() -> Path:
    return unpacked("tiny-imagenet.tar.zst")
