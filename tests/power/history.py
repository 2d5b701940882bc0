"""Random histories of operations.

An operation is plain data that follows from a seed and the model alone, so that whoever knows
the seed knows the history: the process that runs it and the one that judges what is left of it.
`OPERATIONS` is the list; a new kind is a function that proposes one, a method of the model, and
a function that has the engine do it.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgeinc import Backbone, Engine
from edgeinc.store import NewExample, Store
from edgeinc.types import NEGATIVE
from tests.power.model import Example, Model, State

__all__ = [
    "DIM",
    "OPERATIONS",
    "Operation",
    "backbone",
    "choose",
    "execute",
    "follow",
    "observe",
]

DIM = 16
LABELS = ("hex bolt", "nut", "washer", "cog", "Mutter", "lock ring", "pin", NEGATIVE)
WEIGHTS = {"file": "tiny.onnx", "file_sha256": "ab" * 32}


def _propose_enrol(model: Model, rng: random.Random) -> tuple[Any, ...]:
    """One example or several, of one class or several, new or not; some are duplicates."""
    labels = rng.sample(LABELS, 1 if rng.random() < 0.7 else 3)
    known = list(model.examples)
    return tuple(
        Example(
            rng.choice(labels),
            rng.choice(known).content if known and rng.random() < 0.2 else rng.randbytes(DIM),
            f"/pictures/{rng.randbytes(6).hex()}.jpg",
            rng.randbytes(rng.choice((100, 700, 1500))) if rng.random() < 0.1 else None,
        )
        for _ in range(rng.choice((1, 1, 1, 2, 5, 20)))
    )


def _do_enrol(engine: Engine, *examples: Example) -> None:
    new = [
        NewExample(e.label or None, np.frombuffer(e.content, np.uint8), e.source, e.thumbnail)
        for e in examples
    ]
    engine._memory.change(lambda store: store.enroll(new, **WEIGHTS))


def _propose_forget(model: Model, rng: random.Random) -> tuple[Any, ...] | None:
    """A class, or one example by its integers; for good at times."""
    live = model.live()
    if not live:
        return None
    i = rng.choice(list(live))
    content = model.examples[i].content if rng.random() < 0.5 else None
    return live[i], content, rng.random() < 0.2


def _do_forget(engine: Engine, label: str, content: bytes | None, purge: bool) -> None:
    if content is None:
        engine.forget(label or None, purge=purge)
        return
    for rows in engine._memory.store.rows():
        for id, name, integers in zip(rows.ids, rows.labels, rows.embeddings, strict=True):
            if (name, integers.tobytes()) == (label, content):
                engine.forget(sample=id, purge=purge)
                return
    raise LookupError(f"no example of {label!r} has the integers {content.hex()}")


def _propose_rename(model: Model, rng: random.Random) -> tuple[Any, ...] | None:
    enrolled = _classes(model)
    free = [label for label in LABELS if label not in (*enrolled, NEGATIVE)]
    return (rng.choice(enrolled), rng.choice(free)) if enrolled and free else None


def _propose_threshold(model: Model, rng: random.Random) -> tuple[Any, ...] | None:
    enrolled = _classes(model)
    return (rng.choice(enrolled), rng.choice((0.25, 0.5, None))) if enrolled else None


def _classes(model: Model) -> list[str]:
    """What is enrolled, without the negatives."""
    return sorted({*model.live().values()} - {NEGATIVE})


def _propose_merge(model: Model, rng: random.Random) -> tuple[Any, ...] | None:
    """What another device did: with examples of its own, or with ours, before it is merged."""
    archive = rng.random() < 0.5
    live = model.live()
    if not live or rng.random() < 0.5:
        new = tuple(example._replace(thumbnail=None) for example in _propose_enrol(model, rng))
        purge = (new[0].label, None, True) if rng.random() < 0.3 else None
        return archive, new, purge, None, None
    label = rng.choice(sorted(set(live.values())))
    if rng.random() < 0.5:
        return archive, (), (label, None, rng.random() < 0.5), None, None
    if rng.random() < 0.5:
        threshold = _propose_threshold(model, rng)
        # What holds already is not set again, and then there would be nothing to merge.
        if threshold is None or model.state().thresholds.get(threshold[0]) == threshold[1]:
            return None
        return archive, (), None, None, threshold
    rename = _propose_rename(model, rng)
    return None if rename is None else (archive, (), None, rename, None)


def _do_merge(
    engine: Engine,
    archive: bool,
    new: tuple[Example, ...],
    forget: tuple[str, bytes | None, bool] | None,
    rename: tuple[str, str] | None,
    threshold: tuple[str, float | None] | None,
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Engine.open(folder / "other.db", backbone=backbone()) as other:
            if new:
                _do_enrol(other, *new)
            else:
                engine.export(folder / "ours.edgeinc")
                other.merge(folder / "ours.edgeinc")
            if forget is not None:
                _do_forget(other, *forget)
            if rename is not None:
                other.rename(*rename)
            if threshold is not None:
                other.set_threshold(*threshold)
            if archive:
                other.export(folder / "theirs.edgeinc")
        engine.merge(folder / ("theirs.edgeinc" if archive else "other.db"))


class _Kind(NamedTuple):
    """A kind of operation: how often, what it could be now, and how it is done."""

    weight: int
    propose: Callable[[Model, random.Random], tuple[Any, ...] | None]
    model: Callable[..., None]
    do: Callable[..., Any]


OPERATIONS: dict[str, _Kind] = {
    "enrol": _Kind(10, _propose_enrol, Model.enrol, _do_enrol),
    "forget": _Kind(4, _propose_forget, Model.forget, _do_forget),
    "rename": _Kind(2, _propose_rename, Model.rename, Engine.rename),
    "threshold": _Kind(2, _propose_threshold, Model.threshold, Engine.set_threshold),
    "undo": _Kind(3, lambda _, rng: (rng.choice((1, 1, 2, 3)),), Model.undo, Engine.undo),
    "merge": _Kind(3, _propose_merge, Model.merge, _do_merge),
    "purge": _Kind(1, lambda *_: (), Model.purge, Engine.purge),
}


class Operation(NamedTuple):
    """A kind of `OPERATIONS` and what it is given."""

    kind: str
    arguments: tuple[Any, ...]


def choose(model: Model, rng: random.Random) -> Operation:
    """An operation that can be done now, at random."""
    while True:
        kind = rng.choices(list(OPERATIONS), [kind.weight for kind in OPERATIONS.values()])[0]
        arguments = OPERATIONS[kind].propose(model, rng)
        if arguments is not None:
            return Operation(kind, arguments)


def follow(model: Model, operation: Operation) -> None:
    """Tell the model what was done."""
    OPERATIONS[operation.kind].model(model, *operation.arguments)


def execute(engine: Engine, operation: Operation) -> None:
    """Do it; durable when this has returned."""
    OPERATIONS[operation.kind].do(engine, *operation.arguments)


def backbone() -> Backbone:
    """A backbone of 16 integers; no picture is ever shown to it here."""
    return Backbone.from_function(
        lambda x: x.reshape(-1)[:DIM], name="tiny", size=(8, 8), dim=DIM, nonnegative=True
    )


def observe(store: Store) -> State:
    """What a store holds."""
    labels = [c.label for c in store.classes()] + [None] * bool(store.negatives())
    sources = {s.id: s.source for label in labels for s in store.samples(label)}
    with store._db.reading() as conn:
        query = "SELECT hex(uid), image FROM thumbnails t JOIN samples s ON s.id = t.sample"
        thumbnails = {uid.lower(): image for uid, image in conn.execute(query)}
        query = "SELECT count(*), count(*) - count(class) FROM samples"
        count, purged = conn.execute(query).fetchone()
    examples = {
        (label, row.astype(np.uint8).tobytes()): {(str(sources[id]), thumbnails.get(id))}
        for rows in store.rows()
        for id, label, row in zip(rows.ids, rows.labels, rows.embeddings, strict=True)
    }
    log = [(entry.number, entry.operation, entry.undone) for entry in store.log()]
    return State(examples, log, (count, purged), store.thresholds())
