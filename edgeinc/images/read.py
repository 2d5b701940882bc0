"""From a path, bytes or an array to an upright BGR picture."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgeinc.errors import ImageError
from edgeinc.images.headers import LEAST_SIDE, MAX_BYTES, check_header
from edgeinc.images.quiet import quiet
from edgeinc.unclosed import open_no_database

__all__ = ["Box", "Picture", "read_image"]

Picture: TypeAlias = str | Path | bytes | NDArray[Any]
"""A path, the bytes of a picture file, or an array as OpenCV gives it."""

Box: TypeAlias = tuple[int, int, int, int]
"""A part of a picture: x and y of its upper left corner, width and height, pixels."""

# JPEG alone can be decoded at these fractions for less than the whole costs.
_FRACTIONS = (8, 4, 2)


def read_image(
    source: Picture, *, roi: Box | None = None, least: int | None = None
) -> NDArray[np.uint8]:
    """Brings a picture to `(H, W, 3)` uint8 BGR, upright.

    Files are JPEG, PNG, WebP, BMP, TIFF, PGM or PPM, of at most `MAX_BYTES` and
    `MAX_PIXELS`; their EXIF orientation is applied. Size and wholeness are checked before
    anything is decoded. A JPEG that is whole but has wrong bytes within comes out as far as
    its decoder makes sense of it, which says so on stderr.

    Grey pictures get three equal channels. Alpha is dropped, as `cv2.imread` drops it, so
    the colour that lies under it shows. Of 16-bit pictures the upper 8 bits are taken: a
    camera that fills only the lower 10 or 12 must be scaled to the full range first. Other
    arrays (float, bool, wider integers) are refused, because their range can only be
    guessed.

    Args:
        source: A path, the bytes of a file, or an array: `(H, W)`, `(H, W, 1)`,
            `(H, W, 3)` BGR or `(H, W, 4)` BGRA, uint8 or uint16.
        roi: The part to take: x and y of its upper left corner, width, height, in pixels
            of the upright picture.
        least: Length in pixels that suffices for the shorter side of the result. A JPEG
            is then decoded at a half, a quarter or an eighth, where no less comes out.

    Returns:
        The picture. For an array that needs no change it is the array itself, or with
        `roi` a view of it.

    Raises:
        ImageError: Nothing there, no picture, truncated, smaller than `LEAST_SIDE`, too
            large, or a part that lies outside.

    >>> read_image(np.zeros((48, 64), np.uint8), roi=(0, 0, 32, 16)).shape
    (16, 32, 3)
    """
    if isinstance(source, np.ndarray):
        return _cut(_from_array(source), roi, "The array")
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _decode(bytes(source), "The picture", roi, least)
    if source == "":
        raise ImageError("The picture's path is empty; give one.")
    if isinstance(source, (str, Path)):
        return _decode(_read_file(Path(source)), str(source), roi, least)
    raise ImageError(
        f"A picture was expected, got {type(source).__name__}; give an array, a path or bytes "
        "(cv2.imread returns None for a file that it cannot read)."
    )


def _from_array(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ImageError(
            f"The array has shape {array.shape}; give (H, W), (H, W, 3) BGR or (H, W, 4) BGRA."
        )
    if min(array.shape[:2]) < LEAST_SIDE:
        height, width = array.shape[:2]
        raise ImageError(
            f"The array is {width}x{height} pixels; each side needs at least {LEAST_SIDE}."
        )
    if array.dtype == np.uint16:
        array = (array >> 8).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise ImageError(
            f"The array has dtype {array.dtype}; bring it to 0..255 and convert it to uint8."
        )
    if array.ndim == 2:
        array = array[:, :, np.newaxis]
    if array.shape[2] == 1:
        array = np.repeat(array, 3, axis=2)
    return array[:, :, :3]


def _read_file(path: Path) -> bytes:
    try:
        # Opening a FIFO would wait for its writer, so look before.
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise ImageError(f"{path} is a folder; give a picture file in it.")
        if not stat.S_ISREG(mode):
            raise ImageError(f"{path} is no regular file; give a picture file.")
        file = open_no_database(path)
        if file is None:
            raise ImageError(f"{path} is a database, maybe a store; give a picture file.")
        with file:
            data = file.read(MAX_BYTES + 1)
    except ImageError:
        # It is a ValueError too, and has said what is wrong.
        raise
    except FileNotFoundError as exc:
        raise ImageError(f"{path} does not exist; check the path.") from exc
    except OSError as exc:
        raise ImageError(f"{path} cannot be read ({exc.strerror}); check the file.") from exc
    except ValueError as exc:
        raise ImageError(f"{str(path)!r} is no path: {exc}; check it.") from exc
    if len(data) > MAX_BYTES:
        raise ImageError(f"{path} is larger than {MAX_BYTES >> 20} MiB; scale the picture down.")
    return data


def _decode(data: bytes, name: str, roi: Box | None, least: int | None) -> NDArray[np.uint8]:
    import cv2

    kind, width, height, _ = check_header(data, name)
    fraction = 1
    if kind == "jpeg" and least is not None:
        shorter = min(roi[2:]) if roi is not None else min(width, height)
        fraction = next((f for f in _FRACTIONS if shorter // f >= max(least, LEAST_SIDE)), 1)
    flag = cv2.IMREAD_COLOR
    if fraction > 1:
        flag = getattr(cv2, f"IMREAD_REDUCED_COLOR_{fraction}")
    try:
        with quiet():
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error as exc:
        raise ImageError(f"{name} cannot be decoded ({exc.err}); save it again.") from exc
    if image is None:
        raise ImageError(f"{name} cannot be decoded; it is damaged or of an unusual kind.")
    # Orientation may have exchanged the sides.
    turned = (image.shape[1] - image.shape[0]) * (width - height) < 0
    upright = (height, width) if turned else (width, height)
    return _cut(image, roi, name, upright, fraction)


def _cut(
    image: NDArray[np.uint8],
    roi: Box | None,
    name: str,
    size: tuple[int, int] | None = None,
    fraction: int = 1,
) -> NDArray[np.uint8]:
    """Takes the part `roi`, given in pixels of the picture at full size, width by height."""
    if roi is None:
        return image
    width, height = size if size is not None else (image.shape[1], image.shape[0])
    x, y, w, h = roi
    if min(x, y) < 0 or min(w, h) < LEAST_SIDE or x + w > width or y + h > height:
        raise ImageError(
            f"The part {roi} is not within {name} ({width}x{height}); give x, y, width, "
            f"height inside it, {LEAST_SIDE} pixels or more each way."
        )
    return image[
        y // fraction : -(-(y + h) // fraction),
        x // fraction : -(-(x + w) // fraction),
    ]
