"""Nearest example: a class is as near as the nearest of its examples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import UNIT, Snapshot
from edgeinc.heads.base import Base, product, spread
from edgeinc.heads.space import Space

__all__ = ["Knn"]

WIDE = 1 << 25
"""Values up to which rows are held as float32."""

CHUNK = 1024
"""Rows that are worked on at a time. BLAS keeps its threads for the whole of a product, and a
prediction on another thread may need them."""


QUERIES = 256
"""Held-out rows that are worked on at a time."""


class Knn(Base):
    """Cosine to the nearest example of each class, and look-up of the nearest examples.

    Holds every row: 4 bytes a value, as float32, up to `WIDE` values, and 2 beyond, where each
    look-up widens them, a chunk at a time. See `Scorer` for the rest.
    """

    name = "knn"
    default = 0.11
    decay = 0.35

    def __init__(self, snapshot: Snapshot, *, space: Space | None = None) -> None:
        """Keep the snapshot's rows; `space`, where given, is the snapshot's."""
        super().__init__(snapshot)
        self._space = space
        self._rows = snapshot.rows
        self._wide: NDArray[np.float32] | None = None
        if self._rows.size <= WIDE:
            self._wide = self._rows.astype(np.float32)
            self._wide /= UNIT
        self._starts = np.concatenate([[0], np.cumsum(snapshot.counts)])[:-1].astype(np.intp)

    @property
    def scale(self) -> float:
        """See `Base`: cosines differ by as much as examples do."""
        return spread(self.snapshot)

    def scores(self, features: NDArray[np.int16]) -> NDArray[np.float32]:
        """Cosines `(n, C)` float32 of `(n, d)` int16 features to each class's nearest example."""
        return self._nearest_of_class(self._cosines(features))

    def nearest(self, features: NDArray[np.int16], k: int) -> list[tuple[str, float]]:
        """The k examples nearest to one `(1, d)` int16 feature, best first.

        Returns:
            At most k `(key, cosine)`; among equals, the earlier in canonical order.
        """
        cosines = self._cosines(features)[0]
        k = min(k, len(cosines))
        if k < 1:
            return []
        # All that reach the k-th best, so that ties are broken by order and not by partition.
        bound = np.partition(cosines, len(cosines) - k)[len(cosines) - k]
        found = np.flatnonzero(cosines >= bound)
        found = found[np.argsort(-cosines[found], kind="stable")][:k]
        key = self.snapshot.key
        return [(key(int(i)), min(float(cosines[i]), 1.0)) for i in found]

    def release(self) -> None:
        """See `Scorer`."""
        super().release()
        self._space = None

    def _cosines(self, features: NDArray[np.int16]) -> NDArray[np.float32]:
        queries = features.astype(np.float32)
        queries /= UNIT
        cosines = np.empty((len(queries), len(self._rows)), np.float32)
        for start in range(0, len(self._rows), CHUNK):
            chunk = slice(start, start + CHUNK)
            if self._wide is not None:
                rows = self._wide[chunk]
            else:
                rows = self._rows[chunk].astype(np.float32)
                rows /= UNIT
            cosines[:, chunk] = product(rows, queries)
        return cosines

    def _nearest_of_class(self, cosines: NDArray[np.float32]) -> NDArray[np.float32]:
        if not self.labels:
            return np.zeros((len(cosines), 0), np.float32)
        # Rows are sorted by label, so that a class is a run of columns.
        return np.asarray(np.maximum.reduceat(cosines, self._starts, axis=1))

    def _without(self, index: NDArray[np.intp]) -> NDArray[np.float64]:
        scores = np.empty((len(index), len(self.labels)))
        for start in range(0, len(index), QUERIES):
            part = index[start : start + QUERIES]
            if self._space is not None and self._space.dual():
                cosines = self._space.between[part].astype(np.float32)
            else:
                cosines = self._cosines(self.snapshot.some(part))
            cosines[np.arange(len(part)), part] = -1.0
            scores[start : start + len(part)] = self._nearest_of_class(cosines)
        return scores
