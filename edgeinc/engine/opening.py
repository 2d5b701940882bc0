"""Opening a backbone and the store that is bound to it, both or neither."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from edgeinc.backbone import Backbone
from edgeinc.cards import ModelCard, is_name
from edgeinc.devices import AskedDevice
from edgeinc.engine.memory import Memory
from edgeinc.errors import ModelNotFoundError
from edgeinc.images import VIEWS
from edgeinc.learner import Learner
from edgeinc.store import Store, peek
from edgeinc.weights import find_card, load_background

if TYPE_CHECKING:
    from edgeinc.engine.beside import Beside

__all__ = ["DEFAULT_BACKBONE", "choose_backbone", "open_parts"]

DEFAULT_BACKBONE = "pebble"


def choose_backbone(store: str | Path) -> ModelCard:
    """The card of the backbone that a store is bound to; the embedded one's for a new store.

    Raises:
        ModelNotFoundError: It is not here.
        StoreError: The store cannot be read.
    """
    bound = peek(store)
    if bound is None:
        return find_card(DEFAULT_BACKBONE)
    try:
        if is_name(bound.backbone):
            return find_card(bound.backbone)
        absent = None
    except ModelNotFoundError as exc:
        absent = exc
    raise ModelNotFoundError(
        f"{store} was made with backbone {bound.backbone!r}, which is not here; add its card, or "
        "name one with --backbone."
    ) from absent


def open_parts(
    store: str | Path,
    backbone: str | Path | ModelCard | Backbone | None,
    *,
    head: str,
    device: AskedDevice,
    strict: bool,
    threads: int | None,
    base_classes: bool,
    tta: bool,
) -> tuple[Backbone, Memory, Beside | None]:
    """Opens what an engine joins; arguments and errors are those of `Engine.open`."""
    with ExitStack() as undo:
        # What was opened is closed again if a later step fails.
        if not isinstance(backbone, Backbone):
            card = choose_backbone(store) if backbone is None else backbone
            backbone = Backbone.open(card, device=device, strict=strict, threads=threads)
            undo.callback(backbone.close)
        if tta:
            backbone.views = VIEWS
        card = backbone.card
        own = None
        if base_classes:
            # Few ask for them. Before the store, which need not be made where there are none.
            from edgeinc.classifier import load_classifier

            own = load_classifier(card, backbone.file_name)
        learner = Learner(card.dim, head=head, background=load_background(card))
        undo.callback(learner.close)
        opened = Store.open(
            store,
            backbone=card.name,
            fingerprint=card.fingerprint,
            dim=card.dim,
            nonnegative=card.nonnegative,
        )
        undo.callback(opened.close)
        memory = Memory(opened, learner, nonnegative=card.nonnegative)
        undo.pop_all()
    if own is None:
        return backbone, memory, None
    from edgeinc.engine.beside import Beside

    return backbone, memory, Beside(own, memory, nonnegative=card.nonnegative)
