"""The engine: the one place where backbone, store, head and decision meet."""

from __future__ import annotations

from edgeinc.engine.engine import Engine
from edgeinc.engine.merging import check_bound, merge_stores
from edgeinc.engine.opening import DEFAULT_BACKBONE, choose_backbone

__all__ = ["DEFAULT_BACKBONE", "Engine", "check_bound", "choose_backbone", "merge_stores"]
