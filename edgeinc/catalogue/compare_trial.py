"""Embedding pictures with one file on one device: the part that loads it, in a trial."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinc.backbone import Backbone
from edgeinc.cards import ModelCard
from edgeinc.errors import ImageError
from edgeinc.images import read_image
from edgeinc.parts import draw_part

__all__ = ["embed_shown"]


def embed_shown(
    card: ModelCard, device: str, paths: Sequence[str], parts: Sequence[tuple[str, int]]
) -> dict[str, Any]:
    """Embeds pictures with the one file of a card. This loads it: only in a trial.

    Args:
        card: With that file alone, and its folder.
        device: As in `Backbone.open`.
        paths: Pictures; those that cannot be read are passed over.
        parts: Kind and seed of parts that are drawn.

    Returns:
        `values`, the embeddings' real values `(n, dim)`, float32 of little end, in base64;
        `seen`, the sha256 of each picture's pixels; `device`, that really ran it; `share` of
        the operators that it ran, or None; `left`, the operators left to the CPU.

    Raises:
        DeviceError: It runs no part of the network.
        EdgeincError: As `Backbone.open` and `Backbone.activations`.
    """
    with Backbone.open(card, device=device, fallback=False, threads=1) as backbone:
        seen, rows = [], []
        for picture in _pictures(paths, parts):
            seen.append(hashlib.sha256(picture.tobytes()).hexdigest())
            rows.append(backbone.activations(picture).reshape(-1))
    if not rows:
        raise ImageError("None of the pictures can be read; give others.")
    return {
        "values": base64.b64encode(np.stack(rows).astype("<f4").tobytes()).decode(),
        "seen": seen,
        "device": backbone.device,
        "share": backbone.placement.nodes,
        "left": list(backbone.placement.left),
    }


def _pictures(
    paths: Sequence[str], parts: Sequence[tuple[str, int]]
) -> Iterator[NDArray[np.uint8]]:
    for path in paths:
        try:
            yield read_image(path)
        except ImageError:
            continue
    for kind, seed in parts:
        yield draw_part(kind, np.random.default_rng(seed))
