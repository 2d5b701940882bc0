"""How honest probabilities are: expected calibration error on Flowers-17, 17-way."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import numpy as np

from benchmarks.accuracy import spread
from benchmarks.common import V2, Figure, flowers
from benchmarks.embedded import PEBBLE
from benchmarks.trials import verdicts
from edgeinc.metrics import BINS, expected_calibration_error, reliability

__all__ = ["calibration"]

MOST = 0.05
"""Of the mean over all draws, at 5 shots with MobileNet V2."""


def calibration(draws: int = 20) -> Iterator[Figure]:
    """1, 5, 15 and 60 shots: probability of the first label, and whether it is right."""
    for backbone in (V2, PEBBLE):
        pictures = flowers(backbone)
        names = np.array(pictures.names)
        for shots in (1, 5, 15, 60):
            errors, gaps = [], []
            for seed in range(draws):
                enrolled = pictures.draw(shots, seed)
                (said,) = verdicts(pictures, enrolled, [pictures.features[~enrolled]])
                right = said.labels == names[pictures.labels[~enrolled]]
                errors.append(expected_calibration_error(reliability(said.probability, right)))
                gaps.append(float(said.probability.mean() - right.mean()))
            bounded = shots == 5 and backbone == V2
            yield Figure(
                f"Flowers-17, {shots} shots, 17-way, {draws} draws, {backbone},"
                f" expected calibration error ({BINS} bins)",
                f"{spread(errors)}, mean probability less accuracy {statistics.mean(gaps):+.3f}",
                f"mean <= {MOST}" if bounded else "",
                statistics.mean(errors) <= MOST if bounded else None,
            )
