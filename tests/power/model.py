"""What a store holds after any history, by replaying everything that was not undone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from edgeinc.features import to_features
from edgeinc.store.content import digest

__all__ = ["Example", "Line", "Model", "Moment", "State"]


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
        thresholds: Those that a person set, by label.
    """

    examples: dict[tuple[str, bytes], set[tuple[str, bytes | None]]]
    log: list[tuple[int, str, bool]]
    rows: tuple[int, int]
    thresholds: dict[str, float]

    def admits(self, found: State) -> bool:
        """Is what was found in a store what this one says?"""
        return (
            (found.log, found.rows, found.thresholds) == (self.log, self.rows, self.thresholds)
            and found.examples.keys() == self.examples.keys()
            and all(what <= self.examples[key] for key, what in found.examples.items())
        )


@dataclass
class Line:
    """An operation: the examples that it enrolled, took out or relabelled, or whose class it gave
    a threshold.

    One that came by a merge is foreign: it has no line in the log and cannot be undone here.
    """

    kind: str
    enrolled: set[int] = field(default_factory=set)
    removed: set[int] = field(default_factory=set)
    relabelled: set[int] = field(default_factory=set)
    told: set[int] = field(default_factory=set)
    label: str = ""
    value: float | None = None
    undone: bool = False
    foreign: bool = False

    def touched(self) -> set[int]:
        return self.enrolled | self.removed | self.relabelled | self.told


@dataclass
class Model:
    """Every example ever enrolled, by the order it came, and every operation."""

    examples: list[Example] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
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

    def ruling(self) -> dict[str, Line]:
        """The operation that set the threshold of a class, as far as any of its examples knows."""
        live = self.live()
        return {live[i]: line for line in self.standing() for i in sorted(line.told & live.keys())}

    def standing(self) -> list[Line]:
        """The operations that were not undone."""
        return [operation for operation in self.lines if not operation.undone]

    def state(self) -> State:
        """What a store that did all this holds."""
        examples: dict[tuple[str, bytes], set[tuple[str, bytes | None]]] = {}
        for i, label in self.live().items():
            _, content, source, thumbnail = self.examples[i]
            examples.setdefault((label, content), set()).add((source, thumbnail))
        lines = [operation for operation in self.lines if not operation.foreign]
        log = [(n, line.kind, line.undone) for n, line in enumerate(lines, 1)]
        thresholds = {
            label: line.value for label, line in self.ruling().items() if line.value is not None
        }
        rows = len(self.examples), len(self.purged)
        return State(examples, log[::-1], rows, thresholds)

    def secrets(self) -> set[bytes]:
        """Bytes of purged examples that no example has that was not purged."""
        return self._traces(self.purged) - self._traces(self.labels().keys())

    def moment(self) -> Moment:
        """This model as it is now, whatever comes."""
        model = self.copy()
        return Moment(model, model.state(), model.secrets())

    def copy(self) -> Model:
        """Another model of the same past."""
        operations = [replace(operation) for operation in self.lines]
        return Model(list(self.examples), operations, set(self.purged))

    def enrol(self, *examples: Example) -> None:
        """Add examples, but for those that their class has."""
        there = {(label, self.examples[i].content) for i, label in self.live().items()}
        first, ruling = len(self.examples), self.ruling()
        for example in examples:
            if (example.label, example.content) not in there:
                if example.label in ruling:
                    line = ruling[example.label]
                    line.told = line.told | {len(self.examples)}
                self.examples.append(example)
                there.add((example.label, example.content))
        if len(self.examples) > first:
            fresh = set(range(first, len(self.examples)))
            self.lines.append(Line("enroll", enrolled=fresh))

    def forget(self, label: str, content: bytes | None, purge: bool) -> None:
        """Take a class, or what it has of these integers, out; for good at times."""
        found = {
            i
            for i, name in (self.labels() if purge else self.live()).items()
            if name == label and content in (None, self.examples[i].content)
        }
        self.lines.append(Line("purge" if purge else "forget", removed=found))
        if purge:
            self.purged |= found

    def rename(self, old: str, new: str) -> None:
        """Give every example of a class another label."""
        which = {i for i, label in self.labels().items() if label == old}
        self.lines.append(Line("rename", relabelled=which, label=new))

    def threshold(self, label: str, value: float | None) -> None:
        """Set the threshold of a class, for every example of it that is there."""
        holds = self.ruling().get(label)
        if (holds.value if holds else None) != value:
            told = {i for i, name in self.labels().items() if name == label}
            self.lines.append(Line("threshold", told=told, value=value))

    def undo(self, n: int) -> None:
        """Take back the last operations that can be taken back."""
        able = [
            operation
            for operation in self.standing()
            if operation.kind in ("enroll", "forget", "rename", "threshold")
            and not operation.foreign
            and operation.touched() - self.purged
        ]
        for operation in able[-n:]:
            operation.undone = True
        if able:
            self.lines.append(Line("undo"))

    def purge(self) -> None:
        """Destroy everything that is not live."""
        targets = self.labels().keys() - self.live().keys()
        if targets:
            self.purged |= targets
            self.lines.append(Line("purge"))

    def merge(
        self,
        archive: bool,
        new: tuple[Example, ...],
        forget: tuple[str, bytes | None, bool] | None,
        rename: tuple[str, str] | None,
        threshold: tuple[str, float | None] | None,
    ) -> None:
        """Add what another device did: to examples of its own, or to these."""
        other = Model() if new else self.copy()
        there = len(other.lines)
        if new:
            other.enrol(*new)
        if forget is not None:
            other.forget(*forget)
        if rename is not None:
            other.rename(*rename)
        if threshold is not None:
            other.threshold(*threshold)
        offset = len(self.examples) if new else 0
        if new:
            self.examples += other.examples
        self.purged |= {i + offset for i in other.purged}
        for operation in other.lines[there:]:
            if operation.kind != "purge":
                came = replace(operation, foreign=True)
                for part in ("enrolled", "removed", "relabelled", "told"):
                    setattr(came, part, {i + offset for i in getattr(operation, part)})
                self.lines.append(came)
        self.lines.append(Line("merge"))

    def _traces(self, which: Iterable[int]) -> set[bytes]:
        found: set[bytes] = set()
        for i in which:
            example = self.examples[i]
            found |= {example.content, digest(example.content), example.source.encode()}
            # The sum of a class that holds nothing else.
            row = np.frombuffer(example.content, np.uint8)[np.newaxis]
            found.add(to_features(row, nonnegative=True).astype("<i4").tobytes())
            if example.thumbnail is not None:
                found.add(example.thumbnail)
        return found


class Moment(NamedTuple):
    """A model between two operations, with what follows from it."""

    model: Model
    state: State
    secrets: set[bytes]
