"""Views of one picture: what several looks at it, each of another scale, show a network."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["VIEWS", "View", "crop", "needed", "take"]

View = Literal["squash", "crop", "zoom"]

VIEWS: tuple[View, ...] = ("squash", "crop", "zoom")
"""The whole picture out of proportion, its centre, and the centre three quarters of that."""

ZOOM = 4, 3
"""Sides of the centre over those of what the zoom shows of it, as a fraction."""


def crop(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Takes the largest centred part of proportion `height : width`, as a view.

    >>> crop(np.zeros((720, 1280, 3), np.uint8), 224, 224).shape
    (720, 720, 3)
    """
    h, w = image.shape[:2]
    if w * height > h * width:
        part = max(1, h * width // height)
        left = (w - part) // 2
        return image[:, left : left + part]
    part = max(1, w * height // width)
    top = (h - part) // 2
    return image[top : top + part]


def take(image: NDArray[np.uint8], view: View, height: int, width: int) -> NDArray[np.uint8]:
    """The part of a picture that a view shows, as a view of the array.

    Args:
        image: `(H, W, 3)` uint8.
        view: Which.
        height: Of what it is to be resized to, pixels.
        width: Of the same.

    >>> picture = np.zeros((480, 640, 3), np.uint8)
    >>> [take(picture, view, 224, 224).shape[:2] for view in VIEWS]
    [(480, 640), (480, 480), (360, 360)]
    """
    if view == "squash":
        return image
    image = crop(image, height, width)
    if view == "crop":
        return image
    h, w = image.shape[:2]
    down, across = max(1, h * ZOOM[1] // ZOOM[0]), max(1, w * ZOOM[1] // ZOOM[0])
    top, left = (h - down) // 2, (w - across) // 2
    return image[top : top + down, left : left + across]


def needed(least: int) -> int:
    """Pixels that suffice for a picture's shorter side if `least` do for a network's input."""
    return -(-least * ZOOM[0] // ZOOM[1])
