"""What an examination of a store found."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeinc.store.repair.soundness import Damaged

__all__ = ["Condition"]


@dataclass(slots=True)
class Condition:
    """What was found about a store.

    Attributes:
        path: The file, links followed.
        size: Its size, bytes.
        free: Free space on its disk, bytes.
        writable: Whether it may be written.
        sound: Whether all that can be checked is as it should be; None where it could not be
            checked.
        version: Its format; None where it does not say.
        backbone: Name of the backbone that it is bound to, where it says.
        dim: Length of its embeddings, where it says.
        counts: How many `examples` of how many `classes` count, among them how many
            `negatives`, which are of no class, how many are `forgotten` and how many `purged`,
            and how many `operations` there were.
        statistics: Whether the statistics that are kept beside the examples are `whole`, `damaged`
            or `none`; they are made again from the examples where they are needed and not whole.
        damaged: Examples that no longer match their digest, or have negative numbers although
            their backbone never gives any.
        holders: Processes that read or write it at this moment, in words.
        journal: What a journal beside it means, in words; None where there is none.
        faults: What is wrong, a sentence each.
        advice: What to do, a sentence each.
    """

    path: str
    size: int
    free: int
    writable: bool
    sound: bool | None = None
    version: int | None = None
    backbone: str | None = None
    dim: int | None = None
    counts: dict[str, int] = field(default_factory=dict)
    statistics: str | None = None
    damaged: list[Damaged] = field(default_factory=list)
    holders: list[str] = field(default_factory=list)
    journal: str | None = None
    faults: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
