"""Saving what is sound of a damaged store, and clearing away what killed processes left."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeinc.cards import ModelCard
    from edgeinc.store.repair.salvage import Salvage

__all__ = ["repair", "tidy"]


def repair(store: str | Path, new: str | Path, card: ModelCard | None = None) -> Salvage:
    """Saves what is sound of a damaged store into a new one; the damaged one is only read.

    Args:
        store: The damaged store.
        new: A file that does not exist.
        card: The backbone's, for a store that can no longer tell which one it is bound to.

    Raises:
        InputError: `new` exists.
        StoreError: There is nothing to be saved, or the new store cannot be written.
    """
    from edgeinc.store import Identity
    from edgeinc.store.repair.salvage import salvage

    bound = None if card is None else Identity(card.name, card.fingerprint, card.dim)
    return salvage(store, new, now=time.time(), given=bound)


def tidy(store: str | Path) -> int:
    """Deletes private copies of stores that killed processes left; see docs/store.md.

    Returns:
        How many.
    """
    from edgeinc.store.disk.leftovers import sweep

    return sweep(Path(store))
