"""Edge inference with on-device class enrolment.

A frozen, quantised backbone turns pictures into embeddings; a light head learns new classes
from a few of them, without gradients, on the device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeinc.devices import Device, Placement
from edgeinc.errors import EdgeincError
from edgeinc.types import (
    Candidate,
    ClassInfo,
    EnrollReport,
    LogEntry,
    Match,
    MergeReport,
    Prediction,
    SampleInfo,
)
from edgeinc.version import __version__

if TYPE_CHECKING:
    from edgeinc.backbone import Backbone
    from edgeinc.engine import Engine
    from edgeinc.evaluate import Evaluation

__all__ = [
    "Backbone",
    "Candidate",
    "ClassInfo",
    "Device",
    "EdgeincError",
    "Engine",
    "EnrollReport",
    "Evaluation",
    "LogEntry",
    "Match",
    "MergeReport",
    "Placement",
    "Prediction",
    "SampleInfo",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Imports the names that need numpy when they are first asked for (PEP 562)."""
    if name == "Engine":
        from edgeinc.engine import Engine

        return Engine
    if name == "Backbone":
        from edgeinc.backbone import Backbone

        return Backbone
    if name == "Evaluation":
        from edgeinc.evaluate import Evaluation

        return Evaluation
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
