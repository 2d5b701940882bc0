"""A second look at what an engine has learned."""

from __future__ import annotations

from collections.abc import Collection

from edgeinc.engine.memory import Memory
from edgeinc.errors import SampleNotFoundError
from edgeinc.review import Review, review_all, review_new

__all__ = ["second_look"]


def second_look(memory: Memory, ids: Collection[str] | None) -> Review:
    """Looks at everything for None, else at the examples of these ids; see `Engine.review`."""
    try:
        return _look(memory, ids)
    except SampleNotFoundError:
        # Another process purged one as it was read.
        return _look(memory, ids)


def _look(memory: Memory, ids: Collection[str] | None) -> Review:
    def source(id: str) -> str | None:
        try:
            return memory.store.sample(id).source
        except SampleNotFoundError:
            return None

    if ids is None:
        fitted = memory.fitted()
        return review_all(fitted.snapshot, fitted.scorer, memory.present()[1], source)
    snapshot, background = memory.present()
    return review_new(snapshot, ids, background, source)
