"""Answers drawn on pictures, and many pictures on one sheet."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeinc.errors import InputError
from edgeinc.types import Prediction

__all__ = ["annotate", "check_picture", "contact_sheet", "write_picture"]

Picture = NDArray[np.uint8]
Color = tuple[int, int, int]

# BGR.
GREEN: Color = (96, 190, 76)
AMBER: Color = (48, 170, 240)
RED: Color = (70, 70, 225)
WHITE: Color = (245, 245, 245)
PAPER: Color = (30, 28, 26)


def annotate(image: Picture, prediction: Prediction, *, truth: str | None = None) -> Picture:
    """Draws an answer on a copy of a picture: label, score and a bar as long as the score.

    Green is a known label, amber a stranger, red an answer other than `truth`. OpenCV
    before version 5 has Latin letters without accents only; others are drawn as `?`.

    Args:
        image: `(H, W, 3)` uint8 BGR.
        prediction: What it was taken for.
        truth: What it really shows, where that is known.

    Returns:
        `(H, W, 3)` uint8 BGR.
    """
    import cv2

    out = image.copy()
    height, width = out.shape[:2]
    band = max(16, round(0.13 * min(height, width)))
    nearest = prediction.candidates[0].label if prediction.candidates else "-"
    if prediction.label is None:
        text, colour = f"unknown (like {nearest})", AMBER
    else:
        text, colour = f"{prediction.label} {prediction.score:.2f}", GREEN
    if truth is not None and prediction.label not in (truth, None):
        text, colour = f"{text}, is {truth}", RED
    cv2.rectangle(out, (0, 0), (width - 1, height - 1), colour, max(1, band // 12))
    strip = out[height - band :]
    strip[:] = image[height - band :] // 4
    bar = max(2, band // 8)
    strip[-bar:, : round(float(np.clip(prediction.score, 0, 1)) * width)] = colour
    _text(out, text, (band // 4, height - bar - band // 4), band * 0.5, width - band // 2, WHITE)
    return out


def contact_sheet(
    sections: Mapping[str, Sequence[Picture]], *, columns: int = 8, cell: int = 160
) -> Picture:
    """Lays pictures out in rows, under headings.

    Args:
        sections: Heading and pictures, in order; an empty heading takes no room.
        columns: Pictures a row.
        cell: Side of the square that each picture is fitted into, pixels.

    Returns:
        `(H, W, 3)` uint8 BGR.

    Raises:
        InputError: There is no picture, or no column.
    """
    import cv2

    if columns < 1 or cell < 1 or not any(sections.values()):
        raise InputError("A sheet needs a picture and a column; give one of each at least.")
    gap = max(2, cell // 40)
    width = gap + columns * (cell + gap)
    parts = []
    for heading, pictures in sections.items():
        if heading:
            title = np.full((max(20, cell // 4), width, 3), PAPER, np.uint8)
            base = round(len(title) * 0.7)
            _text(title, heading, (2 * gap, base), len(title) * 0.5, width - 4 * gap, WHITE)
            parts.append(title)
        for first in range(0, len(pictures), columns):
            row = np.full((cell + gap, width, 3), PAPER, np.uint8)
            for i, picture in enumerate(pictures[first : first + columns]):
                height, wide = picture.shape[:2]
                scale = cell / max(height, wide)
                size = (max(1, round(wide * scale)), max(1, round(height * scale)))
                small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
                left = gap + i * (cell + gap) + (cell - size[0]) // 2
                top = (cell - size[1]) // 2
                row[top : top + size[1], left : left + size[0]] = small
            parts.append(row)
    return np.concatenate([np.full((gap, width, 3), PAPER, np.uint8), *parts])


def write_picture(path: str | Path, image: Picture) -> None:
    """Writes a picture file; its suffix chooses the format. Missing folders are made.

    Raises:
        InputError: It cannot be written there, or not in that format.
    """
    path = Path(path)
    content = _encoded(path, image)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as exc:
        raise InputError(f"{path} cannot be written ({exc.strerror}); choose a place.") from exc


def check_picture(path: str | Path) -> None:
    """Looks, before long work, whether a picture file of that name could be written.

    Raises:
        InputError: Its suffix is of no format that can be written.
    """
    _encoded(Path(path), np.zeros((16, 16, 3), np.uint8))


def _encoded(path: Path, image: Picture) -> bytes:
    import cv2

    try:
        done, data = cv2.imencode(path.suffix or ".", image)
    except cv2.error as exc:
        raise InputError(f"{path} has no suffix of a picture; end it in .png or .jpg.") from exc
    if not done:
        raise InputError(f"{path} cannot be encoded; end its name in .png or .jpg.")
    return data.tobytes()


def _text(
    image: Picture, text: str, origin: tuple[int, int], height: float, width: int, colour: Color
) -> None:
    """Writes a line, `height` pixels high or as much less as `width` demands."""
    import cv2

    if int(cv2.__version__.split(".")[0]) < 5:
        plain = unicodedata.normalize("NFKD", text)
        plain = "".join(c for c in plain if not unicodedata.combining(c))
        text = plain.encode("ascii", "replace").decode()
    font = cv2.FONT_HERSHEY_SIMPLEX
    # At scale 1 a capital is about 22 pixels high.
    scale = height / 22
    (needed, _), _ = cv2.getTextSize(text, font, scale, 1)
    scale *= min(1.0, width / max(1, needed))
    cv2.putText(image, text, origin, font, scale, colour, max(1, round(height / 18)), cv2.LINE_AA)
