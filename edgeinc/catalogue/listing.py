"""What cards there are, and which of their files would be used here."""

from __future__ import annotations

from dataclasses import dataclass

from edgeinc.cards import ModelCard
from edgeinc.runtimes import installed
from edgeinc.weights import installed_path, list_cards

__all__ = ["Listed", "catalogue", "describe"]


@dataclass(frozen=True, slots=True)
class Listed:
    """A card in the catalogue.

    Attributes:
        card: The card.
        runtime: Of the file that would be used: the first whose weights and package are
            here, else the card's first.
        installed: True when weights of the card are here.
    """

    card: ModelCard
    runtime: str
    installed: bool


def catalogue() -> tuple[Listed, ...]:
    """Every card, by name."""
    return tuple(describe(card) for card in list_cards())


def describe(card: ModelCard) -> Listed:
    """A card, and what of it is here; nothing is loaded or checked."""
    here = [file for file in card.files if installed_path(card, file) is not None]
    packages = installed()
    usable = [file.runtime for file in here if file.runtime in packages]
    return Listed(card, [*usable, *(file.runtime for file in card.files)][0], bool(here))
