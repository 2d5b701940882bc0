"""Integer embeddings to exact fixed-point features, and the exact sums that heads start from.

`to_features` maps the integers that a backbone put out to a unit vector in fixed point;
`Examples` holds the enrolled ones with their integer sums; `Examples.snapshot()` is an
immutable view in canonical order, the only thing that a head is ever fitted from.
"""

from __future__ import annotations

from edgeinc.features.background import Background
from edgeinc.features.convert import UNIT, to_features
from edgeinc.features.examples import Examples
from edgeinc.features.gram import accumulate
from edgeinc.features.marks import CONTENT, MARK, narrow
from edgeinc.features.snapshot import Fetch, Snapshot

__all__ = [
    "CONTENT",
    "MARK",
    "UNIT",
    "Background",
    "Examples",
    "Fetch",
    "Snapshot",
    "accumulate",
    "narrow",
    "to_features",
]
