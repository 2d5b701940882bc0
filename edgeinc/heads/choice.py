"""One head by name, or the one that its own examples speak for."""

from __future__ import annotations

from edgeinc.errors import InputError
from edgeinc.features import Background, Snapshot
from edgeinc.heads.base import Scorer
from edgeinc.heads.knn import Knn
from edgeinc.heads.lda import Lda
from edgeinc.heads.proto import Proto
from edgeinc.heads.ridge import Ridge

NAMES = ("auto", "proto", "ridge", "lda", "knn")

HEADS: dict[str, type[Proto] | type[Ridge] | type[Lda] | type[Knn]] = {
    "proto": Proto,
    "ridge": Ridge,
    "lda": Lda,
    "knn": Knn,
}


def fit(name: str, snapshot: Snapshot, background: Background | None = None) -> Scorer:
    """Fit a head.

    Args:
        name: `proto`, `ridge`, `lda`, `knn`, or `auto` for the one that does best on its own
            examples, each left out in turn; the result's `name` tells which.
        snapshot: The examples; none and a single class are fine.
        background: The backbone's, where it has one.

    Raises:
        InputError: No head has that name.
    """
    if name not in NAMES:
        raise InputError(f"There is no head {name!r}; choose one of {', '.join(NAMES)}.")
    if name == "auto":
        return Ridge(snapshot, background)
    return HEADS[name](snapshot, background)
