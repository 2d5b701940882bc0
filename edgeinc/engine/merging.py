"""Merging stores without an engine: neither a backbone nor its weights need to be here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from edgeinc.cards import ModelCard, is_name
from edgeinc.errors import BackboneMismatchError, InputError
from edgeinc.store import Identity, Store, peek
from edgeinc.store.disk.files import as_path
from edgeinc.types import MergeReport
from edgeinc.weights import find_card, list_cards

if TYPE_CHECKING:
    from edgeinc.store.merging.shared import Source

__all__ = ["check_bound", "merge_stores", "paths_of"]


def merge_stores(
    store: str | Path,
    others: str | Path | Sequence[str | Path],
    *,
    backbone: str | Path | ModelCard | None = None,
    timeout: float = 5.0,
) -> MergeReport:
    """Adds what other stores, or archives of stores, hold: all of them or nothing.

    A store that is not there is made, with the backbone of the first of the others; its
    card need not be here. Where a card with that fingerprint is, the two must agree.

    Args:
        store: The store's file.
        others: The files to merge, one or several; they are only read.
        backbone: What the store must have been made with: a model's name or a card. By
            default any.
        timeout: Longest wait for another process's lock, seconds.

    Raises:
        InputError: There is no other, one is no path, or a name is empty.
        BackboneMismatchError: One was made with another backbone.
        ModelNotFoundError: There is no card `backbone`.
        StoreError: One cannot be read or is damaged, or the store refused.
    """
    # Few merge, and what merges is not small.
    from edgeinc.store.merging.sources import open_source

    paths = paths_of(others)
    opened: list[str | Path | Source] = [*paths]
    with ExitStack() as stack:
        bound, whose = peek(store, timeout=timeout), store
        if bound is None:
            bound, whose = _bound_like(paths[0], timeout), paths[0]
            # No store is made for what turns out not to be sound.
            opened = [stack.enter_context(open_source(one, timeout=timeout)) for one in paths]
        check_bound(whose, bound, backbone)
        if bound.nonnegative is None and (card := _card_of(bound)) is not None:
            bound = bound._replace(nonnegative=card.nonnegative)
        with Store.open(store, **bound._asdict(), timeout=timeout) as into:
            change = into.merge(opened, timeout=timeout)
    return MergeReport(added=change.came, removed=change.went)


def paths_of(others: object) -> list[Path]:
    """The files that are to be merged, one or several.

    Raises:
        InputError: There is none, one is no path, or its name is empty.
    """
    if isinstance(others, (str, PathLike)) or not isinstance(others, Iterable):
        others = [others]
    paths = [as_path(one, "a store") for one in others]
    if not paths:
        raise InputError("There is nothing to merge. Give a store or an archive.")
    return paths


def check_bound(
    store: str | Path, bound: Identity, backbone: str | Path | ModelCard | None
) -> None:
    """Refuses a store of another backbone than is asked for; None asks for none.

    Raises:
        BackboneMismatchError: It was made with another.
        ModelNotFoundError: There is no card `backbone`.
    """
    # The store's own is known by its name, without a card.
    if backbone is None or backbone == bound.backbone:
        return
    card = backbone if isinstance(backbone, ModelCard) else find_card(backbone)
    if card.name != bound.backbone:
        raise BackboneMismatchError(
            f"{store} was made with backbone {bound.backbone!r}, not with {card.name!r}; "
            "ask for that one or for none, or choose another store."
        )


def _bound_like(other: str | Path, timeout: float) -> Identity:
    """The backbone that a store or an archive names, held against the cards that are here.

    Raises:
        StoreFormatError: It cannot be as it says.
    """
    from edgeinc.store.merging.shared import unsound
    from edgeinc.store.merging.sources import identify

    bound = identify(other, timeout=timeout)
    if not is_name(bound.backbone):
        raise unsound(str(other), f"{bound.backbone!r} is no name of a backbone")
    card = _card_of(bound)
    if card is not None and card.dim != bound.dim:
        words = f"it says {bound.dim} dimensions, and its backbone, {card.name}, has {card.dim}"
        raise unsound(str(other), words)
    # A card knows better than an archive.
    return bound if card is None else bound._replace(nonnegative=card.nonnegative)


def _card_of(bound: Identity) -> ModelCard | None:
    """The card with that fingerprint, where it is here."""
    return next((card for card in list_cards() if card.fingerprint == bound.fingerprint), None)
