"""What cards there are, and which of their files would be used here."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace

from edgeinc.backbone import Backbone
from edgeinc.cards import ModelCard
from edgeinc.errors import EdgeincError, RuntimeUnavailableError
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
        missing: What weights that are here wait for, and the extra that brings it; None
            where nothing is missing, or no weights are here.
    """

    card: ModelCard
    runtime: str
    installed: bool
    missing: str | None = None


def catalogue() -> tuple[Listed, ...]:
    """Every card, by name."""
    return tuple(describe(card) for card in list_cards())


def describe(card: ModelCard) -> Listed:
    """A card, and what of it is here; nothing is checked.

    Weights are loaded only where their packages leave a doubt.
    """
    here = tuple(file for file in card.files if installed_path(card, file) is not None)
    if not here:
        return Listed(card, card.files[0].runtime, False)
    packages = set(installed())
    if importlib.util.find_spec("onnx") is None:
        # Without it only those .onnx files run that need no cutting: trying tells.
        packages.discard("onnx")
    if usable := [file.runtime for file in here if file.runtime in packages]:
        return Listed(card, usable[0], True)
    try:
        with Backbone.open(replace(card, files=here)) as backbone:
            return Listed(card, backbone.runtime, True)
    except RuntimeUnavailableError as exc:
        return Listed(card, here[0].runtime, True, str(exc))
    except EdgeincError:
        # Damaged or of another kind than its card says: `verify` tells.
        return Listed(card, here[0].runtime, True)
