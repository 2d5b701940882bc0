"""The enrolled examples: added, removed and merged, with exact sums."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinc.errors import InputError, LabelNotFoundError, SampleNotFoundError
from edgeinc.features.gram import Gram
from edgeinc.features.marks import CONTENT, MARK, content_of, find, narrow
from edgeinc.features.pending import Pending
from edgeinc.features.snapshot import FETCHED, ROW, ClassBlock, Fetch, Snapshot, matrix

__all__ = ["Examples"]

Features = NDArray[np.int16]


class Examples:
    """A multiset of labelled features with integer sums that follow every change exactly.

    Forgetting is subtraction and merging is addition, and both leave the same integers as if
    the surviving examples had been added to an empty one. Not safe for several threads at once:
    hold a lock around it; a `Snapshot`, once taken, needs none.

    Each example has a mark of 32 bytes, by which it is ordered within its class: 16 that belong
    to its content, 16 to itself. Without a `Fetch` the rows are held (2 bytes a value). With one
    they are fetched by their marks when somebody needs them, and memory is the marks, the sums
    (4 C d bytes) and, once a head asked for it, the Gram (8 d**2 bytes).
    """

    def __init__(self, dim: int, fetch: Fetch | None = None) -> None:
        """Start empty, for features of length `dim`; rows are held unless there is a `fetch`."""
        self.dim = dim
        self._fetch = fetch
        self._blocks: dict[str, ClassBlock] = {}
        self._labels: list[str] = []
        # By label, for whoever asks after each change; None where it is to be made anew.
        self._counts: dict[str, int] | None = None
        self._pending = Pending(dim)

    @classmethod
    def restored(
        cls,
        dim: int,
        fetch: Fetch,
        classes: Iterable[tuple[str, bytes, NDArray[Any]]],
        gram: NDArray[np.float64] | None = None,
    ) -> Examples:
        """Start from statistics: label, sorted marks and sum of each class, and a `(d, d)` Gram.

        Without a Gram it is made of all rows when somebody asks for it.
        """
        examples = cls(dim, fetch)
        examples._blocks = {label: ClassBlock(m, total, None) for label, m, total in classes}
        examples._labels = sorted(examples._blocks)
        if gram is not None:
            examples._pending.start(Gram.of(gram))
        return examples

    def __getstate__(self) -> dict[str, object]:
        """What a copy or a pickle takes along: the examples, not what was computed from them."""
        return {"dim": self.dim, "fetch": self._fetch, "blocks": dict(self._blocks)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Start from what `__getstate__` gave."""
        Examples.__init__(self, state["dim"], state["fetch"])
        self._blocks = state["blocks"]
        self._labels = sorted(self._blocks)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels that have an example, sorted by code point."""
        return tuple(self._labels)

    @property
    def total(self) -> int:
        """Number of examples."""
        return sum(len(block) for block in self._blocks.values())

    def count(self, label: str) -> int:
        """Number of examples of `label`, 0 when there is none."""
        return len(self._blocks[label]) if label in self._blocks else 0

    def counts(self) -> dict[str, int]:
        """Examples of each class, by label."""
        if self._counts is None:
            self._counts = {label: len(self._blocks[label]) for label in self._labels}
        return self._counts.copy()

    def differences(self, other: Examples) -> set[str]:
        """The labels whose examples are not the same ones in another."""
        either = self._blocks.keys() | other._blocks.keys()
        blocks = ((label, self._block(label), other._block(label)) for label in either)
        return {label for label, mine, theirs in blocks if mine.marks != theirs.marks}

    def sum_of(self, label: str) -> NDArray[np.int64]:
        """Exact sum `(d,)` of the examples of `label`, zeros when there is none."""
        block = self._blocks.get(label)
        return np.zeros(self.dim, np.int64) if block is None else block.total.astype(np.int64)

    def add(self, label: str, features: Features, marks: Sequence[bytes] | None = None) -> None:
        """Add `(n, d)` int16 features to a class, each with its mark.

        Without marks the first half is a digest of the row and the second is zero.

        Raises:
            InputError: The shape or type is not that, or marks and rows differ in number.
        """
        names = self._checked(features, marks)
        if not names:
            return
        block = self._block(label)
        order = sorted(range(len(names)), key=names.__getitem__)
        pieces: list[bytes] = []
        rows: list[bytes] = []
        last = 0
        for i in order:
            at = find(block.marks, names[i], last)
            pieces += [block.marks[MARK * last : MARK * at], names[i]]
            if block.rows is not None:
                rows += [*block.rows[last:at], features[i].tobytes()]
            last = at
        pieces.append(block.marks[MARK * last :])
        held = None if block.rows is None else (*rows, *block.rows[last:])
        total = narrow(block.total + features.sum(axis=0, dtype=np.int64))
        if label not in self._blocks:
            insort(self._labels, label)
            self._counts = None
        self._blocks[label] = ClassBlock(b"".join(pieces), total, held)
        self._recount(label)
        self._pending.came(features)

    def remove(self, label: str, features: Features, marks: Sequence[bytes] | None = None) -> None:
        """Take `(n, d)` int16 features, with these marks where given, out of a class.

        Either all of them go or none. A class without examples is gone.

        Raises:
            LabelNotFoundError: The class has no examples.
            SampleNotFoundError: One of the rows is not among the class's examples.
            InputError: As for `add`.
        """
        names = self._checked(features, marks)
        if label not in self._blocks:
            raise LabelNotFoundError(
                f"No class {label!r} is enrolled; list the classes to see what is."
            )
        block = self._block(label)
        length = CONTENT if marks is None else MARK
        gone: list[int] = []
        for name in sorted(names):
            at = find(block.marks, name, gone[-1] + 1 if gone else 0)
            if at == len(block) or block.mark(at)[:length] != name[:length]:
                raise SampleNotFoundError(
                    f"An example to be removed from {label!r} is not among its examples; "
                    "it may have been removed before."
                )
            gone.append(at)
        if len(gone) == len(block):
            del self._blocks[label]
            del self._labels[bisect_left(self._labels, label)]
        else:
            runs = list(zip([0, *(at + 1 for at in gone)], [*gone, len(block)], strict=True))
            left = b"".join(block.marks[MARK * i : MARK * j] for i, j in runs)
            rows = block.rows
            held = None if rows is None else tuple(row for i, j in runs for row in rows[i:j])
            total = narrow(block.total - features.sum(axis=0, dtype=np.int64))
            self._blocks[label] = ClassBlock(left, total, held)
        self._recount(label)
        self._pending.went(features)

    def merge(self, other: Examples) -> None:
        """Add all examples of another one; sums add up exactly.

        Raises:
            InputError: The features differ in length.
        """
        if other.dim != self.dim:
            raise InputError(
                f"Features of length {other.dim} cannot be merged with features of length "
                f"{self.dim}; both sides must come from the same backbone."
            )
        for label, block in list(other._blocks.items()):
            for start in range(0, len(block), FETCHED):
                marks = [block.mark(i) for i in range(start, min(start + FETCHED, len(block)))]
                self.add(label, other._rows(block, start, marks), marks)

    def snapshot(self) -> Snapshot:
        """The present examples in canonical order, immutable."""
        blocks = [(label, self._blocks[label]) for label in self._labels]
        gram = self._pending.gram(lambda: self._batches([block for _, block in blocks]))
        return Snapshot(self.dim, blocks, gram, self._fetch)

    def settle(self) -> None:
        """Work what changed into a known Gram where that is much; for whoever has the time."""
        self._pending.settle()

    def _recount(self, label: str) -> None:
        if self._counts is not None and label in self._blocks:
            self._counts[label] = len(self._blocks[label])
        elif self._counts is not None:
            del self._counts[label]

    def _batches(self, blocks: Sequence[ClassBlock]) -> Iterator[Features]:
        """All rows of some blocks, `FETCHED` at a time however small the blocks."""
        if self._fetch is None:
            held = (row for block in blocks for row in block.rows or ())
            while some := list(islice(held, FETCHED)):
                yield matrix(some, self.dim)
        else:
            marks = (block.mark(i) for block in blocks for i in range(len(block)))
            while part := list(islice(marks, FETCHED)):
                yield self._fetch(part)

    def _rows(self, block: ClassBlock, start: int, marks: Sequence[bytes]) -> Features:
        if block.rows is not None:
            return matrix(block.rows[start : start + len(marks)], self.dim)
        return np.zeros((0, self.dim), ROW) if self._fetch is None else self._fetch(marks)

    def _block(self, label: str) -> ClassBlock:
        """What is held of a class; an empty block for one that is not."""
        rows = () if self._fetch is None else None
        return self._blocks.get(label) or ClassBlock(b"", np.zeros(self.dim, np.int64), rows)

    def _checked(self, features: Features, marks: Sequence[bytes] | None) -> list[bytes]:
        if features.ndim != 2 or features.shape[1] != self.dim or features.dtype != ROW:
            raise InputError(
                f"Features must be an (n, {self.dim}) array of int16, not "
                f"{features.shape} of {features.dtype}; make them with to_features."
            )
        if marks is None:
            return [content_of(row) + bytes(MARK - CONTENT) for row in features]
        if len(marks) != len(features) or any(len(mark) != MARK for mark in marks):
            raise InputError(
                f"{len(marks)} marks for {len(features)} rows; give one mark of {MARK} bytes a row."
            )
        return list(marks)
