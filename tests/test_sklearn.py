"""The heads under scikit-learn's own checks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn.utils.estimator_checks import parametrize_with_checks

from edgeinc.heads import NAMES
from edgeinc.sklearn import HeadClassifier


@parametrize_with_checks([HeadClassifier(name) for name in NAMES])
def test_scikit_learns_own_checks(
    estimator: HeadClassifier, check: Callable[[HeadClassifier], None]
) -> None:
    check(estimator)
