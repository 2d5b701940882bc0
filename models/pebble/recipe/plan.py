"""Which pictures each step sees and at which rate: pure functions of settings and step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from data import Pictures, held_out
from numpy.typing import NDArray
from settings import Settings, Stage


@dataclass(frozen=True, slots=True)
class Plan:
    """Of every stage, the pictures that teach and the number of steps."""

    rows: tuple[NDArray[np.int64], ...]
    steps: tuple[int, ...]

    @property
    def total(self) -> int:
        """All steps."""
        return sum(self.steps)


def make_plan(settings: Settings, pictures: Pictures) -> Plan:
    """All pictures, or all but those of the held-out classes, `passes` times each."""
    out = held_out(settings, pictures.names)
    every = np.arange(len(pictures.labels))
    fewer = np.flatnonzero(~np.isin(pictures.labels, out))
    rows = tuple(fewer if stage.hold_out else every for stage in settings.stages)
    steps = tuple(
        max(round(len(r) * s.passes / s.batch), 1)
        for r, s in zip(rows, settings.stages, strict=True)
    )
    return Plan(rows, steps)


def rows_at(plan: Plan, stage: Stage, index: int, step: int, seed: int) -> NDArray[np.int64]:
    """The step's pictures; every pass of every stage has its own order."""
    rows = plan.rows[index]
    at, n = (step - sum(plan.steps[:index])) * stage.batch, len(rows)
    parts = []
    for turn in range(at // n, (at + stage.batch - 1) // n + 1):
        order = np.random.default_rng((seed, index, turn)).permutation(n)
        parts.append(order[max(at - turn * n, 0) : max(at + stage.batch - turn * n, 0)])
    return np.asarray(rows[np.concatenate(parts)])


@dataclass(frozen=True, slots=True)
class Cycle:
    """Steps from `first` to `end` under one cycle of the rate."""

    first: int
    end: int
    peak: float

    def rate(self, step: int) -> float:
        """Up over the first 5 % of the steps, then down a cosine to a thousandth."""
        progress = (step - self.first) / (self.end - self.first)
        if progress < 0.05:
            return self.peak * (0.04 + 0.96 * progress / 0.05)
        fall = 0.5 * (1 + math.cos(math.pi * (progress - 0.05) / 0.95))
        return self.peak * (0.001 + 0.999 * fall)


def cycle_at(settings: Settings, plan: Plan, step: int) -> Cycle:
    """The cycle that a step belongs to: one for all stages, unless later ones name a rate."""
    starts = [sum(plan.steps[:i]) for i in range(len(plan.steps) + 1)]
    begins = [i for i, stage in enumerate(settings.stages) if i == 0 or stage.rate is not None]
    begin = max((i for i in begins if starts[i] <= step), default=0)
    after = min((i for i in begins if i > begin), default=len(plan.steps))
    return Cycle(starts[begin], starts[after], settings.stages[begin].rate or settings.rate)


def finished_at(steps: tuple[int, ...], step: int) -> int:
    """How many stages of so many steps are finished at `step`."""
    return sum(1 for i in range(len(steps)) if sum(steps[: i + 1]) <= step)


def same_so_far(old: tuple[int, ...], new: tuple[int, ...], step: int) -> bool:
    """Whether a run that stands at `step` of stages `old` can go on with stages `new`.

    Finished stages must be the same; the others may change.

    >>> same_so_far((10, 20), (10, 40, 5), 15), same_so_far((10, 20), (10, 40), 30)
    (True, False)
    """
    finished = finished_at(old, step)
    return old[:finished] == new[:finished] and step <= sum(new)
