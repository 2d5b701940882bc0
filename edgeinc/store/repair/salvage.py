"""Saving what is sound of a damaged store into a new one."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from edgeinc.cache import settle
from edgeinc.errors import InputError, StoreFormatError, StoreVersionError, StoreWriteError
from edgeinc.store.disk.leftovers import PrivateFolder
from edgeinc.store.opening import open_store, resolve
from edgeinc.store.records import Identity
from edgeinc.store.repair.rescue import Rescue
from edgeinc.store.repair.wreck import Wreck, open_wreck
from edgeinc.store.schema import MIGRATIONS
from edgeinc.version import __version__

__all__ = ["Salvage", "salvage"]


@dataclass(frozen=True, slots=True)
class Salvage:
    """What was saved, and what was not.

    Attributes:
        path: The new store.
        examples: Examples that were saved, forgotten ones too.
        operations: Operations that were saved.
        lost: Examples that are known to be lost, by label; that of negatives is empty.
        unreadable: How many rows at least could not be read, by table.
    """

    path: str
    examples: int
    operations: int
    lost: dict[str, int] = field(default_factory=dict)
    unreadable: dict[str, int] = field(default_factory=dict)


def salvage(
    path: str | Path,
    new: str | Path,
    *,
    now: float,
    given: Identity | None = None,
    timeout: float = 5.0,
) -> Salvage:
    """Save every example that still matches its digest, with its operations, in a new store.

    The damaged store is only read. What was out of everything stays out, also where the
    operation that took it out is lost. The new store takes the place of the old one: it has
    the same device id, log and undo.

    Args:
        path: The damaged store.
        new: A file that does not exist; it is there whole, or not at all.
        now: Unix time, seconds, for the log.
        given: The backbone, for a store that can no longer tell which one it is bound to.
        timeout: Longest wait for another process's lock, seconds.

    Raises:
        InputError: `new` exists.
        StoreFormatError: There is nothing to be saved.
        StoreVersionError: A newer edgeinc wrote the damaged store.
        StoreBusyError: Another process is writing it.
        StoreWriteError: The new one cannot be written.
        StoreError: The damaged one cannot be read.
    """
    target = resolve(new)
    if os.path.lexists(target):
        raise _exists(target)
    try:
        with PrivateFolder(target.parent) as folder:
            with open_wreck(path, folder.path) as wreck:
                bound = _identity(wreck, given, path)
                part = folder.path / "store"
                saved = _save(wreck, part, bound, now, timeout)
                if not saved.examples and not saved.operations:
                    raise StoreFormatError(
                        f"Nothing in {path} can be saved. Restore it from a copy, or enrol anew."
                    )
            settle(part, target, replace=False)
    except FileExistsError as exc:
        raise _exists(target) from exc
    except OSError as exc:
        raise StoreWriteError(
            f"{target} cannot be written ({exc.strerror}). Choose another place."
        ) from exc
    return Salvage(
        str(target),
        saved.examples,
        saved.operations,
        dict(sorted(saved.lost.items())),
        {table: n for table, n in wreck.unreadable.items() if n},
    )


def _save(wreck: Wreck, part: Path, bound: Identity, now: float, timeout: float) -> Rescue:
    db = open_store(part, bound, timeout=timeout, now=now)
    try:
        with db.writing() as conn:
            rescue = Rescue(wreck, conn, bound.dim)
            rescue.run(now)
    finally:
        db.close()
    return rescue


def _identity(wreck: Wreck, given: Identity | None, path: str | Path) -> Identity:
    """The backbone of the damaged store.

    Raises:
        StoreVersionError: A newer edgeinc wrote it.
        StoreFormatError: Nobody says which it is.
    """
    version = wreck.first("PRAGMA user_version")
    if version is not None and version[0] > len(MIGRATIONS):
        raise StoreVersionError(
            f"{path} has format {version[0]}; edgeinc {__version__} knows formats up to "
            f"{len(MIGRATIONS)}. Upgrade edgeinc."
        )
    if given is not None:
        return given
    found = wreck.first("SELECT backbone, fingerprint, dim FROM store")
    if found is not None and tuple(map(type, found)) == (str, str, int) and found[2] > 0:
        return Identity(*found)
    raise StoreFormatError(
        f"{path} no longer says which backbone made it. Name it with --backbone."
    )


def _exists(target: Path) -> InputError:
    return InputError(f"{target} exists already. Name a file that does not.")
