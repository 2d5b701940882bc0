"""A store's own row: made with the store, and bound to a backbone."""

from __future__ import annotations

import os
from contextlib import suppress

from edgeinc.errors import StoreBusyError, StoreWriteError
from edgeinc.store import schema
from edgeinc.store.checks import identity, is_blank, is_bound
from edgeinc.store.disk.connection import Database
from edgeinc.store.disk.trust import one_row
from edgeinc.store.records import Identity
from edgeinc.version import __version__

__all__ = ["bind", "create"]

_UNUSED = "SELECT NOT EXISTS (SELECT 1 FROM operations)"


def create(db: Database, wanted: Identity, now: float) -> None:
    """Make the tables and the store's own row in one transaction: all of it or nothing."""
    with db.writing() as conn:
        if not is_blank(conn):
            return  # another process was quicker
        conn.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        for number in range(1, len(schema.MIGRATIONS) + 1):
            schema.apply_migration(conn, number)
        conn.execute("INSERT INTO devices (id, uid) VALUES (1, ?)", (os.urandom(16),))
        conn.execute(
            "INSERT INTO store (id, device, backbone, fingerprint, dim, nonnegative, counter,"
            " lines, scrub, created, tool) VALUES (1, 1, ?, ?, ?, ?, 0, 0, 0, ?, ?)",
            (*wanted, float(now), __version__),
        )


def bind(db: Database, wanted: Identity) -> None:
    """Bind a store in which nothing was ever done to this backbone.

    One that is bound to it, but was made by who did not know whether its numbers may be
    negative, is told.

    Raises:
        StoreError: As for every read, and for the write where one is due.
    """
    with db.reading() as conn:
        here = identity(conn)
        bound = is_bound(conn, wanted)
        unused = one_row(conn.execute(_UNUSED))[0]
    if db.read_only:
        return
    if not bound and unused:
        with db.writing() as conn:
            # Another process may have been quicker to use it.
            if one_row(conn.execute(_UNUSED))[0]:
                query = "UPDATE store SET backbone = ?, fingerprint = ?, dim = ?, nonnegative = ?"
                conn.execute(query, wanted)
    elif bound and here.nonnegative is None and wanted.nonnegative is not None:
        # Another process's lock or a full disk may put this off, not the opening.
        with suppress(StoreBusyError, StoreWriteError), db.writing() as conn:
            if is_bound(conn, wanted):
                conn.execute("UPDATE store SET nonnegative = ?", (wanted.nonnegative,))
