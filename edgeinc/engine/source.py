"""Features of stored examples: read when they are needed, all at once or some by their marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeinc.errors import StoreBusyError
from edgeinc.features import CONTENT, Examples, Snapshot, accumulate, to_features
from edgeinc.learner import Group
from edgeinc.store import Position, Row, Rows, Statistics, Store, mark_of

__all__ = ["Loaded", "Source"]

HELD = 20_000
"""Examples up to which features are held in memory; of a larger store, only those that were asked
for lately. No head that reads every one is tried by `auto` beyond as many."""

BATCH = 256
"""Examples that are read in one transaction."""

ATTEMPTS = 3

Features = NDArray[np.int16]


class Loaded(NamedTuple):
    """What a store holds, all of one state.

    Attributes:
        examples: Every example that counts.
        seq: The state.
        thresholds: Those that a person set, by label.
        served: Whether the store's statistics served; else every row was read.
    """

    examples: Examples
    seq: Position
    thresholds: Mapping[str, float]
    served: bool


class Source:
    """What a learner gets its features from. Threads may share one."""

    def __init__(self, store: Store, *, nonnegative: bool) -> None:
        """Take an open store, and what the backbone's card says about its integers."""
        self._store = store
        self._nonnegative = nonnegative
        self._held: dict[bytes, bytes] = {}
        # Of what form the features are; statistics of another are of no use.
        self.form = f"features 1, {'nonnegative' if nonnegative else 'signed'}"

    def features(self, embeddings: NDArray[np.generic]) -> Features:
        """`(n, d)` int16 features of integers."""
        return to_features(embeddings, nonnegative=self._nonnegative)

    def fetch(self, marks: Sequence[bytes]) -> Features:
        """`(n, d)` int16 features by marks.

        Raises:
            SampleNotFoundError: One of the examples has been purged.
            StoreError: As for every read.
        """
        found = {mark: self._held.get(mark) for mark in marks}
        missing = [mark for mark, row in found.items() if row is None]
        for start in range(0, len(missing), BATCH):
            part = missing[start : start + BATCH]
            rows = self.features(self._store.embeddings([mark[CONTENT:] for mark in part]))
            found.update(zip(part, self._hold(part, rows), strict=True))
        joined = b"".join(found[mark] or b"" for mark in marks)
        return np.frombuffer(joined, "<i2").reshape(len(marks), -1)

    def read(self, dim: int) -> Loaded:
        """Every example that counts: by the store's statistics and what came since, or row by row.

        Raises:
            StoreBusyError: Purges came again and again as the store was read.
            StoreError: As for every read.
        """
        for _ in range(ATTEMPTS):
            statistics = self._store.statistics(self.form)
            served = statistics is not None
            if statistics is None:
                examples, seq = self._read_rows(dim)
            else:
                examples = Examples.restored(dim, self.fetch, statistics.classes, statistics.gram)
                seq = statistics.seq
            delta = self._store.since(seq, most=HELD)
            if delta is None and served:
                examples, seq = self._read_rows(dim)
                delta, served = self._store.since(seq, most=HELD), False
            if delta is not None:
                for label, features, marks in self.groups(delta.removed):
                    examples.remove(label, features, marks)
                    examples.settle()
                for label, features, marks in self.groups(delta.added):
                    examples.add(label, features, marks)
                    examples.settle()
                return Loaded(examples, delta.seq, delta.thresholds, served)
        raise StoreBusyError(f"{self._store.path} changed again and again as it was read.")

    def statistics(self, snapshot: Snapshot, seq: Position) -> Statistics:
        """What a store keeps of these, which are those of the state `seq`."""
        return Statistics(seq, snapshot.gram, snapshot.statistics())

    def groups(self, rows: Rows) -> list[Group]:
        """Rows of a store, as features with their marks, one group for each run of a label."""
        ids = zip(rows.digests, rows.ids, strict=True)
        marks = [digest + bytes.fromhex(id) for digest, id in ids]
        return self._runs(rows.labels, marks, rows.embeddings)

    def groups_of(self, rows: Sequence[Row]) -> list[Group]:
        """The same of the rows of a `Change`."""
        if not rows:
            return []
        embeddings = np.stack([row.embedding for row in rows])
        return self._runs([row.label for row in rows], [mark_of(row) for row in rows], embeddings)

    def _read_rows(self, dim: int) -> tuple[Examples, Position]:
        """Every example from its own row; a large store in pieces, of which none is held."""
        seq = self._store.last_change()
        counts = [info.examples for info in self._store.classes()]
        large = sum(counts, self._store.negatives()) > HELD
        examples = Examples(dim, self.fetch)
        gram = np.zeros((dim, dim))
        for rows in self._store.rows(BATCH):
            seq = rows.seq
            groups = self.groups(rows)
            for label, features, marks in groups:
                examples.add(label, features, marks)
            if large and groups:
                accumulate(gram, np.concatenate([features for _, features, _ in groups]), 1)
        if large:
            examples = Examples.restored(dim, self.fetch, examples.snapshot().statistics(), gram)
        return examples, seq

    def _runs(
        self, labels: Sequence[str], marks: Sequence[bytes], embeddings: NDArray[np.generic]
    ) -> list[Group]:
        if not labels:
            return []
        features = self.features(embeddings)
        self._hold(marks, features)
        groups: list[Group] = []
        for label, run in groupby(range(len(labels)), key=labels.__getitem__):
            at = list(run)
            groups.append((label, features[at], [marks[i] for i in at]))
        return groups

    def _hold(self, marks: Sequence[bytes], features: Features) -> list[bytes]:
        """Keep features for the next time they are asked for; return them as bytes."""
        joined = features.astype("<i2", copy=False).tobytes()
        size = 2 * features.shape[1]
        rows = [joined[size * i : size * (i + 1)] for i in range(len(features))]
        if len(self._held) + len(rows) > HELD:
            self._held = {}
        self._held.update(zip(marks, rows, strict=True))
        return rows
