"""One picture of one part."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeinc.errors import InputError
from edgeinc.parts.benches import bench, noise
from edgeinc.parts.kinds import KINDS, body
from edgeinc.parts.render import Light, Metal, View, shade, shadow, surface

__all__ = ["draw_part"]

Rng = np.random.Generator
Image = NDArray[np.float32]

# Reflectance in linear BGR, and how matte: polished, zinc, stainless, galvanised, brass,
# copper, black oxide.
METALS = (
    ((0.72, 0.72, 0.72), 0.1),
    ((0.78, 0.74, 0.70), 0.25),
    ((0.60, 0.62, 0.64), 0.3),
    ((0.58, 0.57, 0.55), 0.8),
    ((0.28, 0.62, 0.85), 0.2),
    ((0.35, 0.48, 0.85), 0.3),
    ((0.09, 0.085, 0.08), 0.4),
)
COMMON = (0.2, 0.25, 0.2, 0.1, 0.12, 0.03, 0.1)


def draw_part(kind: str, rng: Rng, size: int = 224) -> NDArray[np.uint8]:
    """Draws a part in a scene of its own.

    Args:
        kind: One of `KINDS`.
        rng: Source of chance: the same state gives the same picture.
        size: Side of the picture, pixels; 32 or more.

    Returns:
        `(size, size, 3)` uint8 BGR.

    Raises:
        InputError: An unknown kind, or a size below 32.

    >>> draw_part("nut", np.random.default_rng(0)).shape
    (224, 224, 3)
    """
    if kind not in KINDS:
        raise InputError(f"No part is called {kind!r}; draw one of {', '.join(KINDS)}.")
    if size < 32:
        raise InputError(f"A picture of {size} pixels shows no part; draw 32 or more.")
    faces = body(kind, rng)
    view = _view(rng, faces, size)
    lights = _lights(rng)
    ground = bench(rng, size)
    seen = surface(faces, view)
    colour, matte = METALS[rng.choice(len(METALS), p=COMMON)]
    metal = Metal(np.array(colour, np.float32), matte)
    mean = ground[::8, ::8].mean(axis=(0, 1))
    shine = shade(seen, view, lights, metal, mean, _roughness(rng, seen.cover.shape, matte))
    h, w = seen.cover.shape
    box = np.s_[seen.top : seen.top + h, seen.left : seen.left + w]
    cover = np.zeros((size, size), np.float32)
    cover[box] = seen.cover
    scene = ground * _bench_light(rng, faces, view, lights, cover)
    alpha = seen.cover[..., np.newaxis]
    scene[box] += alpha * (shine - scene[box])
    return _camera(rng, scene)


def _roughness(rng: Rng, shape: tuple[int, ...], matte: float) -> Image:
    """Tilts of a worn surface: waves, and a finer grain where the metal is matte."""
    waves, grain = rng.uniform(0.005, 0.02), rng.uniform(0.002, 0.01) + 0.05 * matte**2
    size = max(shape)
    sides = [waves * noise(rng, size, 14, 14) + grain * noise(rng, size, 2, 2) for _ in range(2)]
    out: Image = np.stack(sides, axis=2)[: shape[0], : shape[1]]
    return out


def _view(rng: Rng, faces: NDArray[np.float64], size: int) -> View:
    """A camera that has the whole part in its picture, more or less in the middle."""
    tilt = rng.uniform(0.05, 0.8)
    corners, _ = View(size, 1.0, (0.0, 0.0), tilt).project(faces)
    low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
    scale = float(size * rng.uniform(0.55, 0.85) / (high - low).max())
    middle = size * rng.uniform(0.45, 0.55, 2) - scale * (low + high) / 2
    return View(size, scale, (float(middle[0]), float(middle[1])), tilt)


def _lights(rng: Rng) -> list[Light]:
    lights = []
    for i in range(int(rng.integers(1, 4))):
        around, down = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.95)
        towards = np.array(
            [np.sin(down) * np.cos(around), np.sin(down) * np.sin(around), np.cos(down)]
        )
        power = rng.uniform(1.2, 2.2) if i == 0 else rng.uniform(0.3, 1.0)
        lights.append(Light(towards, power, (rng.uniform(0.15, 0.5), rng.uniform(0.1, 0.35))))
    return lights


def _bench_light(
    rng: Rng, faces: NDArray[np.float64], view: View, lights: list[Light], cover: Image
) -> Image:
    """Light that reaches the bench: lamps less their shadows, and the dark under the part."""
    import cv2

    total = np.full(cover.shape, 0.3, np.float32)
    full = 0.3
    for light in lights[:2]:
        given = light.power * light.towards[2] * 0.5
        total += given * (1 - 0.9 * shadow(faces, view, light))
        full += given
    contact = cv2.GaussianBlur(cover, (0, 0), max(1.0, 0.06 * view.scale))
    line = np.linspace(-0.5, 0.5, view.size, dtype=np.float32)
    fall = 1 + rng.uniform(-0.5, 0.5) * line + rng.uniform(-0.5, 0.5) * line[:, np.newaxis]
    out: Image = (total / full * (1 - 0.4 * contact) * fall)[..., np.newaxis]
    return out


def _camera(rng: Rng, light: Image) -> NDArray[np.uint8]:
    """Exposure, white balance, sharpness, noise and the curve of a camera."""
    import cv2

    size = light.shape[0]
    balance = [rng.uniform(0.8, 1.15), 1.0, rng.uniform(0.85, 1.2)]
    exposure = np.array(balance, np.float32) * np.float32(rng.uniform(0.7, 1.6))
    sharp = rng.choice([0.0, 0.5, 0.8, 1.4], p=[0.5, 0.3, 0.15, 0.05]) * size / 224
    if sharp > 0.3:
        light = cv2.GaussianBlur(light, (0, 0), sharp)
    light = np.maximum(light, 0) * exposure
    # The square root is near the curve of a camera; the shoulder keeps some drawing in the
    # highlights instead of cutting them.
    curve = np.sqrt(light) / (1 + 0.22 * light)
    grain = rng.standard_normal((size, size, 1), dtype=np.float32) * rng.uniform(1, 8)
    picture: NDArray[np.uint8] = np.clip(255 * curve + grain, 0, 255).astype(np.uint8)
    return picture
