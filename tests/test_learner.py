"""The learner: exact statistics, and a head that follows them in the background."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinc.errors import InputError
from edgeinc.features import Examples, gram, pending, to_features
from edgeinc.learner import Group, Learner
from tests.marks import key, marks

DIM = 48
CENTRES = np.random.default_rng(7).integers(0, 256, (8, DIM))


def rows(c: int, n: int, seed: int = 0) -> NDArray[np.int16]:
    rng = np.random.default_rng((c, seed))
    noisy = np.clip(CENTRES[c] + rng.normal(0, 20, (n, DIM)), 0, 255).astype(np.uint8)
    return to_features(noisy, nonnegative=True)


def group(c: int, n: int, seed: int = 0) -> Group:
    features = rows(c, n, seed)
    return f"class {c}", features, marks(features, [f"{c}-{i}" for i in range(n)])


def examples(groups: Iterable[Group]) -> Examples:
    made = Examples(DIM)
    for label, features, names in groups:
        made.add(label, features, names)
    return made


@pytest.fixture(params=["auto", "proto", "ridge", "lda", "knn"])
def learner(request: pytest.FixtureRequest) -> Iterator[Learner]:
    made = Learner(DIM, head=request.param)
    yield made
    made.close()


def answer(learner: Learner, c: int) -> str:
    ranking = learner.rank(rows(c, 1, seed=99))
    return ranking.labels[int(ranking.probabilities.argmax())]


def test_nothing_learned_ranks_nothing(learner: Learner) -> None:
    ranking = learner.rank(rows(0, 1))
    assert ranking.labels == ()
    assert len(ranking.probabilities) == 0
    assert learner.nearest(rows(0, 1), 3) == []


def test_a_new_class_is_known_at_the_next_ranking_even_before_the_refit(learner: Learner) -> None:
    learner.replace(examples([group(c, 5) for c in range(3)]))
    assert [answer(learner, c) for c in range(3)] == ["class 0", "class 1", "class 2"]
    # The background fit is held back, so that it is the class's mean that answers.
    held = threading.Event()
    learner._worker.submit(held.wait)
    try:
        learner.update([group(3, 1)], [])
        assert [answer(learner, c) for c in range(4)] == [f"class {c}" for c in range(4)]
        learner.update([], [group(0, 5)])
        assert "class 0" not in learner.rank(rows(0, 1, seed=99)).labels
        assert answer(learner, 1) == "class 1"
        ranking = learner.rank(rows(1, 1, seed=99))
        assert ranking.probabilities.sum() == pytest.approx(1, abs=1e-5)
    finally:
        held.set()
    learner.flush()
    assert learner.fitted().scorer.labels == ("class 1", "class 2", "class 3")


def test_a_fit_that_ends_during_a_ranking_hides_no_class(
    learner: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner.replace(examples([group(c, 5) for c in range(3)]))
    learner.rank(rows(0, 1))
    held = threading.Event()
    learner._worker.submit(held.wait)
    learner.update([group(3, 5)], [])

    def end_the_fit() -> None:
        held.set()
        learner.flush()

    # The ranking has begun with the former head by then.
    monkeypatch.setattr(learner, "_look_after", end_the_fit)
    assert answer(learner, 3) == "class 3"


def test_after_any_history_it_ranks_as_a_fresh_one(learner: Learner) -> None:
    learner.replace(examples([group(c, 4) for c in range(5)]))
    learner.rank(rows(0, 1))
    learner.update([group(5, 3)], [group(1, 4)])
    learner.update([group(1, 4)], [])
    learner.update([], [group(4, 4)])
    learner.flush()
    fresh = Learner(DIM, head=learner._head)
    fresh.replace(examples([group(c, n) for c, n in ((5, 3), (3, 4), (2, 4), (1, 4), (0, 4))]))
    for c in range(6):
        ours, theirs = learner.rank(rows(c, 1, seed=5)), fresh.rank(rows(c, 1, seed=5))
        assert ours.labels == theirs.labels
        assert ours.probabilities.tobytes() == theirs.probabilities.tobytes()
        assert (ours.familiarity, ours.threshold) == (theirs.familiarity, theirs.threshold)
    fresh.close()


def test_nearest_gives_keys_and_cosines(learner: Learner) -> None:
    learner.replace(examples([group(c, 5) for c in range(3)]))
    found = learner.nearest(rows(2, 5)[3:4], 4)
    assert found[0][0] == key("2-3")
    assert found[0][1] == pytest.approx(1, abs=1e-3)
    assert {name for name, _ in found} <= {key(f"2-{i}") for i in range(5)}
    assert [c for _, c in found] == sorted((c for _, c in found), reverse=True)
    assert len(learner.nearest(rows(0, 1), 100)) == 15


def test_no_head_is_fitted_before_somebody_asks() -> None:
    learner = Learner(DIM)
    learner.replace(examples([group(0, 5)]))
    learner.update([group(1, 5)], [])
    assert learner._fitted is None
    learner.close()


def test_ranking_and_learning_from_several_threads() -> None:
    learner = Learner(DIM, head="ridge")
    learner.replace(examples([group(0, 5), group(1, 5)]))
    wrong: list[str] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            if (said := answer(learner, 0)) != "class 0":
                wrong.append(said)

    watchers = [threading.Thread(target=look) for _ in range(3)]
    for watcher in watchers:
        watcher.start()
    for c in range(2, 8):
        learner.update([group(c, 3)], [])
    learner.flush()
    stop.set()
    for watcher in watchers:
        watcher.join()
    assert wrong == []
    assert [answer(learner, c) for c in range(8)] == [f"class {c}" for c in range(8)]
    learner.close()


@pytest.mark.parametrize("head", ["proto", "ridge"])
def test_whoever_learns_multiplies_nothing(head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A product of many rows under the learner's lock would stop predictions for seconds."""
    working: list[str] = []
    real = gram.accumulate

    def noting(total: NDArray[np.float64], some: NDArray[np.int16], sign: int) -> None:
        working.append(threading.current_thread().name)
        real(total, some, sign)

    monkeypatch.setattr(pending, "MOST", 32)
    monkeypatch.setattr(gram, "SETTLED", 8)
    learner = Learner(DIM, head=head)
    learner.replace(examples([group(c, 40) for c in range(3)]))
    learner.rank(rows(0, 1))
    _ = learner.snapshot().gram
    monkeypatch.setattr(gram, "accumulate", noting)
    for i in range(100):
        learner.update([group(3 + i % 5, 1, seed=i)], [])
        if i % 10 == 9:
            learner.flush()
    # The Gram was worked on in the background, and so it is known to but a few rows.
    assert threading.current_thread().name not in working
    assert len(working) >= 5
    snapshot = learner.snapshot()
    wide = snapshot.rows.astype(np.int64)
    assert np.array_equal(snapshot.gram, wide.T @ wide)
    learner.close()


def test_after_closing_it_answers_and_learns_but_fits_nothing_unasked() -> None:
    learner = Learner(DIM, head="proto")
    learner.replace(examples([group(c, 5) for c in range(2)]))
    learner.rank(rows(0, 1))
    learner.close()
    learner.update([group(2, 5)], [])
    assert answer(learner, 2) == "class 2"
    learner.flush()
    assert learner.fitted().scorer.labels == ("class 0", "class 1", "class 2")


def test_an_unknown_head_is_refused() -> None:
    with pytest.raises(InputError, match="ridge"):
        Learner(DIM, head="svm")


def test_a_late_fit_does_not_undo_a_newer_one() -> None:
    learner = Learner(DIM, head="ridge")
    learner.replace(examples([group(c, 20) for c in range(3)]))
    learner.rank(rows(0, 1))
    for c in range(3, 8):
        learner.update([group(c, 20)], [])
        # Fitted here and in the background at once, as `classes` and `export` do.
        assert learner.fitted().scorer.labels == tuple(f"class {k}" for k in range(c + 1))
        learner.flush()
        assert learner.fitted().scorer.labels == learner.rank(rows(0, 1)).labels
    learner.close()
    assert learner.rank(rows(7, 1, seed=99)).labels == tuple(f"class {k}" for k in range(8))


@pytest.mark.parametrize("head", ["auto", "proto", "ridge", "lda", "knn"])
def test_no_nan_when_the_winning_class_goes(head: str) -> None:
    """A head that is sure leaves the other classes probabilities that underflow to zero."""
    rng = np.random.default_rng(0)
    learner = Learner(DIM, head=head)
    bands = np.repeat(np.eye(3), DIM // 3, axis=1)
    data = {
        f"class {c}": to_features(
            (200 * bands[c] + rng.integers(0, 4, (60, DIM))).astype(np.uint8), nonnegative=True
        )
        for c in range(3)
    }
    learner.replace(
        examples([(label, x, marks(x, [str(i) for i in range(60)])) for label, x in data.items()])
    )
    query = data["class 0"][:1]
    learner.rank(query)
    held = threading.Event()
    learner._worker.submit(held.wait)
    try:
        gone = data["class 0"]
        learner.update([], [("class 0", gone, marks(gone, [str(i) for i in range(60)]))])
        ranking = learner.rank(query)
        assert ranking.labels == ("class 1", "class 2")
        assert np.isfinite(ranking.probabilities).all()
        assert ranking.probabilities.sum() == pytest.approx(1, abs=1e-5)
    finally:
        held.set()
        learner.close()
