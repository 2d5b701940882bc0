"""Pictures of what was never enrolled: how well they are told apart, and how often rejected.

Enrolled are pictures of Flowers-17. How strangers of the same kind are told was looked for with
them at hand (docs/strangers.md); no constant was chosen on the strangers of Tiny-ImageNet.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import numpy as np

from benchmarks.accuracy import spread
from benchmarks.common import V2, Figure, flowers
from benchmarks.embedded import PEBBLE
from benchmarks.trials import Verdicts, small_flowers, tiny_strangers, verdicts
from edgeinc.metrics import auroc, false_positive_rate

__all__ = ["strangers"]

KNOWN = 8
"""Of the 17 flowers, where the others are the strangers."""

SHOTS = (1, 5, 15)

AREA = {"near": 0.83, "far": 0.93}
"""The least area under the ROC curve at 5 shots with MobileNet V2, the mean of all draws."""

ACCEPTED, REJECTED = 0.90, 0.85
"""The least shares there at the automatic thresholds."""

WORLDS = {
    "near": f"{KNOWN} of 17 flowers enrolled, the other {17 - KNOWN} are strangers",
    "negatives": f"{KNOWN} of 17 flowers enrolled, as many pictures of each other one as negatives",
    "far": "17 flowers at 64 pixels enrolled, strangers of Tiny-ImageNet",
}


def strangers(draws: int = 20) -> Iterator[Figure]:
    """All worlds at 1, 5 and 15 shots, MobileNet V2 and the embedded backbone."""
    for backbone in (V2, PEBBLE):
        for world in WORLDS:
            for shots in SHOTS:
                pairs = [_shown(world, backbone, shots, seed) for seed in range(draws)]
                bounded = shots == 5 and backbone == V2 and world in AREA
                name = f"{WORLDS[world]}, {shots} shots, {draws} draws, {backbone}"
                yield from _figures(world, name, pairs, bounded=bounded)


def _shown(world: str, backbone: str, shots: int, seed: int) -> tuple[Verdicts, Verdicts]:
    """What was said of pictures of what is enrolled, and of strangers."""
    if world == "far":
        pictures = small_flowers(backbone)
        enrolled = pictures.draw(shots, seed)
        shown = [pictures.features[~enrolled], tiny_strangers(backbone)]
        known, others = verdicts(pictures, enrolled, shown)
        return known, others
    pictures = flowers(backbone)
    chosen = pictures.draw(shots, seed)
    few = np.random.default_rng(seed).permutation(len(pictures.names))[:KNOWN]
    ours = np.isin(pictures.labels, few)
    # The same strangers are shown with negatives and without.
    shown = [pictures.features[part & ~chosen] for part in (ours, ~ours)]
    negatives = chosen & ~ours if world == "negatives" else None
    known, others = verdicts(pictures, chosen & ours, shown, negatives=negatives)
    return known, others


def _figures(
    world: str, name: str, pairs: list[tuple[Verdicts, Verdicts]], *, bounded: bool
) -> Iterator[Figure]:
    familiar = [(known.familiarity, others.familiarity) for known, others in pairs]
    areas = [auroc(*pair) for pair in familiar]
    rates = [false_positive_rate(*pair) for pair in familiar]
    yield Figure(
        f"{name}: AUROC; strangers let in at 95 % recall",
        f"{spread(areas)}; {spread(rates)}",
        f"AUROC, mean >= {AREA[world]:.2f}" if bounded else "",
        statistics.mean(areas) >= AREA[world] if bounded else None,
    )
    accepted = [float(known.known.mean()) for known, _ in pairs]
    rejected = [float(1 - others.known.mean()) for _, others in pairs]
    enough = statistics.mean(accepted) >= ACCEPTED and statistics.mean(rejected) >= REJECTED
    # The bounds on answers are for strangers from another world.
    bounded = bounded and world == "far"
    yield Figure(
        f"{name}: known accepted; strangers rejected",
        f"{spread(accepted)}; {spread(rejected)}",
        f"means >= {ACCEPTED:.2f}; >= {REJECTED:.2f}" if bounded else "",
        enough if bounded else None,
    )
