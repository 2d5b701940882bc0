"""The heads as a scikit-learn estimator, for pipelines, searches and comparisons.

scikit-learn is no dependency of edgeinc; this module is for those who have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinc.errors import RuntimeUnavailableError
from edgeinc.features import to_features
from edgeinc.heads import Head

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as exc:
    raise RuntimeUnavailableError(
        "scikit-learn is not installed; run `pip install 'scikit-learn>=1.6'` to use its adapter."
    ) from exc

__all__ = ["HeadClassifier"]

FULL = 32767


class HeadClassifier(ClassifierMixin, BaseEstimator):
    """A head on real-valued rows.

    Each row is brought to 16-bit fixed point by its own largest value, as the embeddings of a
    float backbone are; nothing is learned from the data on the way, so that `partial_fit` and
    `forget` stay exact.

    Args of the constructor: `head`, its name; `nonnegative`, True for rows without negative
    values (their square root is taken, which suits pooled activations); `constant`, a value
    appended to each row so that its length counts and not only its direction (0 for none).

    Attributes:
        classes_: `(C,)` labels seen, sorted.
        n_features_in_: Length of a row.

    >>> model = HeadClassifier().fit([[0.0], [1.0], [8.0], [9.0]], [0, 0, 1, 1])
    >>> model.predict([[0.5], [8.5]])
    array([0, 1])
    """

    def __init__(
        self, head: str = "auto", *, nonnegative: bool = False, constant: float = 1.0
    ) -> None:
        self.head = head
        self.nonnegative = nonnegative
        self.constant = constant

    def fit(self, X: Any, y: Any) -> HeadClassifier:
        """Learn `(n, d)` rows with their n labels, and forget whatever was known before."""
        return self._learn(X, y, None, first=True)

    def partial_fit(
        self,
        X: Any,
        y: Any,
        classes: Any = None,
    ) -> HeadClassifier:
        """Learn more rows; new labels may come at any time, so `classes` is not needed."""
        return self._learn(X, y, classes, first=not hasattr(self, "head_"))

    def forget(self, X: Any, y: Any) -> HeadClassifier:
        """Take rows that were learned out again, exactly."""
        check_is_fitted(self)
        X, y = validate_data(self, X, y, reset=False)
        self.head_.forget(self._features(X), [str(label) for label in y])
        return self

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Scores `(n, C)`; `(n,)` for two classes, positive for the second."""
        scores = self._columns(X, "decision_function", -np.inf)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities `(n, C)`."""
        return self._columns(X, "predict_proba", 0.0)

    def predict(self, X: Any) -> NDArray[Any]:
        """Labels `(n,)`."""
        scores = self._columns(X, "decision_function", -np.inf)
        return np.asarray(self.classes_[scores.argmax(axis=1)])

    def _learn(
        self, X: Any, y: Any, classes: Sequence[Any] | None, *, first: bool
    ) -> HeadClassifier:
        X, y = validate_data(self, X, y, reset=first)
        check_classification_targets(y)
        if first:
            self.head_ = Head(self.head)
            self.classes_ = np.unique(y)
        known = [self.classes_, y] if classes is None else [self.classes_, y, np.asarray(classes)]
        self.classes_ = np.unique(np.concatenate(known))
        self.head_.partial_fit(self._features(X), [str(label) for label in y])
        return self

    def _columns(self, X: Any, method: str, absent: float) -> NDArray[np.float64]:
        """A head's answers, columns in the order of `classes_`; `absent` without examples."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        answer = getattr(self.head_, method)
        # One row at a time: a batch of another size is rounded differently in the last digits.
        answers = [answer(row[np.newaxis])[0] for row in self._features(X)]
        result = np.full((len(X), len(self.classes_)), absent)
        at = {label: i for i, label in enumerate(self.head_.classes_)}
        for column, label in enumerate(self.classes_):
            if str(label) in at:
                result[:, column] = [row[at[str(label)]] for row in answers]
        return result

    def _features(self, rows: NDArray[Any]) -> NDArray[np.int16]:
        wide = rows.astype(np.float64)
        if self.constant:
            wide = np.column_stack([wide, np.full(len(wide), float(self.constant))])
        largest = np.abs(wide).max(axis=1, keepdims=True)
        wide = wide / np.where(largest > 0, largest, 1.0) * FULL
        return to_features(np.rint(wide).astype(np.int16), nonnegative=self.nonnegative)
