"""Opening a backbone and the store that is bound to it, both or neither."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from edgeinc.backbone import Backbone
from edgeinc.cards import ModelCard
from edgeinc.engine.memory import Memory
from edgeinc.learner import Learner
from edgeinc.store import Store, peek
from edgeinc.weights import load_background

__all__ = ["DEFAULT_BACKBONE", "choose_backbone", "open_parts"]

DEFAULT_BACKBONE = "pebble"


def choose_backbone(store: str | Path) -> str:
    """The name of the backbone that a store is bound to; the embedded one's for a new store."""
    bound = peek(store)
    return DEFAULT_BACKBONE if bound is None else bound.backbone


def open_parts(
    store: str | Path,
    backbone: str | Path | ModelCard | Backbone | None,
    *,
    head: str,
    device: str,
    strict: bool,
    threads: int | None,
) -> tuple[Backbone, Memory]:
    """Opens what an engine joins; arguments and errors are those of `Engine.open`."""
    with ExitStack() as undo:
        # What was opened is closed again if a later step fails.
        if not isinstance(backbone, Backbone):
            card = choose_backbone(store) if backbone is None else backbone
            backbone = Backbone.open(card, device=device, strict=strict, threads=threads)
            undo.callback(backbone.close)
        card = backbone.card
        learner = Learner(card.dim, head=head, background=load_background(card))
        undo.callback(learner.close)
        opened = Store.open(store, backbone=card.name, fingerprint=card.fingerprint, dim=card.dim)
        undo.callback(opened.close)
        memory = Memory(opened, learner, nonnegative=card.nonnegative)
        undo.pop_all()
    return backbone, memory
