"""What goes into a store and what comes out of it.

Named tuples, because they are made in a fifth of a dataclass's time at every start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgeinc.types import LogEntry

__all__ = [
    "Change",
    "Delta",
    "Identity",
    "Integers",
    "NewExample",
    "Position",
    "Row",
    "Rows",
    "Statistics",
]

Integers: TypeAlias = NDArray[np.integer[Any]]
"""Embedding integers, uint8 or int16; their zero is the real zero."""


Position: TypeAlias = tuple[int, int]
"""A state of a store: the number of its last change, and a number drawn at random with it."""


class Identity(NamedTuple):
    """The backbone that a store is bound to: its name, fingerprint and embedding dimension.

    `nonnegative` is what its card says of its integers, which the fingerprint holds too; None
    where nobody has said it yet: a store made without a card, or an archive.
    """

    backbone: str
    fingerprint: str
    dim: int
    nonnegative: bool | None = None


class NewExample(NamedTuple):
    """An example to enrol.

    Attributes:
        label: Its class; see `clean_label` for what a label may be. None for a negative, which
            shows nothing of any class.
        embedding: `(d,)` uint8 or int16.
        source: Where it came from, for people.
        thumbnail: An encoded picture of it.
    """

    label: str | None
    embedding: Integers
    source: str | None = None
    thumbnail: bytes | None = None


class Row(NamedTuple):
    """A stored example that counts: id (32 hexadecimal digits), class, `(d,)` integers.

    The class of negatives is "", here as in `Rows`.
    """

    id: str
    label: str
    embedding: Integers


class Rows(NamedTuple):
    """Stored examples that count: n ids, n labels, `(n, d)` integers, n digests of these.

    `seq` is the committed state that they belong to.
    """

    ids: tuple[str, ...]
    labels: tuple[str, ...]
    embeddings: Integers
    digests: tuple[bytes, ...]
    seq: Position


class Delta(NamedTuple):
    """What came and went between two states of a store; `seq` is the later one.

    `thresholds` are all that a person had set then, by label, whenever that was.
    """

    added: Rows
    removed: Rows
    seq: Position
    thresholds: Mapping[str, float]


class Statistics(NamedTuple):
    """What is kept of the examples that counted in the state `seq`.

    Attributes:
        seq: A state of the store.
        gram: `(d, d)` float64, symmetric.
        classes: For each class its label, its examples' marks (32 bytes each, sorted: the
            16 bytes of the digest, then the 16 of the id), and the sum of its features,
            `(d,)` int32 or int64.
    """

    seq: Position
    gram: NDArray[np.float64]
    classes: Sequence[tuple[str, bytes, NDArray[Any]]]


class Change(NamedTuple):
    """What an operation did to the examples that count.

    Examples with the same label and the same integers count once, under the least of their
    ids; `added` and `removed` are exact differences of that set, ids included, so that sums
    kept beside the store follow it without reading it again.

    Attributes:
        added: Rows that count now and did not before.
        removed: Rows that counted before and do not now.
        skipped: Examples not enrolled because their class has one just like them.
        ids: Every example that the operation enrolled, took out, brought back, relabelled or
            destroyed; for an enrolment, in the order given.
        operation: Its number in the log; None when there was nothing to do.
        undone: For an undo, the operations that it took back, latest first.
        came: For a merge, how many examples count that did not; one that now has another id or
            another of the same content in its place is not among them. `added` and `removed`
            are empty where a merge is so large that they might not fit in memory.
        went: For a merge, how many examples do not count that did.
        span: The states before and after it; None where it does not say, and its changes are
            to be read from the store.
        thresholds: All that a person had set after it, by label; None where it changed none.
    """

    added: tuple[Row, ...] = ()
    removed: tuple[Row, ...] = ()
    skipped: int = 0
    ids: tuple[str, ...] = ()
    operation: int | None = None
    undone: tuple[LogEntry, ...] = ()
    came: int = 0
    went: int = 0
    span: tuple[Position, Position] | None = None
    thresholds: Mapping[str, float] | None = None
