"""A card's network, open: pictures in, embeddings out; it knows nothing of heads or stores."""

from __future__ import annotations

from edgeinc.backbone.body import Backbone
from edgeinc.backbone.numbers import to_integers, unit_length

__all__ = ["Backbone", "to_integers", "unit_length"]
