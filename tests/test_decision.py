"""From scores to an answer."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinc.decision import Ranking, decide, softmax


def ranking(values: list[float], familiarity: float = 1.0, threshold: float = 0.5) -> Ranking:
    labels = tuple(f"c{i}" for i in range(len(values)))
    return Ranking(labels, np.array(values, np.float32), familiarity, threshold)


def test_softmax_is_a_probability_and_survives_large_scores() -> None:
    p = softmax(np.array([1e4, 1e4, -1e4], np.float32), 0.1)
    assert p.dtype == np.float32
    assert p.tolist() == pytest.approx([0.5, 0.5, 0.0])


def test_nothing_enrolled_is_unknown() -> None:
    decision = decide(ranking([]))
    assert decision.label is None
    assert not decision.known
    assert decision.candidates == ()
    assert decision.score == 0.0


def test_five_candidates_best_first_ties_in_order_of_labels() -> None:
    decision = decide(ranking([0.1, 0.25, 0.05, 0.25, 0.2, 0.1, 0.05]))
    assert [c.label for c in decision.candidates] == ["c1", "c3", "c4", "c0", "c5"]
    assert decision.label == "c1"
    assert decision.score == pytest.approx(0.25)
    assert not any(c.base for c in decision.candidates)


def test_a_stranger_keeps_its_candidates() -> None:
    decision = decide(ranking([0.3, 0.7], familiarity=0.49))
    assert decision.label is None
    assert not decision.known
    assert decision.candidates[0].label == "c1"
    assert decide(ranking([0.3, 0.7], familiarity=0.5)).known


def test_many_classes_are_ranked_as_few_are() -> None:
    values = np.round(np.random.default_rng(3).random(3000), 2)
    decision = decide(ranking(values.tolist()))
    # Rounded, so that there are equals; they go in order of the labels.
    expected = sorted(range(3000), key=lambda i: (-np.float32(values[i]), i))[:5]
    assert [c.label for c in decision.candidates] == [f"c{i}" for i in expected]
