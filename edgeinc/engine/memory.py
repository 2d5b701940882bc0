"""A store and the learner that follows it: what is committed, and what is learned from it."""

from __future__ import annotations

import contextlib
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from edgeinc.decision import Ranking
from edgeinc.errors import (
    NotFoundError,
    SampleNotFoundError,
    StoreBusyError,
    StoreFormatError,
    StoreReadOnlyError,
    StoreVersionError,
    StoreWriteError,
)
from edgeinc.features import to_features
from edgeinc.learner import Fitted, Group, Learner
from edgeinc.store import Change, Row, Store
from edgeinc.types import Match

__all__ = ["Memory"]

# Seconds after which a prediction looks again for what other processes committed.
ASK_EVERY = 0.1

# What may become of a file under a running engine; predictions go on from memory.
FAULTS = (StoreFormatError, StoreReadOnlyError, StoreVersionError, StoreWriteError)


class Memory:
    """Joins a store and a learner, so that the second always follows the first.

    The store's committed rows are the only truth: the learner starts from them, follows
    each change after its commit, and starts again when another process changed them.
    Threads may share one.
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
        self._nonnegative = nonnegative
        # Two locks, so that no prediction waits for a commit, which may wait for the disk or
        # for another process: one for operations, one for what the learner is loaded from.
        self._writing = threading.RLock()
        self._loading = threading.Lock()
        self._loads = 0
        self._version: int | None = None
        self._asked = time.monotonic()
        self._told: str | None = None
        with self._loading:
            self._version = store.version()
            self._load()

    def change(self, operation: Callable[[Store], Change]) -> Change:
        """Runs an operation that writes to the store; the learner follows its commit."""
        with self._writing:
            self._refresh()
            loads = self._loads
            change = operation(self.store)
            with self._loading:
                try:
                    if loads != self._loads or not self._follow(change):
                        # The rows of another process came in between: read them all.
                        self._version = None
                        self._look()
                except FAULTS as exc:
                    # It is committed all the same, and followed as soon as the file is read.
                    self._version = None
                    self._tell(str(exc))
            return change

    def rank(self, embeddings: NDArray[np.generic]) -> Ranking:
        """Ranks the classes for one picture; embeddings (1, d), the backbone's integers."""
        features = to_features(embeddings, nonnegative=self._nonnegative)
        # Asking SQLite takes a tenth of a millisecond when the network has just emptied the
        # processor's caches, so a camera's loop does not ask for every picture; and it goes
        # on with what it has while another thread looks.
        due = time.monotonic() - self._asked > ASK_EVERY
        if due and self._loading.acquire(blocking=False):
            try:
                self._look()
                self._told = None
            except FAULTS as exc:
                self._tell(str(exc))
            finally:
                self._loading.release()
        return self._learner.rank(features)

    def nearest(self, embeddings: NDArray[np.generic], k: int) -> list[Match]:
        """The k examples nearest to one picture; embeddings (1, d)."""
        features = to_features(embeddings, nonnegative=self._nonnegative)
        self._refresh()
        matches = []
        for key, similarity in self._learner.nearest(features, k):
            # Another process may have forgotten one since.
            with contextlib.suppress(SampleNotFoundError):
                sample = self.store.sample(key)
                matches.append(Match(sample.id, sample.label, similarity, sample.source))
        return matches

    def fitted(self) -> Fitted:
        """The head fitted to everything committed."""
        self._refresh()
        return self._learner.fitted()

    def counts(self) -> dict[str, int]:
        """Examples of each enrolled class."""
        # Not from the store, which would count every row again for each shot.
        return self._learner.counts()

    def flush(self) -> None:
        """Waits until the head has caught up."""
        self._learner.flush()

    def close(self) -> None:
        """Closes both."""
        self._learner.close()
        self.store.close()

    def _refresh(self) -> None:
        """Looks for commits of others, after whoever is at it."""
        with self._loading:
            self._look()

    def _look(self) -> None:
        """Starts again from the rows where another connection committed; `_loading` is held.

        While that connection keeps the file to itself the learner stays as it is, and the
        next call tries again.
        """
        self._asked = time.monotonic()
        version = self.store.version()
        if version == self._version:
            return
        with contextlib.suppress(StoreBusyError):
            self._load()
            self._version = version

    def _tell(self, fault: str) -> None:
        """Warns, once, that predictions go on without the store; `_loading` is held."""
        if fault != self._told:
            self._told = fault
            warnings.warn(f"{fault} (predicting from memory)", RuntimeWarning, stacklevel=4)

    def _follow(self, change: Change) -> bool:
        """Brings a change to the learner; False where that does not know the rows before it."""
        if self.store.version() != self._version:
            return False
        try:
            self._learner.update(self._groups(change.added), self._groups(change.removed))
        except NotFoundError:
            # While another connection holds the file, its commit does not show in `version`.
            return False
        return True

    def _load(self) -> None:
        """Reads every row; `_loading` is held."""
        groups: list[Group] = []
        for rows in self.store.rows():
            features = to_features(rows.embeddings, nonnegative=self._nonnegative)
            groups += _runs(rows.labels, rows.ids, features)
        self._learner.replace(groups)
        self._loads += 1

    def _groups(self, rows: Sequence[Row]) -> list[Group]:
        """The rows of a change, as features."""
        if not rows:
            return []
        embeddings = np.stack([row.embedding for row in rows])
        features = to_features(embeddings, nonnegative=self._nonnegative)
        return _runs([row.label for row in rows], [row.id for row in rows], features)


def _runs(labels: Sequence[str], ids: Sequence[str], features: NDArray[np.int16]) -> list[Group]:
    """One group for each run of a label."""
    groups: list[Group] = []
    for label, run in groupby(range(len(labels)), key=labels.__getitem__):
        at = list(run)
        groups.append((label, features[at], [ids[i] for i in at]))
    return groups
