"""What finding the best of many classes costs, against a library for exact search."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Figure, paired
from edgeinc.features import Examples, to_features
from edgeinc.heads import Scorer, direction_of, fit

__all__ = ["against_faiss"]


def against_faiss(classes: int = 10_000, dim: int = 1024) -> Iterator[Figure]:
    """A feature to its scores at 10,000 classes, against faiss on the same prototypes."""
    try:
        import faiss
    except ImportError:
        yield Figure(
            f"head alone at {classes} classes, vs faiss.IndexFlatIP", "faiss-cpu is missing"
        )
        return
    rng = np.random.default_rng(0)
    examples = Examples(dim)
    features = to_features(rng.integers(0, 256, (classes, dim)).astype(np.uint8), nonnegative=True)
    for c in range(classes):
        examples.add(f"{c:05d}", features[c : c + 1])
    snapshot = examples.snapshot()
    index = faiss.IndexFlatIP(dim)
    index.add(np.stack([direction_of(1, row, None) for row in snapshot.sums]))
    query = features[:1].astype(np.float32)
    for head in ("proto", "ridge"):
        scorer = fit(head, snapshot)
        ours, theirs, ratio = paired(
            partial(_best, scorer, features[:1]), partial(index.search, query, 1), rounds=200
        )
        yield Figure(
            f"head alone, {head}, {classes} x {dim}, feature to best class, vs faiss.IndexFlatIP",
            f"{1e3 * ours:.2f} ms, {1e3 * theirs:.2f} ms; median of ratios {ratio:.2f}",
            "<= 1.0x",
            ratio <= 1.0,
        )


def _best(scorer: Scorer, features: NDArray[np.int16]) -> int:
    return int(scorer.scores(features)[0].argmax())
