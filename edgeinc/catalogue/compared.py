"""What was found out where the same pictures went through every file and device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from edgeinc.cards import ModelCard
from edgeinc.devices import is_cpu

__all__ = ["GOLDEN", "LEAST_COSINE", "Comparison", "Pair", "Run", "Verdict"]

GOLDEN = "golden"
LEAST_COSINE = 0.98
"""Of one picture in two places: below it a store made in the one is of no use in the other."""

Verdict = Literal["equal", "one step", "different"]


@dataclass(frozen=True, slots=True)
class Run:
    """A card's file on a device.

    Attributes:
        name: The file and the device, in words; `golden` for what lies beside the card.
        file: The file.
        runtime: That read it.
        device: What really ran it, in the runtime's own words.
        share: Share of the network's operators that the device asked for ran, 0 to 1; None
            where the runtime does not tell.
    """

    name: str
    file: str
    runtime: str
    device: str
    share: float | None


class Pair(NamedTuple):
    """Two runs of the same pictures.

    Attributes:
        one: Name of the one run.
        other: Name of the other.
        verdict: `equal`, every number bit for bit; `one step`, none further apart than one
            step of the coarser quantisation; else `different`.
        steps: The furthest that two numbers are apart, in such steps.
        cosine: Mean cosine of the two embeddings of a picture.
        least: The least of them.
    """

    one: str
    other: str
    verdict: Verdict
    steps: float
    cosine: float
    least: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found out.

    Attributes:
        card: The card.
        pictures: How many pictures each run saw.
        runs: The runs, on the CPU first.
        pairs: Each with each.
        left_out: A sentence for each file or device that could not be compared.
        failed: A sentence for each time that a device did not do what was asked for: it runs no
            file and was asked for, or, `strict`, leaves a part of one to the CPU.
    """

    card: ModelCard
    pictures: int
    runs: tuple[Run, ...]
    pairs: tuple[Pair, ...]
    left_out: tuple[str, ...]
    failed: tuple[str, ...] = ()

    @property
    def agree(self) -> bool:
        """True when no two runs are further apart than a store can bear."""
        return _agree(self.pairs)

    @property
    def ok(self) -> bool:
        """True when there are runs, which agree, and every device did what was asked for."""
        return bool(self.runs) and self.agree and not self.failed

    @property
    def advice(self) -> str:
        """What to do where they do not agree."""
        first = "use one file and one device for a store"
        plain = {run.name for run in self.runs if is_cpu(run.device) or run.runtime == GOLDEN}
        pairs = [pair for pair in self.pairs if {pair.one, pair.other} <= plain]
        if pairs and _agree(pairs):
            # The files agree on the CPU.
            apart = ", ".join(run.name for run in self.runs if run.name not in plain)
            return f"{first}; what differs is the device, not the files: {apart}"
        return f"{first}, or fetch the files again"


def _agree(pairs: Sequence[Pair]) -> bool:
    return all(pair.cosine >= LEAST_COSINE for pair in pairs)
