"""From what was judged to records: the worst of each kind, with ids and sources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp

import numpy as np
from numpy.typing import NDArray

from edgeinc.features import Background, Snapshot
from edgeinc.review.finds import ODDS, confusions, outliers, suspects
from edgeinc.review.judge import Judged
from edgeinc.review.records import ClassLook, Outlier, Pair, Review, Suspect, Twin
from edgeinc.review.twins import Near
from edgeinc.review.words import advice, enough

__all__ = ["Listing", "Source"]

LISTED = 100
"""Entries of each list."""

MOST = 13.8
"""Logarithm of the odds that are shown at most."""

Source = Callable[[str], str | None]
"""Where an example came from, by its id; None where that is not known."""


class Listing:
    """Fills a `Review`, kind by kind; of some of the judged examples only where they are given."""

    def __init__(
        self,
        looked: Snapshot,
        judged: Judged,
        source: Source,
        fresh: NDArray[np.bool_] | None = None,
    ) -> None:
        """Takes what was judged.

        Args:
            looked: The snapshot that `judged` is of.
            judged: Its examples, each left out.
            source: Where an example came from.
            fresh: `(m,)` which of them are new; only these and their classes are listed.
        """
        self._looked, self._judged, self._source = looked, judged, source
        self._fresh = np.ones(len(judged.rows), bool) if fresh is None else fresh
        self._touched = set(np.unique(judged.truth[self._fresh]).tolist())
        self._suspects: list[Suspect] = []
        self._outliers: list[Outlier] = []
        self._twins: list[Twin] = []
        self._pairs: list[Pair] = []
        self._classes: list[ClassLook] = []
        self._warnings: list[str] = []
        self._found: dict[str, int] = {}
        self._copies = 0

    def examples(self, background: Background | None) -> None:
        """Lists suspected labels, outliers that are none of these, and pairs of classes."""
        looked, judged = self._looked, self._judged
        doubted = suspects(judged, looked)
        self._warnings += self._lost(doubted)
        among = np.flatnonzero(np.isin(judged.truth, sorted(self._touched)))
        at, cosines, usual = outliers(looked, judged.rows[among], background)
        odd = [
            (int(among[i]), float(cosine), float(middle))
            for i, cosine, middle in zip(at, cosines, usual, strict=True)
            if self._fresh[among[i]] and among[i] not in doubted
        ]
        fresh = doubted[self._fresh[doubted]]
        pairs = [
            pair
            for pair in confusions(judged, looked)
            if self._touched & {pair.first, pair.second} and looked.labels[pair.first]
        ]
        self._found |= {"suspects": len(fresh), "outliers": len(odd), "pairs": len(pairs)}
        for i in fresh[:LISTED]:
            rival = looked.labels[judged.others[i, 0]]
            odds = exp(min(-float(judged.lead[i]), MOST))
            self._suspects.append(Suspect(*self._example(i), rival, odds, self._origin(i)))
        for i, cosine, middle in odd[:LISTED]:
            record = Outlier(*self._example(i), cosine, middle, self._origin(i))
            self._outliers.append(record)
        for pair in pairs[:LISTED]:
            names = looked.labels[pair.first], looked.labels[pair.second]
            self._pairs.append(Pair(*names, pair.likeness, advice(looked, pair)))

    def twins(self, snapshot: Snapshot, near: Sequence[Near]) -> None:
        """Lists examples of a snapshot that add nothing."""
        self._found["twins"] = len(near)
        # More may have been looked at for copies than was judged.
        judged = {self._looked.key(int(row)) for row in self._judged.rows}
        self._copies = sum(snapshot.key(one.row) in judged for one in near)
        for row, other, cosine in sorted(near, key=lambda n: (-n.cosine, n.row))[:LISTED]:
            id, second = snapshot.key(row), snapshot.key(other)
            label = snapshot.labels[snapshot.y[row]]
            sources = self._source(id), self._source(second)
            self._twins.append(Twin(id, label, second, cosine, *sources))

    def classes(self, snapshot: Snapshot) -> None:
        """Lists classes by what they get back; their sizes are those in the whole snapshot."""
        judged = self._judged
        sizes = dict(zip(snapshot.labels, snapshot.counts.tolist(), strict=True))
        width = len(self._looked.labels)
        held = np.bincount(judged.truth[judged.held], minlength=width)
        right = judged.held & (judged.first == judged.truth)
        back = np.bincount(judged.truth[right], minlength=width)
        telling = bool(judged.others.shape[1])
        looks = [
            ClassLook(
                label, sizes[label], float(back[c] / held[c]) if held[c] and telling else None
            )
            for c, label in enumerate(self._looked.labels)
            if c in self._touched and label
        ]
        looks.sort(key=lambda look: (2.0 if look.accuracy is None else look.accuracy, look.label))
        self._found["classes"] = len(looks)
        self._classes = looks[:LISTED]

    def review(self, snapshot: Snapshot, before: float | None, more: float | None) -> Review:
        """The whole of it; `snapshot` is of everything enrolled."""
        sizes = zip(snapshot.labels, snapshot.counts.tolist(), strict=True)
        counts = [n for label, n in sizes if label]
        accuracy = self._judged.accuracy
        known = [look for look in self._classes if look.accuracy is not None]
        copies = self._copies / max(len(self._judged.rows), 1)
        weak = [look.label for look in known[:1] if (look.accuracy or 0.0) < (accuracy or 0.0)]
        return Review(
            examples=sum(counts),
            judged=len(self._judged.rows),
            accuracy=accuracy,
            before=before,
            gain=more,
            enough=enough(counts, accuracy, more, weak[0] if weak else None, copies),
            suspects=tuple(self._suspects),
            twins=tuple(self._twins),
            outliers=tuple(self._outliers),
            pairs=tuple(self._pairs),
            classes=tuple(self._classes),
            confusion=self._confusion(),
            found=self._found,
            warnings=tuple(self._warnings),
        )

    def _confusion(self) -> dict[str, dict[str, int]]:
        judged, labels = self._judged, self._looked.labels
        result: dict[str, dict[str, int]] = {}
        for truth, answer in zip(judged.truth[judged.held], judged.first[judged.held], strict=True):
            row = result.setdefault(labels[truth], {})
            row[labels[answer]] = row.get(labels[answer], 0) + 1
        return result

    def _lost(self, doubted: NDArray[np.intp]) -> list[str]:
        """A sentence for each class of which every label is suspected."""
        judged, labels = self._judged, self._looked.labels
        sizes = np.bincount(judged.truth, minlength=len(labels))
        bad = np.bincount(judged.truth[doubted], minlength=len(labels))
        lines = []
        for c in np.flatnonzero((bad == sizes) & (bad > 0)).tolist():
            if c not in self._touched:
                continue
            rivals = judged.others[doubted[judged.truth[doubted] == c], 0]
            name = labels[np.bincount(rivals).argmax()]
            lines.append(
                f"every example of {labels[c]!r} is taken for another class, by {ODDS:.0f} to 1 or "
                f"more, most for {name or 'none of yours'!r}: is it the same thing by two names, "
                "or has it been enrolled by mistake?"
            )
        return lines

    def _example(self, i: int) -> tuple[str, str]:
        """Id and label."""
        row = int(self._judged.rows[i])
        return self._looked.key(row), self._looked.labels[self._looked.y[row]]

    def _origin(self, i: int) -> str | None:
        return self._source(self._looked.key(int(self._judged.rows[i])))
