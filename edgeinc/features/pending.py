"""What came and went since the last Gram that is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeinc.features.gram import SETTLED, Batches, Gram

__all__ = ["Pending"]

HANDED = 64
"""Grams handed out that are watched for having been computed."""

MOST = 4096
"""Rows that may have come or gone since, before the last change; beyond, the Gram is let go."""


class Pending:
    """Hands out Grams, each made from the latest known one and the rows since. One thread."""

    def __init__(self, dim: int) -> None:
        """Start with no Gram and no rows, of length `dim`."""
        self._dim = dim
        # Without a base the Gram is computed from all rows.
        self._base: Gram | None = None
        self._rows: list[tuple[int, NDArray[np.int16]]] = []
        self._many = 0
        # Grams handed out since, any of which somebody may be computing, each with how many of
        # the changes it holds.
        self._handed: list[tuple[Gram, int]] = []

    def start(self, gram: Gram) -> None:
        """Start from a Gram that is known."""
        self._base, self._rows, self._many, self._handed = gram, [], 0, []

    def came(self, rows: NDArray[np.int16]) -> None:
        """Note `(k, d)` rows that came."""
        self._note(1, rows)

    def went(self, rows: NDArray[np.int16]) -> None:
        """Note `(k, d)` rows that went."""
        self._note(-1, rows)

    def gram(self, everything: Batches) -> Gram:
        """The Gram of the present rows, which are `everything`; it may yet be to compute."""
        self._rebase()
        if self._base is not None:
            return self._made(self._base) if self._rows else self._base
        gram = Gram(self._dim, everything)
        self._handed = [*self._handed[-HANDED:], (gram, len(self._rows))]
        return gram

    def _note(self, sign: int, rows: NDArray[np.int16]) -> None:
        """Remember what changed since a Gram that has been or may be computed."""
        if self._base is None and not self._handed:
            return
        if self._many > MOST:
            self._rebase()
        if self._many > MOST:
            # Nobody has asked for it for long, and whoever notes a change has no time for it:
            # whoever asks next goes through all rows.
            self._base, self._handed, self._rows, self._many = None, [], [], 0
            return
        self._rows.append((sign, rows.copy()))
        self._many += len(rows)

    def settle(self) -> None:
        """Work the rows into the Gram where they are many; for whoever has the time."""
        self._rebase()
        if self._base is not None and self._many >= SETTLED:
            self._made(self._base).value()
            self._rebase()

    def _made(self, base: Gram | None) -> Gram:
        """The present Gram, from a known one."""
        signed = [[rows for s, rows in self._rows if s == sign] for sign in (1, -1)]
        gram = Gram(self._dim, base=base, added=signed[0], removed=signed[1])
        self._handed = [*self._handed[-HANDED:], (gram, len(self._rows))]
        return gram

    def _rebase(self) -> None:
        """Start from the last Gram that has been computed."""
        for i, (gram, held) in reversed(list(enumerate(self._handed))):
            if gram.known:
                self._base = gram
                self._many -= sum(len(rows) for _, rows in self._rows[:held])
                del self._rows[:held]
                self._handed = [(g, n - held) for g, n in self._handed[i + 1 :]]
                return
