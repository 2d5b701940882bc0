"""Few-shot accuracy of embeddings: a small ridge, as the SDK's head is, and episodes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def feature(embeddings: NDArray[np.generic]) -> Array:
    """Non-negative (n, d) -> square root, unit length."""
    x = np.sqrt(np.maximum(np.asarray(embeddings, np.float64), 0))
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12))


def ridge_scores(train: Array, labels: NDArray[np.int64], test: Array, lam: float = 0.1) -> Array:
    """(m, classes) scores of a ridge to one-hot on centred features, solved in the dual."""
    mean = train.mean(0)
    x, t = train - mean, test - mean
    onehot = np.eye(labels.max() + 1)[labels]
    solved = np.linalg.solve(x @ x.T + lam * np.eye(len(x)), onehot - onehot.mean(0))
    return np.asarray(t @ (x.T @ solved))


def episodes(
    features: Array,
    labels: NDArray[np.int64],
    *,
    ways: int,
    shots: int,
    queries: int,
    draws: int,
    seed: int = 0,
) -> tuple[float, float]:
    """Mean accuracy over random episodes and its 95 % half-width; `queries` a class (0: rest)."""
    rng = np.random.default_rng(seed)
    classes = np.unique(labels)
    where = {c: np.flatnonzero(labels == c) for c in classes}
    found = []
    for _ in range(draws):
        chosen = rng.permutation(classes)[:ways]
        order = [rng.permutation(where[c]) for c in chosen]
        train = np.concatenate([o[:shots] for o in order])
        tests = [o[shots : shots + queries] if queries else o[shots:] for o in order]
        scores = ridge_scores(
            features[train], np.repeat(np.arange(ways), shots), features[np.concatenate(tests)]
        )
        right = scores.argmax(1) == np.repeat(np.arange(ways), [len(t) for t in tests])
        sizes = np.cumsum([len(t) for t in tests])[:-1]
        found.append(np.mean([part.mean() for part in np.split(right, sizes)]))
    return float(np.mean(found)), float(1.96 * np.std(found) / np.sqrt(draws))
