"""The store as the rest of edgeinc sees it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgeinc.store.checks import is_nonnegative
from edgeinc.store.opening import open_store
from edgeinc.store.reader import Reader
from edgeinc.store.records import Change, Identity, NewExample, Statistics

if TYPE_CHECKING:
    from edgeinc.store.merging.shared import Source

__all__ = ["Store"]


class Store(Reader):
    """An open store; open one with `Store.open`.

    Every method that changes something is one transaction: durable when it has returned, and
    without a trace when it raised. They may raise `StoreReadOnlyError`, `StoreBusyError`
    (another process wrote for longer than the time limit), `StoreWriteError` (the disk
    refused) and `StoreFormatError` (the file is damaged); those that read, the last three.
    Threads may share a store; a forked process opens its own.

    What writes is imported when it is first called: most processes only read.
    """

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        backbone: str,
        fingerprint: str,
        dim: int,
        nonnegative: bool | None = None,
        timeout: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> Store:
        """Open the store at `path`; make a new one where there is none, or an empty file.

        A store in which nothing was ever done is bound to the backbone that opens it last.

        Args:
            path: The file.
            backbone: Name of the backbone, for people.
            fingerprint: What binds the store to the backbone; see `ModelCard.fingerprint`.
            dim: Length of an embedding.
            nonnegative: Whether the backbone's card says that none of its integers is ever
                negative; such an example is then refused wherever one comes in, and reading one
                raises. None where no card is at hand: what the store knows then holds.
            timeout: Longest wait for another process's lock, seconds.
            clock: Unix time, seconds. It dates operations; nothing is ordered by it.

        Raises:
            BackboneMismatchError: The store was made with another backbone.
            StoreFormatError: There is something, but no store, or a damaged one.
            StoreVersionError: A newer edgeinc wrote it.
            StoreReadOnlyError: It would have to be made, upgraded or recovered, and may not
                be written. A sound store that may not be written opens for reading.
            StoreBusyError: Another process held it for longer than `timeout`.
            StoreWriteError: There is no such folder, or the disk refused.
            StoreError: It may not be read.
        """
        wanted = Identity(backbone, fingerprint, dim, nonnegative)
        db = open_store(path, wanted, timeout=timeout, now=clock())
        try:
            with db.reading() as conn:
                known = wanted._replace(nonnegative=is_nonnegative(conn, wanted))
            return cls(db, known, clock)
        except BaseException:
            db.close()
            raise

    def enroll(self, examples: Sequence[NewExample], *, file: str, file_sha256: str) -> Change:
        """Add examples of any number of classes, but for those that their class has already.

        Negatives, whose label is None, are one more class in everything but its name.

        Args:
            examples: What to add.
            file: Name of the weight file that made the embeddings.
            file_sha256: Its sha256, hexadecimal.

        Raises:
            LabelError: A label that may not be; see `clean_label`.
            InputError: An embedding of another shape or type.
        """
        from edgeinc.store import enrolment

        return enrolment.enroll(
            self._db,
            examples,
            bound=self._identity,
            file=(file, file_sha256),
            now=self._clock(),
        )

    def forget(
        self, label: str | None = "", sample: str | None = None, *, purge: bool = False
    ) -> Change:
        """Take a class, the negatives, or one example, out of everything.

        An example goes together with those of its class that have the same integers, since
        they count as one. Without `purge`, `undo` brings back what was taken out. With it,
        embedding, thumbnail, source and digest are destroyed in the file, also of what was
        forgotten of the same class, or of the same example, before; what stays is the random
        id, and the line in the log, without a label that nothing else has.

        Args:
            label: The class; None for the negatives.
            sample: The id of an example instead.
            purge: Destroy beyond undo.

        Raises:
            InputError: Both or neither of `label` and `sample`.
            LabelNotFoundError: No such class is enrolled, or no negative.
            SampleNotFoundError: No such example is.
        """
        from edgeinc.store import removal
        from edgeinc.store.disk import leftovers

        change = removal.forget(
            self._db,
            label=label,
            sample=sample,
            purge=purge,
            bound=self._identity,
            now=self._clock(),
        )
        if purge:
            leftovers.sweep(self._db.path)
        return change

    def purge(self) -> Change:
        """Destroy everything that was forgotten, undone, or left of private copies by a crash."""
        from edgeinc.store import removal
        from edgeinc.store.disk import leftovers

        change = removal.purge(self._db, now=self._clock())
        leftovers.sweep(self._db.path)
        return change

    def rename(self, old: str, new: str) -> Change:
        """Give a class another label.

        Raises:
            LabelNotFoundError: No class `old` is enrolled.
            LabelError: `new` may not be a label, or an enrolled class has it.
        """
        from edgeinc.store import history

        return history.rename(self._db, old, new, bound=self._identity, now=self._clock())

    def set_threshold(self, label: str, value: float | None) -> Change:
        """Set the threshold of a class, or with None have it worked out again.

        Examples that come later have it too, a new name keeps it, it goes with the last example.

        Raises:
            InputError: `value` is no number from 0 to 1.
            LabelNotFoundError: No such class is enrolled.
        """
        from edgeinc.store import history

        return history.set_threshold(
            self._db, label, value, bound=self._identity, now=self._clock()
        )

    def undo(self, n: int = 1) -> Change:
        """Take back the last `n` enrolments, removals, renamings and settings of thresholds.

        Undos, purges and merges are passed over, and operations whose every example has been
        purged. `Change.operation` is None where there was nothing to undo.

        Raises:
            InputError: `n` is no integer, or less than 1.
        """
        from edgeinc.store import history

        return history.undo(self._db, n, bound=self._identity, now=self._clock())

    def merge(self, paths: Sequence[str | Path | Source], *, timeout: float = 5.0) -> Change:
        """Add what other stores, or archives of stores, hold: all of them or none.

        The union of the examples; a removal wins, and a purge over everything: what was purged
        in any of them is destroyed here too, as by `purge`. Of two labels that an example was
        given, the one of the higher logical counter counts. Merging is commutative, associative
        and idempotent; it is not undone. The others are only read.

        Args:
            paths: Store files and archives, or what `sources.open_source` made of them; this
                store among them is passed over.
            timeout: Longest wait for a process that writes to one of them, seconds.

        Returns:
            How many examples came and went; `operation` is None where nothing was new.

        Raises:
            BackboneMismatchError: One was made with another backbone.
            StoreFormatError: One is no store or archive, or a damaged one, or contradicts
                another.
        """
        from edgeinc.store.merging import merge

        return merge.merge(
            self._db, paths, bound=self._identity, timeout=timeout, now=self._clock()
        )

    def export(self, path: str | Path, *, thumbnails: bool = False) -> int:
        """Write an archive: all that a merge takes over, also what was forgotten, not purged.

        Args:
            path: The file; it appears when it is whole and on the disk, in place of another.
            thumbnails: Take thumbnails along, where examples have them.

        Returns how many examples it holds.

        Raises:
            InputError: The file cannot be written.
        """
        from edgeinc.store.merging.archive import write_archive
        from edgeinc.store.merging.sources import StoreSource

        source = StoreSource(self._db)
        write_archive(source, source.counts, path, thumbnails=thumbnails)
        return source.counts.examples

    def keep(
        self, statistics: Statistics, form: str, *, whole: bool = False, wait: float | None = None
    ) -> bool:
        """Keep statistics of the examples, so that opening need not read them all.

        Args:
            statistics: Those of the examples that counted after one of the store's changes.
            form: How features were made; `Reader.statistics` asks for the same.
            whole: Write all, also what is there already: it was found damaged.
            wait: Longest wait for another's lock, seconds; else the store's own limit.

        Returns False where the store has later ones, or a purge came since.
        """
        from edgeinc.store import keeping

        bound = self._identity
        return keeping.keep(self._db, statistics, form, bound=bound, whole=whole, wait=wait)
