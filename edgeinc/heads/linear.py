"""What the heads share whose scores are linear in a feature."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeinc.heads.base import Base, product
from edgeinc.heads.space import Space

__all__ = ["Linear"]


class Linear(Base):
    """A head that answers from weights and a bias, worked out in the metric of a scatter.

    Its `_scatter`, worked out when first asked for, is what only leave-one-out needs later.
    """

    _space: Space
    _weights: NDArray[np.float32]
    _bias: NDArray[np.float32]

    def scores(self, features: NDArray[np.int16]) -> NDArray[np.float32]:
        """Scores `(n, C)` float32 of `(n, d)` int16 features."""
        scores = product(self._weights, features.astype(np.float32))
        scores += self._bias
        return scores

    def release(self) -> None:
        """See `Scorer`."""
        super().release()
        self.__dict__.pop("_scatter", None)
        self._space = Space(self.snapshot)
