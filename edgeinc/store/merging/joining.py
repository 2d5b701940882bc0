"""What holds where two stores say different things of the same.

A store that was repaired may have lost some of what it knew. So an order of the contents decides,
in which what was lost comes last; it is the same whoever merges whom.
"""

from __future__ import annotations

from edgeinc.store.merging.shared import Operation

__all__ = ["join", "loss", "rank"]


def join(here: Operation, there: Operation) -> Operation | None:
    """What is known of an operation by two stores together; None where they contradict."""
    thresholds = {one.threshold for one in (here, there)} - {None}
    lasting = [(one.counter, one.kind, one.time, one.tool) for one in (here, there)]
    if lasting[0] != lasting[1] or len(thresholds) > 1:
        return None
    files = [file for file in (here.file, there.file) if file is not None]
    return here._replace(
        device=min(here.device, there.device),
        file=min(files, default=None),
        undone=here.undone or there.undone,
        threshold=next(iter(thresholds), None),
    )


def rank(kind: str, operation: bytes, label: str, source: str | None) -> tuple[object, ...]:
    """An order of what may be known of how an example came; the least holds."""
    return kind == "repair", loss(label), operation, source is None, source or ""


def loss(label: str) -> tuple[bool, str]:
    """An order of labels; one that a repair made up comes last."""
    return label.endswith("(name lost)"), label
