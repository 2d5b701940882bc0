"""What the parts lie on: textures drawn from noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["BENCHES", "bench", "noise"]

Image = NDArray[np.float32]
Rng = np.random.Generator


def noise(rng: Rng, size: int, across: float, down: float) -> Image:
    """Smooth noise of mean 0 and deviation near 1, `(size, size)`.

    Args:
        rng: Source of chance.
        size: Pixels.
        across: Length of a feature, pixels.
        down: The same downwards.
    """
    import cv2

    shape = (max(2, round(size / down) + 2), max(2, round(size / across) + 2))
    coarse = rng.standard_normal(shape, dtype=np.float32)
    out: Image = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    return out * 1.3


def _wood(rng: Rng, s: int) -> Image:
    base = np.array([0.12, 0.25, 0.42]) * rng.uniform(0.5, 1.3)
    rings = noise(rng, s, s / 2, s / 9) * 3 + noise(rng, s, s * 0.9, s / 30) * 0.7
    grain = 0.13 * np.sin(rings * 2.2) + 0.10 * noise(rng, s, s / 3, 1.6)
    return _tone(base, grain + 0.05 * noise(rng, s, 2, 2))


def _steel(rng: Rng, s: int) -> Image:
    base = np.array([0.36, 0.35, 0.33]) * rng.uniform(0.5, 1.2)
    return _tone(base, 0.10 * noise(rng, s, s / 3, 1.2) + 0.10 * noise(rng, s, s / 2, s / 2))


def _paper(rng: Rng, s: int) -> Image:
    base = np.array([0.72, 0.77, 0.8]) * rng.uniform(0.75, 1.05)
    return _tone(base, 0.015 * noise(rng, s, 2, 2) + 0.03 * noise(rng, s, s / 2, s / 2))


def _card(rng: Rng, s: int) -> Image:
    base = np.array([0.17, 0.3, 0.45]) * rng.uniform(0.7, 1.2)
    flutes = 0.05 * np.sin(np.arange(s) * 2 * np.pi / rng.uniform(6, 10))[np.newaxis]
    return _tone(base, flutes + 0.05 * noise(rng, s, 5, 1.5) + 0.04 * noise(rng, s, s / 3, s / 3))


def _rubber(rng: Rng, s: int) -> Image:
    colours = [[0.05, 0.05, 0.05], [0.09, 0.16, 0.04], [0.2, 0.1, 0.04], [0.1, 0.1, 0.1]]
    base = np.array(colours[rng.integers(len(colours))]) * rng.uniform(0.7, 1.6)
    return _tone(base, 0.16 * noise(rng, s, 1.5, 1.5) + 0.10 * noise(rng, s, s / 2, s / 2))


def _mat(rng: Rng, s: int) -> Image:
    """A cutting mat with its grid."""
    base = np.array([[0.13, 0.24, 0.05], [0.3, 0.14, 0.04], [0.14, 0.13, 0.13]])
    out = _tone(base[rng.integers(len(base))], 0.05 * noise(rng, s, 2, 2))
    step = int(rng.integers(s // 9, s // 5))
    first = int(rng.integers(0, step))
    out[first::step] += 0.12
    out[:, first::step] += 0.12
    return out


def _concrete(rng: Rng, s: int) -> Image:
    base = np.array([0.3, 0.32, 0.33]) * rng.uniform(0.6, 1.3)
    stains = 0.12 * noise(rng, s, s / 4, s / 4) + 0.08 * noise(rng, s, s / 14, s / 14)
    return _tone(base, stains + 0.09 * noise(rng, s, 2, 2))


def _tone(base: NDArray[np.float64], change: Image) -> Image:
    tone: Image = base.astype(np.float32) * np.clip(1 + change, 0.1, None)[..., np.newaxis]
    return tone


BENCHES = (_wood, _steel, _paper, _card, _rubber, _mat, _concrete)


def bench(rng: Rng, size: int) -> Image:
    """A bench seen from above, turned at random, `(size, size, 3)` linear BGR."""
    import cv2

    out = BENCHES[rng.integers(len(BENCHES))](rng, size)
    turned = cv2.getRotationMatrix2D((size / 2, size / 2), rng.uniform(0, 360), 1.45)
    image: Image = cv2.warpAffine(out, turned, (size, size), borderMode=cv2.BORDER_REFLECT)
    return image
