"""Bodies as faces: `(n, 4, 3)` float arrays of four corners each, seen from outside anticlockwise.

A body is lofted from loops: closed curves of equally many points, joined one to the next.
Lengths are in units of the part, z points up from the bench.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Faces",
    "Points",
    "angles",
    "at",
    "loft",
    "outline_of_gear",
    "outline_of_hexagon",
    "turn",
]

Points: TypeAlias = NDArray[np.float64]
Faces: TypeAlias = NDArray[np.float64]


def angles(count: int) -> Points:
    """`count + 1` angles once round; the last closes the loop."""
    return np.linspace(0, 2 * np.pi, count + 1)


def at(radius: float | Points, z: float | Points, angle: Points) -> Points:
    """A loop round the z axis, `(n, 3)`."""
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    return np.stack([x, y, np.broadcast_to(z, x.shape)], axis=1)


def loft(loops: Sequence[Points]) -> Faces:
    """Joins each loop to the next by faces.

    Loops that run anticlockwise and climb give faces that look outwards.

    >>> loft([at(1, 0, angles(6)), at(1, 1, angles(6))]).shape
    (6, 4, 3)
    """
    grid = np.stack(loops)
    corners = [grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]]
    return np.stack(corners, axis=2).reshape(-1, 4, 3)


def outline_of_hexagon(angle: Points) -> Points:
    """Radius of a hexagon of width 2 across its flats, at each angle."""
    return 1 / np.cos((angle + np.pi / 6) % (np.pi / 3) - np.pi / 6)


def outline_of_gear(teeth: int, depth: float) -> tuple[Points, Points]:
    """Angle and radius of a gear of outer radius 1, six points a tooth."""
    within = np.array([0.0, 0.16, 0.30, 0.52, 0.66, 0.82])
    height = np.array([0.0, 0.0, 1.0, 1.0, 0.0, 0.0])
    angle = 2 * np.pi * (np.arange(teeth)[:, np.newaxis] + within).ravel() / teeth
    radius = 1 - depth + depth * np.tile(height, teeth)
    return np.append(angle, 2 * np.pi), np.append(radius, radius[0])


def turn(faces: Faces, axis: str, angle: float) -> Faces:
    """Turns a body about the x, y or z axis, by radians."""
    c, s = np.cos(angle), np.sin(angle)
    matrix = {
        "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
        "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    }[axis]
    return faces @ np.array(matrix).T
