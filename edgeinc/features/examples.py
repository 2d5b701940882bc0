"""The enrolled examples: added, removed and merged, with exact sums."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinc.errors import InputError, LabelNotFoundError, SampleNotFoundError
from edgeinc.features.snapshot import ROW, ClassBlock, Gram, Snapshot

HANDED = 64
"""Grams handed out that are watched for having been computed."""


class Examples:
    """A multiset of labelled features with integer sums that follow every change exactly.

    Forgetting is subtraction and merging is addition, and both leave the same integers as if
    the surviving examples had been added to an empty one. Not safe for several threads at once:
    hold a lock around it; a `Snapshot`, once taken, needs none.

    Memory is the rows (2 bytes a value, so 200 MB for 100,000 x 1024) and, once a head asked for
    it, the Gram (8 d**2 bytes). Class means, `ridge` and `lda` need only counts, sums and Gram:
    a `ClassBlock` with a count in place of its entries is all that it takes to leave rows out;
    `knn`, `search` and leave-one-out need the rows.
    """

    def __init__(self, dim: int) -> None:
        """Start empty, for features of length `dim`."""
        self.dim = dim
        self._blocks: dict[str, ClassBlock] = {}
        # The latest Gram known to be computed, and the rows that came and went since. Without
        # one the Gram is computed from all rows.
        self._base: Gram | None = None
        self._added: list[bytes] = []
        self._removed: list[bytes] = []
        # Grams handed out since, any of which somebody may be computing, each with how much of
        # the two lists it holds.
        self._handed: list[tuple[Gram, int, int]] = []

    def __getstate__(self) -> dict[str, object]:
        """What a copy or a pickle takes along: the examples, not what was computed from them."""
        return {"dim": self.dim, "blocks": dict(self._blocks)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Start from what `__getstate__` gave."""
        Examples.__init__(self, state["dim"])
        self._blocks = state["blocks"]

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels that have an example, sorted by code point."""
        return tuple(sorted(self._blocks))

    @property
    def total(self) -> int:
        """Number of examples."""
        return sum(len(block.entries) for block in self._blocks.values())

    def count(self, label: str) -> int:
        """Number of examples of `label`, 0 when there is none."""
        return len(self._blocks[label].entries) if label in self._blocks else 0

    def add(
        self, label: str, features: NDArray[np.int16], keys: Sequence[str] | None = None
    ) -> None:
        """Add `(n, d)` int16 features to a class, each with an optional key (such as its id).

        Raises:
            InputError: The shape or type is not that, or keys and rows differ in number.
        """
        rows, names = self._checked(features, keys)
        if not rows:
            return
        entries, total = self._held(label)
        if len(rows) == 1:
            insort(entries, (rows[0], names[0]))
        else:
            entries.extend(zip(rows, names, strict=True))
            entries.sort()
        total = total + features.sum(axis=0, dtype=np.int64)
        self._blocks[label] = ClassBlock(tuple(entries), total)
        self._follow(rows, ())

    def remove(
        self, label: str, features: NDArray[np.int16], keys: Sequence[str] | None = None
    ) -> None:
        """Take `(n, d)` int16 features, with these keys where given, out of a class.

        Either all of them go or none. A class without examples is gone.

        Raises:
            LabelNotFoundError: The class has no examples.
            SampleNotFoundError: One of the rows is not among the class's examples.
            InputError: As for `add`.
        """
        rows, names = self._checked(features, keys)
        if label not in self._blocks:
            raise LabelNotFoundError(
                f"No class {label!r} is enrolled; list the classes to see what is."
            )
        entries, total = self._held(label)
        for row, name in zip(rows, names, strict=True):
            at = bisect_left(entries, (row, name))
            same = at < len(entries) and entries[at][0] == row
            if not same or (keys is not None and entries[at][1] != name):
                raise SampleNotFoundError(
                    f"An example to be removed from {label!r} is not among its examples; "
                    "it may have been removed before."
                )
            del entries[at]
        total = total - features.sum(axis=0, dtype=np.int64)
        if entries:
            self._blocks[label] = ClassBlock(tuple(entries), total)
        else:
            del self._blocks[label]
        self._follow((), rows)

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
            entries, total = self._held(label)
            entries = sorted([*entries, *block.entries])
            self._blocks[label] = ClassBlock(tuple(entries), total + block.total)
            self._follow([row for row, _ in block.entries], ())

    def snapshot(self) -> Snapshot:
        """The present examples in canonical order, immutable."""
        blocks = [(label, self._blocks[label]) for label in sorted(self._blocks)]
        self._rebase()
        if self._base is None:
            gram = Gram(self.dim, [block for _, block in blocks])
        else:
            came, went = Counter(self._added), Counter(self._removed)
            gram = Gram(
                self.dim,
                base=self._base,
                added=tuple((came - went).elements()),
                removed=tuple((went - came).elements()),
            )
        self._handed = [*self._handed[-HANDED:], (gram, len(self._added), len(self._removed))]
        return Snapshot(self.dim, blocks, gram)

    def _rebase(self) -> None:
        """Start from the last Gram that has been computed; drop a base that is no use."""
        for i, (gram, added, removed) in reversed(list(enumerate(self._handed))):
            if gram.known:
                self._base = gram
                del self._added[:added], self._removed[:removed]
                later = self._handed[i + 1 :]
                self._handed = [(g, a - added, r - removed) for g, a, r in later]
                return
        if len(self._added) + len(self._removed) > self.total:
            self._base, self._handed, self._added, self._removed = None, [], [], []

    def _follow(self, added: Sequence[bytes], removed: Sequence[bytes]) -> None:
        """Remember what changed since a Gram that has been or may be computed."""
        if self._base is not None or self._handed:
            self._added.extend(added)
            self._removed.extend(removed)

    def _held(self, label: str) -> tuple[list[tuple[bytes, str]], NDArray[np.int64]]:
        """A class's entries as a new list, and its sum; empty for a class not held."""
        block = self._blocks.get(label)
        if block is None:
            return [], np.zeros(self.dim, np.int64)
        return list(block.entries), block.total

    def _checked(
        self, features: NDArray[np.int16], keys: Sequence[str] | None
    ) -> tuple[list[bytes], list[str]]:
        if features.ndim != 2 or features.shape[1] != self.dim or features.dtype != ROW:
            raise InputError(
                f"Features must be an (n, {self.dim}) array of int16, not "
                f"{features.shape} of {features.dtype}; make them with to_features."
            )
        names = [""] * len(features) if keys is None else list(keys)
        if len(names) != len(features):
            raise InputError(f"{len(names)} keys for {len(features)} rows; give one key a row.")
        return [row.tobytes() for row in features], names
