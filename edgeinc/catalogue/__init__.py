"""The backbones that there are: listing, fetching, adding and checking them."""

from __future__ import annotations

from edgeinc.catalogue.adding import add, candidates
from edgeinc.catalogue.attaching import Attached, add_background
from edgeinc.catalogue.background import Measured, measure_background
from edgeinc.catalogue.compared import Comparison, Pair, Run
from edgeinc.catalogue.comparing import compare
from edgeinc.catalogue.listing import Listed, catalogue, describe
from edgeinc.catalogue.pulling import Pulled, pull
from edgeinc.catalogue.quantizing import Quantized, add_quantized
from edgeinc.catalogue.reading import Preprocessing
from edgeinc.catalogue.verifying import Check, Verification, verify

__all__ = [
    "Attached",
    "Check",
    "Comparison",
    "Listed",
    "Measured",
    "Pair",
    "Preprocessing",
    "Pulled",
    "Quantized",
    "Run",
    "Verification",
    "add",
    "add_background",
    "add_quantized",
    "candidates",
    "catalogue",
    "compare",
    "describe",
    "measure_background",
    "pull",
    "verify",
]
