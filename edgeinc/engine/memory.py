"""A store and the learner that follows it: what is committed, and what is learned from it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgeinc.decision import Ranking
from edgeinc.engine.follower import FAULTS, Follower
from edgeinc.engine.source import Source
from edgeinc.errors import SampleNotFoundError, StoreError
from edgeinc.features import Background, Snapshot
from edgeinc.learner import Fitted, Learner
from edgeinc.store import Change, Store
from edgeinc.types import Match
from edgeinc.worker import Worker

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["Memory"]

ASK_EVERY = 0.1
"""Seconds after which a prediction looks again for what other processes committed."""

PATIENCE = 0.005
"""Seconds that a prediction waits for them at most."""

KEEP_EVERY = 2048
"""Changes after which statistics are kept in the store. Up to as many examples, reading them all
takes no longer than reading statistics."""

KEEP_AT_CLOSE = 256
"""The same when the store is closed."""

_T = TypeVar("_T")


class Memory:
    """Joins a store and a learner, so that the second always follows the first.

    The store's committed rows are the only truth: the learner starts from them, or from
    statistics that fit them, follows each change after its commit, and follows the changes
    of other processes. Threads may share one.
    """

    def __init__(self, store: Store, learner: Learner, *, nonnegative: bool) -> None:
        """Loads what the store holds.

        Args:
            store: Open.
            learner: Empty, of the store's dimension.
            nonnegative: As in the backbone's card.
        """
        self.store = store
        self._learner = learner
        self._source = Source(store, nonnegative=nonnegative)
        # Two locks, so that no prediction waits for a commit, which may wait for the disk or
        # for another process: one for operations, one for what the learner is loaded from.
        self._writing = threading.RLock()
        self._loading = threading.Lock()
        self._asked = time.monotonic()
        self._pid = os.getpid()
        self._closed = False
        self._told: str | None = None
        self._worker = Worker("edgeinc-store")
        self._following: Future[object] | None = None
        self._follower = Follower(store, learner, self._source)
        # Changes since statistics were last kept, as far as this process knows.
        large = self._follower.whole and sum(learner.counts().values()) >= KEEP_EVERY
        self._unkept = KEEP_EVERY if large else 0

    def refuse_use(self) -> None:
        """Refuses what was closed, and what a forked process inherited, without its threads.

        Raises:
            StoreError: It is one of these.
        """
        if self._pid != os.getpid():
            raise StoreError(
                f"The engine of {self.store.path} was opened before this process was forked. "
                "Open it again in each process."
            )
        if self._closed:
            raise StoreError(f"The engine of {self.store.path} has been closed. Open it again.")

    def change(self, operation: Callable[[Store], Change]) -> Change:
        """Runs an operation that writes to the store; the learner follows its commit."""
        with self._writing:
            change = operation(self.store)
            with self._loading:
                try:
                    self._follower.own(change)
                except FAULTS as exc:
                    # It is committed all the same, and followed as soon as the file is read.
                    self._tell(str(exc))
            self._unkept += len(change.added) + len(change.removed)
            if self._unkept >= KEEP_EVERY:
                self._unkept = 0
                self._worker.submit(self._keep, KEEP_EVERY)
            return change

    def rank(self, embeddings: NDArray[np.generic]) -> Ranking:
        """Ranks the classes for one picture; embeddings (1, d), the backbone's integers."""
        features = self._source.features(embeddings)
        # Asking SQLite takes a tenth of a millisecond when the network has just emptied the
        # processor's caches, so a camera's loop does not ask for every picture.
        if time.monotonic() - self._asked > ASK_EVERY:
            self._asked = time.monotonic()
            try:
                self._follow_elsewhere()
            except FAULTS as exc:
                self._tell(str(exc))
        return self._surely(lambda: self._learner.rank(features))

    def nearest(self, embeddings: NDArray[np.generic], k: int) -> list[Match]:
        """The k examples nearest to one picture; embeddings (1, d)."""
        features = self._source.features(embeddings)
        self._refresh()
        matches = []
        for key, similarity in self._surely(lambda: self._learner.nearest(features, k)):
            # Another process may have forgotten one since.
            with contextlib.suppress(SampleNotFoundError):
                sample = self.store.sample(key)
                matches.append(Match(sample.id, sample.label, similarity, sample.source))
        return matches

    def fitted(self) -> Fitted:
        """The head fitted to everything committed."""
        self._refresh()
        return self._surely(self._learner.fitted)

    def present(self) -> tuple[Snapshot, Background | None]:
        """Everything committed, and the background that heads are fitted with."""
        self._refresh()
        return self._learner.snapshot(), self._learner.background

    def counts(self) -> dict[str, int]:
        """Examples of each enrolled class."""
        return self._learner.counts()

    def sum_of(self, label: str) -> NDArray[np.int64]:
        """Exact sum (d,) of a class's features, zeros when it has none."""
        return self._learner.sum_of(label)

    @property
    def version(self) -> int:
        """Another number after every change of what is enrolled, once it is followed."""
        return self._learner.version

    def flush(self) -> None:
        """Waits until the head has caught up."""
        following = self._following
        if following is not None:
            try:
                following.result()
            except FAULTS as exc:
                self._tell(str(exc))
        try:
            self._learner.flush()
        except SampleNotFoundError:
            # A purge by another process came as the head was fitted. Once it is followed, no
            # change may be left for the background to begin anew with: it is fitted here.
            self.fitted()

    def close(self) -> None:
        """Closes both; before, statistics are kept in the store where many changes came since."""
        self._closed = True
        try:
            self._worker.close()
            self._learner.close()
            self._keep(KEEP_AT_CLOSE)
        finally:
            self.store.close()

    def _surely(self, ask: Callable[[], _T]) -> _T:
        """Asks; where an example that is needed has been purged, follows the purge, asks again."""
        for _ in range(2):
            try:
                return ask()
            except SampleNotFoundError:
                self._refresh()
        return ask()

    def _follow_elsewhere(self) -> None:
        """Follows changes of others in the background, and waits for that a moment.

        Reading them may take longer than a camera's loop can wait: the disk, or the processes
        that write, may be busy.
        """
        following = self._following
        if following is None:
            if not self._follower.behind():
                self._told = None
                return
            following = self._following = self._worker.submit(self._refresh)
        if following is None:
            return

        from concurrent.futures import wait

        if wait([following], PATIENCE).done:
            self._following = None
            following.result()
            self._told = None

    def _refresh(self) -> None:
        """Looks for commits of others, after whoever is at it."""
        with self._loading:
            self._asked = time.monotonic()
            self._follower.look()

    def _keep(self, changes: int) -> None:
        """Keeps statistics in the store where so many changes came since it did."""
        try:
            if self.store.read_only or self.store.pending(wait=PATIENCE) < changes:
                return
            with self._loading:
                (snapshot, seq), whole = self._follower.present(), self._follower.whole
            if snapshot.total >= KEEP_EVERY:
                statistics = self._source.statistics(snapshot, seq)
                if self.store.keep(statistics, self._source.form, whole=whole, wait=PATIENCE):
                    self._follower.whole = False
        except (StoreError, SampleNotFoundError):
            # Whoever opens the store reads more; it is tried again after as many changes.
            return

    def _tell(self, fault: str) -> None:
        """Warns, once, that predictions go on without the store."""
        if fault != self._told:
            self._told = fault
            warnings.warn(f"{fault} (predicting from memory)", RuntimeWarning, stacklevel=4)
