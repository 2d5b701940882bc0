"""What an engine does with its store alone, without a look at a picture."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgeinc.engine.memory import Memory
from edgeinc.engine.merging import paths_of
from edgeinc.types import LogEntry, MergeReport, SampleInfo

if TYPE_CHECKING:
    from edgeinc.review import Review

__all__ = ["Managed"]


class Managed:
    """The half of an `Engine` that needs no backbone."""

    def __init__(self, memory: Memory) -> None:
        """Takes the store and what is learned from it."""
        self._memory = memory

    def forget(
        self, label: str | None = "", *, sample: str | None = None, purge: bool = False
    ) -> int:
        """Takes a class, the negatives (None) or one example out of every sum at once.

        `purge` destroys it too, beyond undo. Returns how many examples were taken out.

        Raises:
            InputError: Both or neither of `label` and `sample`.
            LabelNotFoundError: There is no such class, or no negative.
            SampleNotFoundError: There is no example of the id `sample`.
        """
        change = self._memory.change(lambda store: store.forget(label, sample=sample, purge=purge))
        return len(change.ids)

    def purge(self) -> int:
        """Destroys everything forgotten, beyond undo; returns how many examples."""
        return len(self._memory.change(lambda store: store.purge()).ids)

    def rename(self, old: str, new: str) -> int:
        """Gives a class another name; returns how many examples it has.

        Raises:
            LabelNotFoundError: There is no class `old`.
            LabelError: `new` is no label, or is taken.
        """
        return len(self._memory.change(lambda store: store.rename(old, new)).added)

    def set_threshold(self, label: str, value: float | None) -> None:
        """Sets the familiarity from which a picture is taken for a class; None: worked out.

        Others of the class that come later have it too; it goes with the class, and `undo` takes
        it back.

        Raises:
            InputError: `value` is no number from 0 to 1.
            LabelNotFoundError: There is no such class.
        """
        self._memory.change(lambda store: store.set_threshold(label, value))

    def undo(self, n: int = 1) -> tuple[LogEntry, ...]:
        """Takes back the last n operations; returns those that were, latest first.

        Raises:
            InputError: n is no integer, or less than 1.
        """
        return self._memory.change(lambda store: store.undo(n)).undone

    def merge(self, paths: str | Path | Sequence[str | Path]) -> MergeReport:
        """Adds what other stores, or archives of stores, hold: all or nothing; `Store.merge`.

        `engine.merge_stores` does so without the backbone, and makes a store that is not there.

        Raises:
            InputError: There is none, one is no path, or its name is empty.
            BackboneMismatchError: One was made with another backbone.
            StoreError: One cannot be read or is damaged, or the store refused.
        """
        others = paths_of(paths)
        change = self._memory.change(lambda store: store.merge(others))
        return MergeReport(added=change.came, removed=change.went)

    def export(self, path: str | Path, *, thumbnails: bool = False) -> int:
        """Writes an archive for `merge`; returns how many examples it holds.

        Raises:
            InputError: The file cannot be written.
        """
        return self._memory.store.export(path, thumbnails=thumbnails)

    def review(self, ids: Collection[str] | None = None) -> Review:
        """Takes a second look at examples, such as `EnrollReport.ids`, or at everything for None.

        Wrong labels, copies, outliers, classes that are taken for each other, and whether more
        examples would help; docs/check.md says how. Nothing is changed. A look at new examples
        takes some 0.05 s and needs no fitted head; one at everything waits for the head.

        Raises:
            InputError: One is no id.
            StoreError: As for every read.
        """
        # A prediction has no use for it.
        from edgeinc.engine.second_look import second_look

        return second_look(self._memory, ids)

    def negatives(self) -> int:
        """Counts the negatives: examples that are none of the classes."""
        return self._memory.store.negatives()

    def samples(self, label: str | None) -> list[SampleInfo]:
        """Lists the examples of a class, for None the negatives, oldest first.

        Raises:
            LabelNotFoundError: There is no such class, or no negative.
        """
        return self._memory.store.samples(label)

    def thumbnail(self, id: str) -> bytes | None:
        """Returns the small JPEG kept with an example, where it was enrolled with one.

        Raises:
            SampleNotFoundError: `id` is no id.
        """
        return self._memory.store.thumbnail(id)

    def log(self, n: int | None = None) -> list[LogEntry]:
        """Lists what was done to the store, newest first; only the last n when given.

        Raises:
            InputError: n is no integer, or less than 1.
        """
        return self._memory.store.log(n)
