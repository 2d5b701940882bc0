"""Small pictures for people, to see by what was enrolled."""

from __future__ import annotations

from edgeinc.errors import ImageError
from edgeinc.images.prepare import shrink
from edgeinc.images.read import Picture, read_image

__all__ = ["THUMBNAIL_SIDE", "make_thumbnail"]

THUMBNAIL_SIDE = 96
"""The most pixels of a thumbnail's side. A face can be told on it: it is kept where asked for."""

QUALITY = 80


def make_thumbnail(picture: Picture) -> bytes:
    """A JPEG of a picture, at most 96 pixels wide and high; some 3 kB, without EXIF.

    Args:
        picture: A path, the bytes of a file, or an array; see `read_image`.

    Raises:
        ImageError: The picture cannot be read.

    >>> import numpy as np
    >>> read_image(make_thumbnail(np.zeros((400, 300, 3), np.uint8))).shape
    (96, 72, 3)
    """
    import cv2

    image = read_image(picture, least=THUMBNAIL_SIDE)
    height, width = image.shape[:2]
    scale = min(1.0, THUMBNAIL_SIDE / max(height, width))
    small = shrink(image, max(1, round(scale * height)), max(1, round(scale * width)))
    done, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise ImageError("No thumbnail can be made of a picture. Enrol without thumbnails.")
    return bytes(data)
