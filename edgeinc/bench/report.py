"""What was measured, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from shlex import quote

from edgeinc.devices import Placement

__all__ = ["BenchReport", "BenchRow", "Skipped", "best_of"]

ALIKE = 1.1
"""Ways whose medians differ by less than this factor are taken for equally fast."""


@dataclass(frozen=True, slots=True)
class BenchRow:
    """Time from a 1280x720 frame in memory to its embedding, in a process of its own.

    Attributes:
        model: The card's name.
        runtime: The runtime that ran it.
        device: The device that really ran it, in the runtime's own words.
        placement: The device asked for, and how much of the network the device ran.
        threads: Threads of the runtime.
        p50_ms: Median, milliseconds.
        p95_ms: 95th percentile, milliseconds.
        per_second: Frames a second, one after the other.
        memory: The most that the whole process held, bytes; None where it is not told.
        joules: Energy of one frame, of everything that the processor did meanwhile; None
            where the kernel does not tell.
        chosen: The device to ask for, so that the card runs just so, from this file in this
            runtime; None where the shell cannot choose it.
    """

    model: str
    runtime: str
    device: str
    placement: Placement
    threads: int
    p50_ms: float
    p95_ms: float
    per_second: float
    memory: int | None
    joules: float | None
    chosen: str | None

    @property
    def options(self) -> str | None:
        """The options of the shell, beside `--backbone`, that choose this way; None without."""
        if self.chosen is None:
            return None
        return f"--device {quote(self.chosen)} --threads {self.threads}"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A way that could not be measured, and why."""

    model: str
    runtime: str
    device: str
    threads: int
    why: str


@dataclass(frozen=True, slots=True)
class BenchReport:
    """All that was measured.

    Attributes:
        rows: In the order of the cards.
        skipped: What could not be measured.
        best: For each model the way to run it here: see `best_of`.
        energy: Why there are no joules; empty where there are.
    """

    rows: tuple[BenchRow, ...]
    skipped: tuple[Skipped, ...]
    best: dict[str, BenchRow]
    energy: str

    @property
    def recommended(self) -> BenchRow:
        """The best way to run the first of the models.

        Which model recognises most is no matter of speed: docs/heads.md has figures.
        """
        return self.best[self.rows[0].model]


def best_of(rows: Sequence[BenchRow]) -> BenchRow:
    """The fastest of the ways to run one model, at least one.

    Of ways that are alike (`ALIKE`) the one with the fewest threads, then the least memory:
    what a program does not take is left to others.
    """
    fastest = min(row.p50_ms for row in rows)
    alike = [row for row in rows if row.p50_ms <= ALIKE * fastest]
    return min(alike, key=lambda row: (row.threads, row.memory or 0, row.p50_ms))
