"""From faces to pixels: a buffer of normals, then light on metal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinc.parts.mesh import Faces

__all__ = ["Light", "Metal", "Surface", "View", "shade", "shadow", "surface"]

Image = NDArray[np.float32]

# Drawn at twice the size and averaged down, for smooth edges.
FINE = 2
# Fixed-point digits of OpenCV's polygon corners.
SHIFT = 4


@dataclass(frozen=True, slots=True)
class View:
    """An orthographic camera.

    Attributes:
        size: Side of the picture, pixels.
        scale: Pixels a unit.
        centre: Where the origin appears, pixels.
        tilt: Angle from straight down, radians.
    """

    size: int
    scale: float
    centre: tuple[float, float]
    tilt: float

    def project(self, points: Faces) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixel positions `(..., 2)` and nearness `(...)` of points `(..., 3)`."""
        c, s = np.cos(self.tilt), np.sin(self.tilt)
        x, y, z = points[..., 0], points[..., 1], points[..., 2]
        u = self.centre[0] + self.scale * x
        v = self.centre[1] - self.scale * (c * y + s * z)
        return np.stack([u, v], axis=-1), c * z - s * y

    @property
    def towards(self) -> NDArray[np.float64]:
        """Unit vector from the scene to the camera."""
        return np.array([0.0, -np.sin(self.tilt), np.cos(self.tilt)])


@dataclass(frozen=True, slots=True)
class Light:
    """A rectangular lamp with a soft edge, far away.

    Attributes:
        towards: Unit vector to it.
        power: Brightness.
        half: Half its width and height, as sines of angles.
    """

    towards: NDArray[np.float64]
    power: float
    half: tuple[float, float]

    def in_mirror(self, mirror: Image, soft: float) -> Image:
        """How much of the lamp is seen in each mirrored direction, 0..1.

        Args:
            mirror: Unit vectors `(h, w, 3)`.
            soft: Width of its edge, as a sine: a matte metal smears it.
        """
        to = self.towards.astype(np.float32)
        across = np.cross(to, [0.0, 0.3, 1.0]).astype(np.float32)
        across /= np.linalg.norm(across)
        upward = np.cross(across, to).astype(np.float32)
        a, b, ahead = np.moveaxis(mirror @ np.stack([across, upward, to], axis=1), 2, 0)
        wide = np.clip((self.half[0] + soft / 2 - np.abs(a)) / soft, 0, 1)
        tall = np.clip((self.half[1] + soft / 2 - np.abs(b)) / soft, 0, 1)
        seen: Image = wide * tall * (ahead > 0)
        return seen


@dataclass(frozen=True, slots=True)
class Metal:
    """A metal: reflectance in linear BGR, 0..1, and from 0, a mirror, to 1, cast iron."""

    colour: NDArray[np.float32]
    matte: float


@dataclass(frozen=True, slots=True)
class Surface:
    """What the camera sees of a body, in the part of the picture that the body covers.

    Attributes:
        top: First row.
        left: First column.
        normals: Unit normals, `(h, w, 3)`.
        height: Above the bench, units, `(h, w)`.
        cover: Share of each pixel that the body covers, 0..1, `(h, w)`.
    """

    top: int
    left: int
    normals: Image
    height: Image
    cover: Image


def surface(faces: Faces, view: View) -> Surface:
    """Draws the faces that look to the camera, far to near."""
    import cv2

    normals = face_normals(faces)
    seen = normals @ view.towards > 0
    faces, normals = faces[seen], normals[seen]
    corners, near = view.project(faces)
    left, top = np.clip(np.floor(corners.min(axis=(0, 1))) - 1, 0, view.size - 2).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(axis=(0, 1))) + 1, 2, view.size).astype(int)
    size = (int(right - left), int(bottom - top))
    # The fourth channel is the height; below the bench there is nothing.
    buffer = np.zeros((size[1] * FINE, size[0] * FINE, 4), np.float32)
    buffer[..., 3] = -1
    fixed = np.rint(((corners - [left, top]) * FINE - 0.5) * 2**SHIFT).astype(np.int32)
    values = np.concatenate([normals, faces[..., 2].mean(axis=1, keepdims=True)], axis=1).tolist()
    for i in np.argsort(near.mean(axis=1), kind="stable").tolist():
        cv2.fillConvexPoly(buffer, fixed[i], values[i], cv2.LINE_8, SHIFT)
    covered = (buffer[..., 3] >= 0).astype(np.float32)
    cover = cv2.resize(covered, size, interpolation=cv2.INTER_AREA)
    # A touch of blur rounds the edges between faces, which is where metal shines.
    small = cv2.GaussianBlur(cv2.resize(buffer, size, interpolation=cv2.INTER_AREA), (0, 0), 0.6)
    return Surface(int(top), int(left), unit(small[..., :3]), small[..., 3], cover)


def unit(vectors: Image) -> Image:
    """Vectors `(h, w, 3)` at length 1; those of length 0 stay."""
    length = np.sqrt(np.einsum("ijk,ijk->ij", vectors, vectors))
    out: Image = vectors / np.maximum(length, 1e-3)[..., np.newaxis]
    return out


def face_normals(faces: Faces) -> NDArray[np.float64]:
    """Unit normals `(n, 3)`, outwards."""
    # By the diagonals, so that a corner that falls on another does no harm.
    normals = np.cross(faces[:, 2] - faces[:, 0], faces[:, 3] - faces[:, 1])
    length = np.sqrt(np.einsum("ij,ij->i", normals, normals))
    out: NDArray[np.float64] = normals / np.maximum(length, 1e-12)[:, np.newaxis]
    return out


def shadow(faces: Faces, view: View, light: Light) -> Image:
    """How much of the light the body takes from each point of the bench, 0..1, `(s, s)`."""
    import cv2

    half = view.size // 2
    mask = np.zeros((half, half), np.float32)
    lit = faces[face_normals(faces) @ light.towards > 0]
    fallen = lit - lit[..., 2:] * (light.towards / light.towards[2])
    corners, _ = view.project(fallen)
    fixed = np.rint(corners / 2 * 2**SHIFT).astype(np.int32)
    for polygon in fixed:
        cv2.fillConvexPoly(mask, polygon, 1.0, cv2.LINE_8, SHIFT)
    reach = view.scale * max(light.half)
    soft = cv2.GaussianBlur(mask, (0, 0), 0.6 + 0.08 * reach)
    whole: Image = cv2.resize(soft, (view.size, view.size), interpolation=cv2.INTER_LINEAR)
    return whole


def shade(
    surface: Surface,
    view: View,
    lights: list[Light],
    metal: Metal,
    bench: NDArray[np.float32],
    rough: Image,
) -> Image:
    """Light that metal sends to the camera.

    Args:
        surface: From `surface`.
        view: The camera.
        lights: Lamps.
        metal: What the body is made of.
        bench: Mean colour of the bench, which faces that look down mirror.
        rough: `(h, w, 2)` small tilts of the normals.

    Returns:
        `(h, w, 3)` linear BGR.
    """
    n = surface.normals.copy()
    n[..., :2] += rough
    towards = _towards(surface, view)
    facing = np.einsum("ijk,ijk->ij", n, towards)
    mirror = unit(2 * facing[..., np.newaxis] * n - towards)
    up = mirror[..., 2]
    # A room: bright above, dark at the horizon.
    high = np.clip((up + 0.25) / 1.2, 0, 1)
    glow = 0.06 + 0.5 * high * high * (3 - 2 * high)
    diffuse = np.full_like(up, 0.3)
    for light in lights:
        glow += light.power * light.in_mirror(mirror, 0.1 + 0.6 * metal.matte)
        diffuse += 0.35 * light.power * np.clip(n @ light.towards.astype(np.float32), 0, None)
    below = np.clip(-up * 1.5, 0, 1)[..., np.newaxis]
    mirrored = glow[..., np.newaxis] * (1 - below) + 0.5 * bench * below
    # Schlick: every metal turns white where it is seen along its surface.
    rim = (1 - np.clip(facing, 0, 1)) ** 4
    tint = metal.colour + (1 - metal.colour) * (0.35 * rim)[..., np.newaxis]
    share = 0.1 + 0.6 * metal.matte
    # Close to the bench there is less light.
    dim = 0.5 + 0.5 * np.clip(surface.height / 0.4, 0, 1)
    mixed = (1 - share) * mirrored + share * diffuse[..., np.newaxis]
    out: Image = tint * mixed * dim[..., np.newaxis]
    return out


def _towards(surface: Surface, view: View) -> Image:
    """Directions to the camera, which is near and so differs a little at each point."""
    h, w = surface.cover.shape
    out = np.empty((h, w, 3), np.float32)
    out[...] = view.towards
    out[..., 0] -= 0.5 * ((surface.left + np.arange(w)) / view.size - 0.5)
    out[..., 1] += 0.5 * ((surface.top + np.arange(h)) / view.size - 0.5)[:, np.newaxis]
    return unit(out)
