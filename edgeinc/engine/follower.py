"""How what is learned follows what is committed."""

from __future__ import annotations

import contextlib

from edgeinc.engine.source import Source
from edgeinc.errors import (
    BackboneMismatchError,
    NotFoundError,
    StoreBusyError,
    StoreFormatError,
    StoreReadOnlyError,
    StoreVersionError,
    StoreWriteError,
)
from edgeinc.features import Examples, Snapshot
from edgeinc.learner import Learner
from edgeinc.store import Change, Delta, Position, Store

__all__ = ["FAULTS", "Follower"]

FAULTS = (
    BackboneMismatchError,
    StoreFormatError,
    StoreReadOnlyError,
    StoreVersionError,
    StoreWriteError,
)
"""What may become of a file under a running engine; predictions go on from memory."""

MANY = 4096
"""Changes that are followed one by one; beyond, everything is read anew."""


class Follower:
    """Brings a store's commits to a learner: this process's own, and those of others.

    For one thread at a time, but for `Store` and `Learner` themselves.

    Attributes:
        whole: True where statistics were absent or damaged, so that all are to be kept anew.
    """

    def __init__(self, store: Store, learner: Learner, source: Source) -> None:
        """Loads what the store holds."""
        self._store = store
        self._learner = learner
        self._source = source
        self._version: int | None = store.version()
        self.whole = False
        self._seq: Position = (0, 0)
        self._load()

    def own(self, change: Change) -> None:
        """Follows a change of this process, and others' that came before or since.

        Raises:
            StoreError: The store cannot be read; `look` tries again.
        """
        # Where others committed in between, or the change does not say, the store is asked.
        if change.span is None or change.span[0] != self._seq or not self._applied(change):
            self._version = None
        else:
            self._seq = change.span[1]
        self.look()

    def behind(self) -> bool:
        """Whether there may be something to follow; asked from any thread.

        Raises:
            StoreError: The store cannot be read.
        """
        return self._store.version() != self._version

    def look(self) -> None:
        """Follows what another connection committed.

        While that connection keeps the file to itself the learner stays as it is, and the
        next call tries again.

        Raises:
            StoreError: The store cannot be read.
        """
        version = self._store.version()
        if version == self._version:
            return
        # Until all is followed, whatever stops it.
        self._version = None
        with contextlib.suppress(StoreBusyError):
            delta = self._store.since(self._seq, most=MANY)
            try:
                if delta is None:
                    self._load()
                else:
                    self._apply(delta)
            except NotFoundError:
                self._load()
            self._version = version

    def present(self) -> tuple[Snapshot, Position]:
        """The examples that the learner has, and the state of the store that they are."""
        return self._learner.snapshot(), self._seq

    def _applied(self, change: Change) -> bool:
        """Brings a change to the learner; False where that did not know what went."""
        if change.added or change.removed:
            added, removed = map(self._source.groups_of, (change.added, change.removed))
            try:
                self._learner.update(added, removed)
            except NotFoundError:
                return False
        if change.thresholds is not None:
            self._learner.overrides = change.thresholds
        return True

    def _apply(self, delta: Delta) -> None:
        if delta.added.ids or delta.removed.ids:
            added, removed = map(self._source.groups, (delta.added, delta.removed))
            self._learner.update(added, removed)
        self._learner.overrides = delta.thresholds
        self._seq = delta.seq

    def _load(self) -> None:
        """Starts afresh from the store."""
        try:
            loaded = self._source.read(self._learner.dim)
        except StoreFormatError:
            self._let_go()
            raise
        self._seq = loaded.seq
        self.whole = self.whole or not loaded.served
        self._learner.replace(loaded.examples)
        self._learner.overrides = loaded.thresholds

    def _let_go(self) -> None:
        """Takes classes that are gone from the learner, where examples are damaged.

        What is destroyed is to be recognised no more, also while the rest cannot be read. Which
        classes there are can be told without reading an example.
        """
        # Negatives are no class, and nothing is recognised by them.
        left = {"", *(info.label for info in self._store.classes())}
        known = self._learner.snapshot().statistics()
        kept = [entry for entry in known if entry[0] in left]
        if len(kept) < len(known):
            dim, fetch = self._learner.dim, self._source.fetch
            self._learner.replace(Examples.restored(dim, fetch, kept))
