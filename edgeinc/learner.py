"""What is learned: exact statistics of the enrolled examples, and the head fitted to them.

The statistics follow every change at once; the head is fitted to a snapshot of them. The
first ranking fits it there and then; later changes are caught up with in the background,
and until then a class that the fitted head has not seen is recognised by its mean.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeinc.decision import Ranking, softmax
from edgeinc.errors import InputError
from edgeinc.features import Background, Examples, Snapshot
from edgeinc.heads import NAMES, ClassSimilarity, Knn, Scorer, class_similarity, fit

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ["Fitted", "Group", "Learner"]

Features = NDArray[np.int16]
Group = tuple[str, Features, Sequence[str]]
"""Label, (n, d) features, and the n keys of the examples."""


class Fitted(NamedTuple):
    """A head and what goes with it, all of one snapshot; `version` tells which."""

    version: int
    snapshot: Snapshot
    scorer: Scorer
    similarity: ClassSimilarity


class Learner:
    """Examples and their head. Threads may share one.

    Args:
        dim: Length of a feature.
        head: `auto`, `proto`, `ridge`, `lda` or `knn`.
        background: The backbone's background statistics, where its card has them.

    Raises:
        InputError: There is no such head.
    """

    def __init__(
        self, dim: int, *, head: str = "auto", background: Background | None = None
    ) -> None:
        if head not in NAMES:
            raise InputError(f"There is no head {head!r}; choose one of {', '.join(NAMES)}.")
        self._head = head
        self._background = background
        self._lock = threading.Lock()
        # Held for a fit. Two at once would be work done twice, and the one that ends last
        # may be of the older examples.
        self._fitting = threading.Lock()
        self._examples = Examples(dim)
        self._version = 0
        self._fitted: Fitted | None = None
        self._means: tuple[int, ClassSimilarity] | None = None
        self._look_up: tuple[int, Knn] | None = None
        self._worker: ThreadPoolExecutor | None = None
        self._refit: Future[None] | None = None

    def replace(self, groups: Iterable[Group]) -> None:
        """Starts afresh from (label, features, keys) groups."""
        examples = Examples(self._examples.dim)
        for label, features, keys in groups:
            examples.add(label, features, keys)
        with self._lock:
            self._examples = examples
            self._changed()

    def update(
        self,
        added: Iterable[Group],
        removed: Iterable[Group],
    ) -> None:
        """Follows a committed change: groups that came and groups that went."""
        with self._lock:
            for label, features, keys in removed:
                self._examples.remove(label, features, keys)
            for label, features, keys in added:
                self._examples.add(label, features, keys)
            self._changed()

    def rank(self, features: Features) -> Ranking:
        """Ranks the classes for one picture.

        Args:
            features: (1, d) int16.
        """
        fitted = self._fitted or self.fitted()
        if fitted.version != self._version:
            refit = self._refit
            if refit is not None and refit.done():
                # Nothing that went wrong in the background is passed over.
                refit.result()
            means = self._current_means()
            if means.proto.labels != fitted.scorer.labels:
                return _in_between(fitted, means, features)
        probabilities = _probabilities(fitted.scorer, features)
        return _ranking(fitted.scorer.labels, probabilities, fitted.similarity, features)

    def nearest(self, features: Features, k: int) -> list[tuple[str, float]]:
        """The k nearest examples of one picture.

        Args:
            features: (1, d) int16.
            k: How many at most.

        Returns:
            (key, cosine) pairs, best first.
        """
        with self._lock:
            if self._look_up is None or self._look_up[0] != self._version:
                snapshot = self._examples.snapshot()
                self._look_up = (self._version, Knn(snapshot))
            knn = self._look_up[1]
        return knn.nearest(features, k)

    def fitted(self) -> Fitted:
        """The head fitted to the present examples, with the snapshot that it was fitted to."""
        return self._catch_up()

    def counts(self) -> dict[str, int]:
        """Examples of each class, by label."""
        with self._lock:
            return {label: self._examples.count(label) for label in self._examples.labels}

    def flush(self) -> None:
        """Waits until the head has caught up; raises what the background fit raised."""
        refit = self._refit
        if refit is not None:
            refit.result()

    def close(self) -> None:
        """Ends the background thread after the fit that it is at."""
        if self._worker is not None:
            self._worker.shutdown(wait=True)

    def _changed(self) -> None:
        """Notes a change; the lock is held."""
        self._version += 1
        # Before the first ranking nobody has asked for a head: an enrolment in a process of
        # its own does not pay for one.
        if self._fitted is not None and (self._refit is None or self._refit.done()):
            self._refit = self._background_worker().submit(self._work)

    def _background_worker(self) -> ThreadPoolExecutor:
        """The one thread that refits; begun when there is something for it to do."""
        if self._worker is None:
            from concurrent.futures import ThreadPoolExecutor

            self._worker = ThreadPoolExecutor(1, thread_name_prefix="edgeinc-refit")
        return self._worker

    def _work(self) -> None:
        """Catches up, and ends only when no change has come since; for the worker's thread."""
        while True:
            fitted = self._catch_up()
            with self._lock:
                if fitted.version == self._version:
                    self._refit = None
                    return

    def _catch_up(self) -> Fitted:
        """Fits the head to the present examples, unless it is; returns it."""
        with self._fitting:
            with self._lock:
                version, fitted = self._version, self._fitted
                if fitted is not None and fitted.version == version:
                    return fitted
                snapshot = self._examples.snapshot()
            scorer = fit(self._head, snapshot, self._background)
            similarity = class_similarity(snapshot, self._background)
            # Both are worked out when first asked for: here rather than at a prediction.
            _ = scorer.temperature, similarity.thresholds
            fitted = self._fitted = Fitted(version, snapshot, scorer, similarity)
            return fitted

    def _current_means(self) -> ClassSimilarity:
        with self._lock:
            if self._means is None or self._means[0] != self._version:
                snapshot = self._examples.snapshot()
                self._means = (self._version, class_similarity(snapshot, self._background))
            return self._means[1]


def _probabilities(scorer: Scorer, features: Features) -> NDArray[np.float32]:
    if not scorer.labels:
        return np.zeros(0, np.float32)
    return softmax(scorer.scores(features)[0], scorer.temperature)


def _ranking(
    labels: tuple[str, ...],
    probabilities: NDArray[np.float32],
    similarity: ClassSimilarity,
    features: Features,
) -> Ranking:
    """Adds to the probabilities whether the most probable class is close enough to count.

    `similarity` holds each of the labels, and maybe others.
    """
    if not labels:
        return Ranking((), probabilities, 0.0, 0.0)
    best = labels[int(probabilities.argmax())]
    proto = similarity.proto
    return Ranking(
        labels,
        probabilities,
        proto.similarity(features, best),
        float(similarity.thresholds[proto.column[best]]),
    )


def _in_between(fitted: Fitted, means: ClassSimilarity, features: Features) -> Ranking:
    """Ranks while classes have come or gone since the head was fitted.

    A class that the head has not seen wins where its mean is the nearest of all; otherwise
    the head decides among its classes that are still there.
    """
    proto = means.proto
    known = fitted.scorer.labels
    by_mean = _probabilities(proto, features)
    still = [i for i, label in enumerate(known) if label in proto.column]
    if not still or proto.labels[int(by_mean.argmax())] not in fitted.similarity.proto.column:
        return _ranking(proto.labels, by_mean, means, features)
    # Of the scores, not of the probabilities: those of the classes that are left may all be 0.
    scores = fitted.scorer.scores(features)[0][still]
    probabilities = softmax(scores, fitted.scorer.temperature)
    return _ranking(tuple(known[i] for i in still), probabilities, means, features)
