"""What is wrong with a picture, as far as its pixels tell: dark, bright, blurred, small."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["faults"]

# The bounds, and what they catch, are in docs/check.md.

DARK = 64
"""Grey value, of 255, that the brightest twentieth of a picture must reach."""

BRIGHT = 200
"""Grey value above which no more than nine tenths of a picture may lie."""

SHARP = 0.02
"""Variance of the Laplacian over the variance of the grey values, at the network's input size,
below which a picture is blurred. The quotient does not go by contrast, nor by light."""

FLAT = 4.0
"""Variance of the grey values below which there is nothing to be sharp."""

SMALL = 3
"""How many times shorter than the network's input the shorter side of a picture may be."""


def faults(image: NDArray[np.uint8], side: int) -> list[str]:
    """Says what is wrong with a picture that a network is to learn from.

    Args:
        image: `(height, width, 3)` uint8 BGR, what the network sees of it.
        side: The picture's shorter side, pixels, before it was brought to that size.

    Returns:
        A few words for each fault; none for a good picture. Of a small picture nothing is said
        about blur, because enlarging blurs it.

    >>> faults(np.zeros((224, 224, 3), np.uint8), 480)
    ['too dark: 95 % of it is below 64 of 255', 'empty: it is of one colour']
    """
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    found = []
    if cv2.countNonZero(cv2.compare(grey, DARK, cv2.CMP_LT)) >= 0.95 * grey.size:
        found.append(f"too dark: 95 % of it is below {DARK} of 255")
    if cv2.countNonZero(cv2.compare(grey, BRIGHT, cv2.CMP_GT)) >= 0.9 * grey.size:
        found.append(f"too bright: 90 % of it is above {BRIGHT} of 255")
    least = -(-min(grey.shape) // SMALL)
    small = side < least
    if small:
        found.append(f"too small: {side} pixels, where {least} or more are needed")
    variance = float(cv2.meanStdDev(grey)[1][0, 0]) ** 2
    # The Laplacian's mean is next to nothing, so that its mean square is its variance.
    edges = cv2.norm(cv2.Laplacian(grey, cv2.CV_16S), cv2.NORM_L2) ** 2 / grey.size
    if variance < FLAT:
        found.append("empty: it is of one colour")
    elif not small and edges < SHARP * variance:
        found.append("blurred: hold the camera still, or focus it")
    return found
