"""What is learned: exact statistics of the enrolled examples, and the head fitted to them.

The statistics follow every change at once; the head is fitted to a snapshot of them. The
first ranking fits it there and then; later changes are caught up with in the background,
and until then a class that the fitted head has not seen is recognised by its mean.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeinc.between import Moved, in_between, ranking
from edgeinc.decision import Ranking, overruled, softmax
from edgeinc.errors import InputError, NotFoundError, StoreError
from edgeinc.features import Background, Examples, Snapshot
from edgeinc.heads import NAMES, ClassSimilarity, Knn, Scorer, fit
from edgeinc.worker import Worker

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["Fitted", "Group", "Learner"]

Features = NDArray[np.int16]
Group = tuple[str, Features, Sequence[bytes]]
"""Label, (n, d) features, and the n marks of the examples."""

MOMENT = 0.01
"""Seconds before a fit in the background begins, so that whoever enrolled has his answer first."""
RETRY = 1.0
"""Seconds after which a fit that could not read the store is tried again."""


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

    Its `version` is another number after every change of the examples.

    Raises:
        InputError: There is no such head.
    """

    def __init__(
        self, dim: int, *, head: str = "auto", background: Background | None = None
    ) -> None:
        if head not in NAMES:
            raise InputError(f"There is no head {head!r}; choose one of {', '.join(NAMES)}.")
        self.dim = dim
        self._head = head
        self.background = background
        self.overrides: Mapping[str, float] = {}
        self._lock = threading.Lock()
        # Held for a fit. Two at once would be work done twice, and the one that ends last
        # may be of the older examples.
        self._fitting = threading.Lock()
        self._examples = Examples(dim)
        self.version = 0
        self._fitted: Fitted | None = None
        # Classes that came, changed or went since a fit was asked for; None before.
        self._moved: dict[str, Moved] | None = None
        self._looking = threading.Lock()
        self._look_up: tuple[int, Knn] | None = None
        self._worker = Worker("edgeinc-refit")
        self._refit: Future[object] | None = None
        self._failed = 0.0

    def replace(self, examples: Examples) -> None:
        """Starts afresh from examples, which belong to the learner from now on."""
        with self._lock:
            former, self._examples = self._examples, examples
            self.version += 1
            if self._moved is not None:
                self._note(former.differences(examples))
            self._changed()

    def update(
        self,
        added: Iterable[Group],
        removed: Iterable[Group],
    ) -> None:
        """Follows a committed change: groups that came and groups that went.

        Raises:
            NotFoundError: What went is not there; the learner is to be started afresh.
        """
        with self._lock:
            self.version += 1
            labels: set[str] = set()
            for label, features, marks in removed:
                self._examples.remove(label, features, marks)
                labels.add(label)
            for label, features, marks in added:
                self._examples.add(label, features, marks)
                labels.add(label)
            self._note(labels)
            self._changed()

    def rank(self, features: Features) -> Ranking:
        """Ranks the classes for one picture, (1, d) int16; what a person set overrules."""
        return overruled(self._rank(features), self.overrides)

    def _rank(self, features: Features) -> Ranking:
        fitted = self._fitted or self.fitted()
        if fitted.version != self.version:
            self._look_after()
            with self._lock:
                # Of one moment: a fit that has just ended has let go of what moved before it.
                fitted, moved = self._fitted or fitted, dict(self._moved or {})
            known = fitted.similarity.proto.column
            if any((m.direction is None) == (label in known) for label, m in moved.items()):
                return in_between(fitted.scorer, fitted.similarity, moved, features)
        labels = fitted.scorer.labels
        if not labels:
            return ranking(labels, np.zeros(0, np.float32), fitted.similarity, features)
        probabilities = softmax(fitted.scorer.scores(features)[0], fitted.scorer.temperature)
        return ranking(labels, probabilities, fitted.similarity, features)

    def nearest(self, features: Features, k: int) -> list[tuple[str, float]]:
        """At most k nearest examples of one picture, (1, d) int16.

        Returns:
            (key, cosine) pairs, best first.
        """
        with self._looking:
            if self._look_up is None or self._look_up[0] != self.version:
                with self._lock:
                    version, snapshot = self.version, self._examples.snapshot()
                self._look_up = None
                self._look_up = (version, Knn(snapshot))
            knn = self._look_up[1]
        return knn.nearest(features, k)

    def fitted(self) -> Fitted:
        """The head fitted to the present examples, with the snapshot that it was fitted to."""
        return self._catch_up()

    def snapshot(self) -> Snapshot:
        """The present examples."""
        with self._lock:
            return self._examples.snapshot()

    def counts(self) -> dict[str, int]:
        """Examples of each class, by label."""
        with self._lock:
            return self._examples.counts()

    def sum_of(self, label: str) -> NDArray[np.int64]:
        """Exact sum (d,) of a class's features, zeros when it has none."""
        with self._lock:
            return self._examples.sum_of(label)

    def flush(self) -> None:
        """Waits until the head has caught up; raises what the background fit raised."""
        refit = self._refit
        if refit is not None:
            refit.result()

    def close(self) -> None:
        """Ends the background thread after the fit that it is at."""
        self._worker.close()

    def _note(self, labels: Iterable[str]) -> None:
        """Notes where the means of these classes lie now; the lock is held."""
        if self._moved is None:
            return
        for label in labels:
            count = self._examples.count(label)
            self._moved[label] = Moved.to(
                self.version, count, self._examples.sum_of(label), self.background
            )

    def _changed(self) -> None:
        """Sees to a fit of the present version; the lock is held."""
        # Before the first ranking nobody has asked for a head: an enrolment in a process of
        # its own does not pay for one.
        if self._fitted is not None and (self._refit is None or self._refit.done()):
            self._refit = self._worker.submit(self._work)

    def _look_after(self) -> None:
        """Passes over nothing that went wrong in the background, but for the store's faults.

        Without the store's rows the head cannot be fitted: the former one goes on, and it is
        tried again later.
        """
        refit = self._refit
        if refit is None or not refit.done():
            return
        if not isinstance(refit.exception(), (StoreError, NotFoundError)):
            refit.result()
        elif time.monotonic() - self._failed > RETRY:
            with self._lock:
                self._changed()

    def _work(self) -> None:
        """Catches up, and ends only when no change has come since; for the worker's thread."""
        time.sleep(MOMENT)
        while True:
            try:
                fitted = self._catch_up()
            except (StoreError, NotFoundError):
                self._failed = time.monotonic()
                raise
            # Here, where nobody waits for it: most heads of small stores never ask.
            fitted.snapshot.settle()
            with self._lock:
                if fitted.version == self.version:
                    self._refit = None
                    return

    def _catch_up(self) -> Fitted:
        """Fits the head to the present examples, unless it is; returns it."""
        with self._fitting:
            with self._lock:
                version, fitted = self.version, self._fitted
                if fitted is not None and fitted.version == version:
                    return fitted
                snapshot = self._examples.snapshot()
                self._moved = self._moved or {}
            scorer = fit(self._head, snapshot, self.background)
            similarity = ClassSimilarity(snapshot, self.background)
            # All are worked out when first asked for: here rather than at a prediction.
            _ = scorer.temperature, similarity.thresholds, similarity.proto.usual
            scorer.release()
            similarity.release()
            snapshot.release()
            fitted = Fitted(version, snapshot, scorer, similarity)
            with self._lock:
                self._fitted = fitted
                self._moved = {k: m for k, m in self._moved.items() if m.version > version}
            return fitted
