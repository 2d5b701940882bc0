"""The parts: each kind is a body with proportions drawn by chance, lying as it would lie."""

from __future__ import annotations

import numpy as np

from edgeinc.parts.mesh import (
    Faces,
    Points,
    angles,
    at,
    loft,
    outline_of_gear,
    outline_of_hexagon,
    turn,
)

__all__ = ["KINDS", "body"]

Rng = np.random.Generator


def body(kind: str, rng: Rng) -> Faces:
    """A part of a kind, at rest on the plane z = 0, at a random angle round z."""
    faces = turn(_MAKERS[kind](rng), "z", rng.uniform(0, 2 * np.pi))
    low, high = faces.min(axis=(0, 1)), faces.max(axis=(0, 1))
    resting: Faces = faces - [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]]
    return resting


def _hexagon(low: float, high: float, angle: Points) -> list[Points]:
    """The side of a nut or bolt head: flats whose corners a cone has cut off."""
    outer = outline_of_hexagon(angle)
    cut = np.minimum(outer, 1.03)
    drop = 0.6 * (outer - cut)
    return [
        at(cut, low, angle),
        at(outer, low + drop, angle),
        at(outer, high - drop, angle),
        at(cut, high, angle),
    ]


def _nut(rng: Rng) -> Faces:
    height, hole = rng.uniform(0.75, 1.1), rng.uniform(0.52, 0.64)
    angle = angles(48)
    thread = [
        at(hole * (0.93 if i % 2 else 1.0), height - 0.12 - i * (height - 0.24) / 10, angle)
        for i in range(11)
    ]
    loops = _hexagon(0, height, angle)
    faces = loft(
        [*loops, at(hole + 0.1, height, angle), *thread, at(hole + 0.1, 0, angle), loops[0]]
    )
    # Now and then a nut stands on one of its flats.
    if rng.random() < 0.15:
        faces = turn(turn(faces, "z", np.pi / 6), "x", np.pi / 2)
    return faces


def _bolt(rng: Rng) -> Faces:
    head, shank = rng.uniform(0.6, 0.8), rng.uniform(0.5, 0.6)
    length = rng.uniform(2.4, 4.5)
    plain = rng.choice([0.0, 0.0, 0.35, 0.5]) * length
    angle = angles(30)
    loops = [at(0, -head, angle), at(0.6, -head, angle), *_hexagon(-head, 0, angle)]
    loops += [at(shank, 0.0, angle), at(shank, plain + 0.06, angle)]
    turns = max(6, round((length - plain) / 0.21))
    pitch = (length - plain - 0.25) / turns
    # A helix: the end of one turn is where the next but one loop begins.
    climb = pitch * angle / (2 * np.pi)
    for i in range(2 * turns - 1):
        radius = shank * (0.82 if i % 2 else 1.0)
        loops.append(at(radius, plain + 0.1 + i * pitch / 2 + climb, angle))
    loops += [at(shank * 0.8, length, angle), at(0, length, angle)]
    faces = loft(loops)
    if rng.random() < 0.05:
        return faces
    # Lying, it rests on the flat of its head and the end of its thread.
    lean = np.arcsin((1 - shank) / length)
    return turn(turn(faces, "z", np.pi / 6), "y", np.pi / 2 + lean)


def _washer(rng: Rng) -> Faces:
    hole, height = rng.uniform(0.42, 0.6), rng.uniform(0.09, 0.17)
    bevel, angle = 0.035, angles(64)
    profile = [
        (1 - bevel, 0),
        (1, bevel),
        (1, height - bevel),
        (1 - bevel, height),
        (hole + bevel, height),
        (hole, height - bevel),
        (hole, 0),
        (1 - bevel, 0),
    ]
    return loft([at(r, z, angle) for r, z in profile])


def _gear(rng: Rng) -> Faces:
    teeth = int(rng.integers(13, 25))
    height, hub = rng.uniform(0.22, 0.38), rng.uniform(0.34, 0.44)
    angle, outer = outline_of_gear(teeth, rng.uniform(0.17, 0.23))
    rim = 1 - (1 - outer.min()) - 0.1
    hole = hub * rng.uniform(0.45, 0.62)
    floor = height * rng.uniform(0.35, 1.0)
    top = height + rng.choice([0.0, 0.2])
    profile: list[tuple[float | Points, float]] = [
        (outer * 0.985, 0),
        (outer, 0.03),
        (outer, height - 0.03),
        (outer * 0.985, height),
        (rim, height),
        (rim - 0.04, floor),
        (hub + 0.04, floor),
        (hub, top),
        (hole + 0.03, top),
        (hole, top - 0.03),
        (hole, 0),
        (outer * 0.985, 0),
    ]
    return loft([at(r, z, angle) for r, z in profile])


def _spring(rng: Rng) -> Faces:
    turns, wire = rng.uniform(5, 9), rng.uniform(0.085, 0.15)
    radius = rng.uniform(0.42, 0.62)
    pitch = wire * rng.uniform(2.7, 4.4)
    angle = np.linspace(0, 2 * np.pi * turns, round(20 * turns))
    # The first and last turn lie close, as ground ends do.
    rise = np.clip(angle / (2 * np.pi), 0, 1) ** 2 * np.clip(turns - angle / (2 * np.pi), 0, 1)
    z = np.cumsum((2 * wire + (pitch - 2 * wire) * rise) * (angle[1] - angle[0]) / (2 * np.pi))
    around = angles(8)[::-1]
    # Rings round the wire; one of no size at either end closes it.
    rings = [
        at(radius + size * np.cos(around), z[i] + size * np.sin(around), np.full(9, angle[i]))
        for i, size in [(0, 0.0), *((i, wire) for i in range(len(angle))), (-1, 0.0)]
    ]
    faces = loft(rings)
    if rng.random() < 0.2:
        return faces
    return turn(faces, "y", np.pi / 2)


def _wing_nut(rng: Rng) -> Faces:
    height, hole = rng.uniform(0.6, 0.8), rng.uniform(0.26, 0.34)
    angle = angles(36)
    profile = [(0.62, 0), (0.6, 0.15), (0.48, height), (hole + 0.05, height)]
    profile += [(hole * (0.92 if i % 2 else 1), height - 0.05 - i * 0.09) for i in range(6)]
    hub = loft([at(r, z, angle) for r, z in [*profile, (hole, 0), profile[0]]])
    reach, lift, thick = rng.uniform(0.95, 1.25), rng.uniform(0.45, 0.75), rng.uniform(0.11, 0.17)
    outline = angles(24)
    egg = 1 + 0.25 * np.cos(outline)
    x = 0.42 + 0.5 * reach * (1 + np.cos(outline))
    z = height * 0.55 + lift * (x - 0.42) / reach + 0.48 * egg * np.sin(outline)
    wings = []
    for turned in (0, np.pi):
        loops = []
        for scale, y in ((0, -1), (0.8, -1), (1, -0.5), (1, 0.5), (0.8, 1), (0, 1)):
            mx, mz = x.mean(), z.mean()
            loops.append(
                np.stack(
                    [mx + scale * (x - mx), np.full_like(x, thick * y), mz + scale * (z - mz)], 1
                )
            )
        wings.append(turn(loft(loops[::-1]), "z", turned))
    return np.concatenate([hub, *wings])


_MAKERS = {
    "bolt": _bolt,
    "gear": _gear,
    "nut": _nut,
    "spring": _spring,
    "washer": _washer,
    "wing nut": _wing_nut,
}
KINDS = tuple(_MAKERS)
"""Names of the parts that can be drawn."""
