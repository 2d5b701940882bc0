"""The drawn parts: closed bodies at rest, and pictures that a seed gives again."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinc.errors import InputError
from edgeinc.parts import KINDS, draw_part
from edgeinc.parts.kinds import body
from edgeinc.parts.mesh import Faces
from edgeinc.parts.render import View, surface


def volume(faces: Faces) -> float:
    """By the divergence theorem: right only if every face is there and looks outwards."""
    a, b, c, d = np.moveaxis(faces, 1, 0)
    halves = np.einsum("ij,ij->i", a, np.cross(b, c)) + np.einsum("ij,ij->i", a, np.cross(c, d))
    return float(halves.sum() / 6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_bodies_are_closed_look_outwards_and_rest_on_the_bench(kind: str, seed: int) -> None:
    faces = body(kind, np.random.default_rng(seed))
    low, high = faces.min(axis=(0, 1)), faces.max(axis=(0, 1))
    assert low[2] == pytest.approx(0, abs=1e-9)
    assert low[:2] == pytest.approx(-high[:2])
    assert 0 < volume(faces) < np.prod(high - low)
    # The areas of a closed surface, as vectors, add up to nothing.
    areas = np.cross(faces[:, 2] - faces[:, 0], faces[:, 3] - faces[:, 1]) / 2
    assert areas.sum(axis=0) == pytest.approx(np.zeros(3), abs=0.02)


def test_the_volume_of_a_washer() -> None:
    faces = body("washer", np.random.default_rng(1))
    height = faces[..., 2].max()
    hole = np.hypot(faces[..., 0], faces[..., 1]).min()
    assert volume(faces) == pytest.approx(np.pi * (1 - hole**2) * height, rel=0.05)


def test_a_surface_is_lit_from_where_it_looks() -> None:
    view = View(64, 20.0, (32.0, 32.0), 0.0)
    seen = surface(body("washer", np.random.default_rng(1)), view)
    up = seen.normals[..., 2][seen.cover == 1]
    assert np.median(up) == pytest.approx(1, abs=1e-3)
    # A ring: covered left and right of the middle, not in it.
    row = seen.cover[seen.cover.shape[0] // 2]
    assert row[len(row) // 2] == 0
    assert row[5] == row[-6] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_the_same_picture_again(kind: str) -> None:
    first, again, other = (draw_part(kind, np.random.default_rng(s), 96) for s in (5, 5, 6))
    assert first.shape == (96, 96, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert abs(first.astype(int) - other).mean() > 5


def test_pictures_have_contrast_and_are_neither_black_nor_white() -> None:
    for seed in range(20):
        picture = draw_part(KINDS[seed % len(KINDS)], np.random.default_rng(seed), 96)
        assert 15 < picture.mean() < 240
        assert picture.std() > 8


def test_wrong_requests_are_refused() -> None:
    with pytest.raises(InputError, match="'rivet'; draw one of bolt"):
        draw_part("rivet", np.random.default_rng(0))
    with pytest.raises(InputError, match="31 pixels"):
        draw_part("nut", np.random.default_rng(0), 31)
