"""Measures of scores and probabilities, against counting and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinc.errors import InputError
from edgeinc.metrics import (
    BINS,
    ReliabilityBin,
    auroc,
    expected_calibration_error,
    false_positive_rate,
    reliability,
)


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of known and strange, coarse enough that many are equal."""
    rng = np.random.default_rng(seed)
    known = np.round(rng.normal(0.6, 0.2, rng.integers(1, 60)), 1)
    return known, np.round(rng.normal(0.4, 0.2, rng.integers(1, 60)), 1)


@pytest.mark.parametrize("seed", range(30))
def test_area_is_the_share_of_pairs_in_order(seed: int) -> None:
    known, strangers = drawn(seed)
    pairs = [(k > s) + 0.5 * (k == s) for k in known for s in strangers]
    assert auroc(known, strangers) == pytest.approx(np.mean(pairs), abs=1e-12)
    assert auroc(known, strangers) + auroc(strangers, known) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("recall", [0.01, 0.5, 0.95, 1.0])
def test_false_positives_at_a_recall_by_trying_every_threshold(seed: int, recall: float) -> None:
    known, strangers = drawn(seed)
    enough = [t for t in known if np.mean(known >= t) >= recall]
    assert false_positive_rate(known, strangers, recall=recall) == np.mean(strangers >= max(enough))


@pytest.mark.parametrize("seed", range(10))
def test_as_scikit_learn_has_it(seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    known, strangers = drawn(seed)
    truth = [1] * len(known) + [0] * len(strangers)
    scores = [*known, *strangers]
    assert auroc(known, strangers) == pytest.approx(metrics.roc_auc_score(truth, scores))
    positives, found, _ = metrics.roc_curve(truth, scores, drop_intermediate=False)[0:3]
    expected = positives[np.argmax(found >= 0.95)]
    assert false_positive_rate(known, strangers) == pytest.approx(expected)


def test_scores_need_not_be_finite() -> None:
    assert auroc([np.inf, 0.0], [-np.inf]) == 1.0
    assert auroc([0.0], [0.0]) == 0.5
    assert auroc([-np.inf], [-np.inf]) == 0.5
    assert false_positive_rate([-np.inf], [0.0]) == 1.0


@pytest.mark.parametrize("seed", range(20))
def test_calibration_error_by_counting(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 200))
    # Some lie on the edges of bins.
    p = np.where(rng.random(n) < 0.5, rng.random(n), rng.integers(0, BINS + 1, n) / BINS)
    right = rng.random(n) < p
    table = reliability(p, right)
    error = 0.0
    for i, row in enumerate(table):
        inside = (p > i / BINS) & (p <= (i + 1) / BINS) | ((p == 0) & (i == 0))
        assert row.answers == inside.sum()
        if inside.any():
            assert row.confidence == pytest.approx(p[inside].mean())
            assert row.accuracy == pytest.approx(right[inside].mean())
            error += inside.sum() / n * abs(p[inside].mean() - right[inside].mean())
    assert sum(row.answers for row in table) == n
    assert expected_calibration_error(table) == pytest.approx(error)


def test_bins_are_those_of_scikit_learn() -> None:
    calibration = pytest.importorskip("sklearn.calibration", reason="scikit-learn is not installed")
    rng = np.random.default_rng(0)
    p = rng.random(500)
    right = rng.random(500) < p**2
    accuracy, confidence = calibration.calibration_curve(right, p, n_bins=BINS)
    table = [row for row in reliability(p, right) if row.answers]
    assert [row.accuracy for row in table] == pytest.approx(accuracy.tolist())
    assert [row.confidence for row in table] == pytest.approx(confidence.tolist())


def test_single_precision_probabilities_are_taken() -> None:
    certain = np.ones(3, np.float32)
    assert reliability(certain, [True] * 3)[-1] == ReliabilityBin(3, 1.0, 1.0)
    assert expected_calibration_error(reliability(certain, [False] * 3)) == 1.0


def test_of_nothing_there_is_no_error() -> None:
    assert expected_calibration_error(reliability([], [])) == 0.0
    assert expected_calibration_error(()) == 0.0


@pytest.mark.parametrize(
    ("known", "strangers"),
    [([], [1.0]), ([1.0], []), ([np.nan], [1.0]), ([1.0], [np.nan]), ([[1.0]], [1.0])],
)
def test_scores_that_cannot_be_compared(known: list[float], strangers: list[float]) -> None:
    with pytest.raises(InputError, match="NaN"):
        auroc(known, strangers)
    with pytest.raises(InputError, match="NaN"):
        false_positive_rate(known, strangers)


@pytest.mark.parametrize("recall", [0.0, -1.0, 1.1, np.nan])
def test_a_recall_is_a_share(recall: float) -> None:
    with pytest.raises(InputError, match="share"):
        false_positive_rate([1.0], [0.0], recall=recall)


@pytest.mark.parametrize(
    ("probabilities", "right", "bins"),
    [
        ([0.5], [], 15),
        ([0.5], [True], 0),
        ([1.1], [True], 15),
        ([-0.1], [True], 15),
        ([np.nan], [True], 15),
        ([[0.5]], [[True]], 15),
    ],
)
def test_what_is_no_probability(probabilities: list[float], right: list[bool], bins: int) -> None:
    with pytest.raises(InputError):
        reliability(probabilities, right, bins=bins)
