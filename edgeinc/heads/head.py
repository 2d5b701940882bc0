"""A head that learns and forgets, in scikit-learn's words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgeinc.errors import InputError
from edgeinc.features import Background, Examples
from edgeinc.heads.base import Scorer
from edgeinc.heads.choice import NAMES, fit

__all__ = ["Head"]


class Head:
    """Exact sums and the head fitted to them; fitted anew when it is next asked.

    `partial_fit` and `forget` may come in any order and any batches: what counts is which
    examples are left. With no class at all every answer is None and has no column.

    Args of the constructor: the head's name (`auto`, `proto`, `ridge`, `lda`, `knn`); the length
    of a feature, taken from the first examples when it is not given; the backbone's background.

    >>> from edgeinc.features import to_features
    >>> head = Head("proto")
    >>> x = to_features(np.array([[9, 1], [1, 9]], np.uint8), nonnegative=True)
    >>> head.partial_fit(x, ["left", "right"]).predict(x[:1]).tolist()
    ['left']
    >>> head.forget(x[:1], ["left"]).predict(x[:1]).tolist()
    ['right']
    """

    def __init__(
        self, name: str = "auto", dim: int | None = None, background: Background | None = None
    ) -> None:
        """Start with no class; raises InputError when no head has that name."""
        if name not in NAMES:
            raise InputError(f"There is no head {name!r}; choose one of {', '.join(NAMES)}.")
        self.name = name
        self.background = background
        self.examples = None if dim is None else Examples(dim)
        self._scorer: Scorer | None = None

    def __getstate__(self) -> dict[str, object]:
        """What a copy or a pickle takes along: what was learned, not what is fitted to it."""
        return {**self.__dict__, "_scorer": None}

    @property
    def classes_(self) -> NDArray[np.object_]:
        """`(C,)` labels in canonical order, the columns of all answers."""
        labels = () if self.examples is None else self.examples.labels
        return np.array(labels, dtype=object)

    @property
    def scorer(self) -> Scorer:
        """The fitted head; raises InputError before the length of a feature is known."""
        if self.examples is None:
            raise InputError("The length of a feature is not known; give `dim` or examples first.")
        if self._scorer is None:
            self._scorer = fit(self.name, self.examples.snapshot(), self.background)
        return self._scorer

    def partial_fit(self, features: NDArray[np.int16], y: Iterable[str]) -> Head:
        """Learn `(n, d)` int16 features with their n labels; returns itself.

        Raises:
            InputError: The shapes or types are not those.
        """
        labels = checked(features, y)
        if self.examples is None:
            self.examples = Examples(features.shape[1])
        for label, rows in groups(labels):
            self.examples.add(label, features[rows])
        self._scorer = None
        return self

    def forget(self, features: NDArray[np.int16], y: Iterable[str]) -> Head:
        """Take examples that were learned out of every sum; returns itself.

        Raises:
            LabelNotFoundError: A class has no examples.
            SampleNotFoundError: A row is not among its class's examples; nothing is forgotten.
            InputError: As for `partial_fit`.
        """
        labels = checked(features, y)
        if self.examples is None:
            self.examples = Examples(features.shape[1])
        done: list[tuple[str, NDArray[np.int16]]] = []
        try:
            for label, rows in groups(labels):
                self.examples.remove(label, features[rows])
                done.append((label, features[rows]))
        except LookupError:
            for label, taken in done:
                self.examples.add(label, taken)
            raise
        self._scorer = None
        return self

    def merge(self, other: Head) -> Head:
        """Learn all that another head of the same backbone has learned; returns itself.

        Raises:
            InputError: The features differ in length.
        """
        if other.examples is not None:
            if self.examples is None:
                self.examples = Examples(other.examples.dim)
            self.examples.merge(other.examples)
        self._scorer = None
        return self

    def decision_function(self, features: NDArray[np.int16]) -> NDArray[np.float32]:
        """Scores `(n, C)` float32, higher is better, also for two classes."""
        if not len(self.classes_):
            return np.zeros((len(features), 0), np.float32)
        return self.scorer.scores(features)

    def predict_proba(self, features: NDArray[np.int16]) -> NDArray[np.float64]:
        """Probabilities `(n, C)` float64; rows add up to 1 unless there is no class."""
        scores = self.decision_function(features).astype(np.float64)
        if not scores.shape[1]:
            return scores
        scores -= scores.max(axis=1, keepdims=True)
        chances: NDArray[np.float64] = np.exp(scores / self.scorer.temperature)
        chances /= chances.sum(axis=1, keepdims=True)
        return chances

    def predict(self, features: NDArray[np.int16]) -> NDArray[np.object_]:
        """The best label `(n,)` of each row; None when there is no class."""
        scores = self.decision_function(features)
        if not scores.shape[1]:
            return np.full(len(features), None, dtype=object)
        best: NDArray[np.object_] = self.classes_[scores.argmax(axis=1)]
        return best


def checked(features: NDArray[np.int16], y: Iterable[str]) -> list[str]:
    """The labels as a list, one for each row of a two-dimensional array."""
    labels = list(y)
    if features.ndim != 2 or len(features) != len(labels):
        raise InputError(
            f"{len(labels)} labels for features of shape {features.shape}; give an (n, d) array "
            "and n labels."
        )
    return labels


def groups(labels: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Each label with its positions."""
    found: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        found.setdefault(label, []).append(i)
    return list(found.items())
