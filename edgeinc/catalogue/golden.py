"""Golden embeddings: drawn parts, and what a card's network made of them when it was made."""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeinc.cards import ModelCard, ModelFile
from edgeinc.errors import CardError

__all__ = ["Golden", "read_golden", "scale_of"]


class Golden(NamedTuple):
    """What lies beside a card as `NAME.golden.json`.

    Attributes:
        name: The file.
        parts: Kind and seed of each drawn part.
        seen: Sha256 of each picture's pixels, in hex.
        integers: `(n, d)` uint8, `q - zero_point` of the file that gave them.
        scale: Real values are so many times the integers: another file may have another.
    """

    name: str
    parts: tuple[tuple[str, int], ...]
    seen: tuple[str, ...]
    integers: NDArray[np.uint8]
    scale: float


def read_golden(card: ModelCard) -> Golden | None:
    """The golden embeddings of a card; None where none lie beside it.

    Raises:
        CardError: They cannot be read, are not of one scale, or not of this card's dimension.
    """
    if card.folder is None:
        return None
    path = card.folder / f"{card.name}.golden.json"
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        golden = Golden(
            path.name,
            tuple((str(row["kind"]), int(row["seed"])) for row in rows),
            tuple(str(row["picture"]) for row in rows),
            np.array([list(bytes.fromhex(row["embedding"])) for row in rows], np.uint8),
            _scale({float(row["scale"]) for row in rows}),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError) as exc:
        raise CardError(f"{path} holds no golden embeddings ({exc}); delete it.") from exc
    if golden.integers.shape[1:] != (card.dim,):
        raise CardError(f"{path} is not for {card.dim} dimensions; delete it.")
    return golden


def _scale(scales: set[float]) -> float:
    """The one scale that all have.

    Raises:
        ValueError: They have several, or none that a quantisation could have.
    """
    (scale,) = scales
    if not 0 < scale < math.inf:
        raise ValueError(f"scale {scale:g}")
    return scale


def scale_of(file: ModelFile) -> float:
    """The step of a file's embedding; 0 for floats."""
    quantization = file.embedding.quantization
    return 0.0 if quantization is None else quantization.scale
