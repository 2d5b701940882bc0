"""Inner products in the metric of an inverse scatter matrix, by the cheaper of two routes.

For rows V, each an example off the mean of its group, `P = (V'V + strength * I)^-1`. Heads need
`<a, b> = a'Pb` between rows v of V and the class means g, taken off the mean c of the class
means. With fewer examples than dimensions, or with a kernel in place of the inner product, only
an n x n matrix is inverted: `P = (I - V'BV) / strength`, `B = (VV' + strength * I)^-1`
(push-through identity). Otherwise it is d x d and no row is needed but those held out.

A prior counts a background's mean for some more class means in c. By pairs of examples, rows are
then taken off the background's mean, so that it is the origin and no row of its own is needed.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeinc.heads.dual import Dual
from edgeinc.heads.primal import Primal
from edgeinc.heads.prior import Prior
from edgeinc.heads.space import Matrix, Sizes, Space

__all__ = ["Scatter", "scatter"]


class Scatter(Protocol):
    """What both routes answer.

    Attributes:
        strength: The ridge, in the unit of a squared feature.
        lengths: `(C,)` `<g, g>` of each class.
        filled: `trace(P V'V)`, the degrees of freedom that the data fill.
    """

    strength: float
    lengths: Matrix
    filled: float

    def crossed(self, index: NDArray[np.intp]) -> Matrix:
        """`<v, g>` `(m, C)` of some rows of V and all classes."""
        ...

    def paired(self, y: NDArray[np.intp]) -> Matrix:
        """`<g_y, g>` `(m, C)` of some classes and all classes."""
        ...

    def mixed(self, weights: Matrix) -> Matrix:
        """`<g, w>` `(C,)` of all classes and `w`, the sum of `weights` `(C,)` times g."""
        ...

    def leverage(self, index: NDArray[np.intp]) -> Matrix:
        """`<v, v>` `(m,)` of some rows, 0 to 1."""
        ...

    def squared(self, index: NDArray[np.intp]) -> Matrix:
        """`v'PPv` `(m,)` of some rows."""
        ...

    def axes(self) -> tuple[NDArray[Any], Matrix]:
        """`P g` `(C, d)`, float64 or float32, and `c'P g` `(C,)`."""
        ...


def scatter(space: Space, sizes: Sizes, strength: float, prior: Prior | None = None) -> Scatter:
    """The cheaper route for the plain inner product."""
    if space.dual():
        return Dual(space, sizes, strength, prior=prior)
    return Primal(space, sizes, strength, prior)
