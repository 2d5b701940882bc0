"""Random histories of operations, and the model that says what a store then holds.

An operation is plain data that follows from a seed and the model alone, so that whoever knows
the seed knows the history: the process that runs it and the one that judges what is left of it.
`OPERATIONS` is the list; a new kind is a function that proposes one, and a function each that
tells the model and the engine to do it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from edgeinc import Backbone, Engine
from edgeinc.store import NewExample, Store
from edgeinc.store.content import digest

__all__ = [
    "DIM",
    "OPERATIONS",
    "Example",
    "Model",
    "Moment",
    "Operation",
    "State",
    "backbone",
    "choose",
    "execute",
    "follow",
    "observe",
]

DIM = 16
LABELS = ("hex bolt", "nut", "washer", "cog", "Mutter", "lock ring", "pin")
WEIGHTS = {"file": "tiny.onnx", "file_sha256": "ab" * 32}


class Example(NamedTuple):
    """What is enrolled: a label, 16 integers, a source, maybe a thumbnail."""

    label: str
    content: bytes
    source: str
    thumbnail: bytes | None


class State(NamedTuple):
    """What a store holds, as far as anybody can ask.

    Attributes:
        examples: Label and integers of what counts, to the sources and thumbnails of the
            examples that are alike in both; one of these stands for them.
        log: Number, kind and whether it was undone, newest first.
        rows: Examples that were ever enrolled, and how many of them were purged.
    """

    examples: dict[tuple[str, bytes], set[tuple[str, bytes | None]]]
    log: list[tuple[int, str, bool]]
    rows: tuple[int, int]

    def admits(self, found: State) -> bool:
        """Is what was found in a store what this one says?"""
        return (
            (found.log, found.rows) == (self.log, self.rows)
            and found.examples.keys() == self.examples.keys()
            and all(what <= self.examples[key] for key, what in found.examples.items())
        )


@dataclass
class _Operation:
    """A line in the log, and the examples that it enrolled, took out or relabelled."""

    kind: str
    enrolled: set[int] = field(default_factory=set)
    removed: set[int] = field(default_factory=set)
    relabelled: set[int] = field(default_factory=set)
    label: str = ""
    undone: bool = False

    def touched(self) -> set[int]:
        return self.enrolled | self.removed | self.relabelled


@dataclass
class Model:
    """Every example ever enrolled, by the order it came, and every operation."""

    examples: list[Example] = field(default_factory=list)
    operations: list[_Operation] = field(default_factory=list)
    purged: set[int] = field(default_factory=set)

    def labels(self) -> dict[int, str]:
        """The label of each example that was not purged, live or not."""
        found = {i: e.label for i, e in enumerate(self.examples) if i not in self.purged}
        for operation in self.standing():
            found.update((i, operation.label) for i in operation.relabelled if i in found)
        return found

    def live(self) -> dict[int, str]:
        """The label of each example that counts."""
        enrolled: set[int] = set()
        removed: set[int] = set()
        for operation in self.standing():
            enrolled |= operation.enrolled
            removed |= operation.removed
        return {i: label for i, label in self.labels().items() if i in enrolled - removed}

    def standing(self) -> list[_Operation]:
        """The operations that were not undone."""
        return [operation for operation in self.operations if not operation.undone]

    def state(self) -> State:
        """What a store that did all this holds."""
        examples: dict[tuple[str, bytes], set[tuple[str, bytes | None]]] = {}
        for i, label in self.live().items():
            _, content, source, thumbnail = self.examples[i]
            examples.setdefault((label, content), set()).add((source, thumbnail))
        log = [(n + 1, o.kind, o.undone) for n, o in enumerate(self.operations)]
        return State(examples, log[::-1], (len(self.examples), len(self.purged)))

    def secrets(self) -> set[bytes]:
        """Bytes of purged examples that no example has that was not purged."""
        return self._traces(self.purged) - self._traces(self.labels().keys())

    def moment(self) -> Moment:
        """This model as it is now, whatever comes."""
        operations = [replace(operation) for operation in self.operations]
        model = Model(list(self.examples), operations, set(self.purged))
        return Moment(model, model.state(), model.secrets())

    def _traces(self, which: Iterable[int]) -> set[bytes]:
        found: set[bytes] = set()
        for i in which:
            example = self.examples[i]
            found |= {example.content, digest(example.content), example.source.encode()}
            if example.thumbnail is not None:
                found.add(example.thumbnail)
        return found


class Moment(NamedTuple):
    """A model between two operations, with what follows from it."""

    model: Model
    state: State
    secrets: set[bytes]


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


def _model_enrol(model: Model, *examples: Example) -> None:
    there = {(label, model.examples[i].content) for i, label in model.live().items()}
    first = len(model.examples)
    for example in examples:
        if (example.label, example.content) not in there:
            model.examples.append(example)
            there.add((example.label, example.content))
    if len(model.examples) > first:
        fresh = set(range(first, len(model.examples)))
        model.operations.append(_Operation("enroll", enrolled=fresh))


def _do_enrol(engine: Engine, *examples: Example) -> None:
    new = [
        NewExample(e.label, np.frombuffer(e.content, np.uint8), e.source, e.thumbnail)
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


def _model_forget(model: Model, label: str, content: bytes | None, purge: bool) -> None:
    found = {
        i
        for i, name in (model.labels() if purge else model.live()).items()
        if name == label and content in (None, model.examples[i].content)
    }
    model.operations.append(_Operation("purge" if purge else "forget", removed=found))
    if purge:
        model.purged |= found


def _do_forget(engine: Engine, label: str, content: bytes | None, purge: bool) -> None:
    if content is None:
        engine.forget(label, purge=purge)
        return
    for rows in engine._memory.store.rows():
        for id, name, integers in zip(rows.ids, rows.labels, rows.embeddings, strict=True):
            if (name, integers.tobytes()) == (label, content):
                engine.forget(sample=id, purge=purge)
                return
    raise LookupError(f"no example of {label!r} has the integers {content.hex()}")


def _propose_rename(model: Model, rng: random.Random) -> tuple[Any, ...] | None:
    enrolled = sorted(set(model.live().values()))
    free = [label for label in LABELS if label not in enrolled]
    return (rng.choice(enrolled), rng.choice(free)) if enrolled and free else None


def _model_rename(model: Model, old: str, new: str) -> None:
    which = {i for i, label in model.labels().items() if label == old}
    model.operations.append(_Operation("rename", relabelled=which, label=new))


def _model_undo(model: Model, n: int) -> None:
    able = [
        operation
        for operation in model.standing()
        if operation.kind in ("enroll", "forget", "rename") and operation.touched() - model.purged
    ]
    for operation in able[-n:]:
        operation.undone = True
    if able:
        model.operations.append(_Operation("undo"))


def _model_purge(model: Model) -> None:
    targets = model.labels().keys() - model.live().keys()
    if targets:
        model.purged |= targets
        model.operations.append(_Operation("purge"))


class _Kind(NamedTuple):
    """A kind of operation: how often, what it could be now, and how it is done."""

    weight: int
    propose: Callable[[Model, random.Random], tuple[Any, ...] | None]
    model: Callable[..., None]
    do: Callable[..., Any]


OPERATIONS: dict[str, _Kind] = {
    "enrol": _Kind(10, _propose_enrol, _model_enrol, _do_enrol),
    "forget": _Kind(4, _propose_forget, _model_forget, _do_forget),
    "rename": _Kind(2, _propose_rename, _model_rename, Engine.rename),
    "undo": _Kind(3, lambda _, rng: (rng.choice((1, 1, 2, 3)),), _model_undo, Engine.undo),
    "purge": _Kind(1, lambda *_: (), _model_purge, Engine.purge),
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
    sources = {s.id: s.source for c in store.classes() for s in store.samples(c.label)}
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
    return State(examples, log, (count, purged))
