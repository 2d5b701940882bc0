"""Is this file a store, a sound one, one of ours to open, and with this backbone?"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from edgeinc.cache import is_here, user_models_dir
from edgeinc.errors import BackboneMismatchError, StoreFormatError, StoreVersionError
from edgeinc.store import schema
from edgeinc.store.disk.connection import Database
from edgeinc.store.disk.trust import expect, one_row
from edgeinc.store.records import Identity
from edgeinc.version import __version__

__all__ = [
    "MISCOUNTED",
    "QUICK_CHECK_BYTES",
    "check",
    "compare",
    "format_version",
    "identity",
    "is_blank",
    "is_bound",
    "is_nonnegative",
    "match",
    "refuse_newer",
    "shape_fault",
]

QUICK_CHECK_BYTES = 32 << 20
"""Up to this size `quick_check` of the whole file runs at every opening. It would open a larger
store slowly; there, the tables that say what an example is are checked, which take little space,
and each example is checked against its digest when it is read. `doctor` checks everything."""

SMALL_TABLES = ("store", "devices", "files", "classes", "removals", "relabels", "thresholds")
PARTIAL_CHECK = (3, 33)
"""The first SQLite that can check one table."""

MISCOUNTED = """
SELECT count(*) FROM classes c WHERE examples <> (
    SELECT count(DISTINCT digest) FROM samples s WHERE s.class = c.id AND s.live = 1
)
"""
"""How many classes have another number of examples than is kept with them."""


def is_blank(conn: sqlite3.Connection) -> bool:
    """True for a file that holds nothing yet, which is how an interrupted making leaves it."""
    return not any(_marks(conn)) and not schema.found_objects(conn)


def check(db: Database) -> None:
    """Refuse what is no store, a newer one or a damaged one; upgrade an older one.

    Raises:
        StoreFormatError: No store, or a damaged one.
        StoreVersionError: A newer edgeinc wrote it.
        StoreReadOnlyError: It needs an upgrade and may not be written.
    """
    with db.reading() as conn:
        version = format_version(conn, db.path)
    for number in range(version + 1, len(schema.MIGRATIONS) + 1):
        _upgrade(db, number)
    with db.reading() as conn:
        faults = _faults(conn)
    if faults is not None:
        raise StoreFormatError(
            f"{db.path} is damaged ({faults}). Restore it from a copy, or see `edgeinc doctor`."
        )


def format_version(conn: sqlite3.Connection, path: Path) -> int:
    """The format of a store, one that this edgeinc knows.

    Raises:
        StoreFormatError: It is the database of another program, or says no format.
        StoreVersionError: A newer edgeinc wrote it.
    """
    application, version = _marks(conn)
    if application != schema.APPLICATION_ID:
        raise StoreFormatError(f"{path} is a database but not a store. Choose another file.")
    refuse_newer(conn, path)
    if version < 1:
        raise StoreFormatError(
            f"{path} is damaged (there is no format {version}). Restore it from a copy, or see "
            "`edgeinc doctor`."
        )
    return version


def refuse_newer(conn: sqlite3.Connection, path: Path) -> None:
    """Refuse a store of a newer format than this edgeinc knows.

    It is asked again in each transaction that handles embeddings, since a newer edgeinc may
    upgrade a store that an older one has open.

    Raises:
        StoreVersionError: A newer edgeinc wrote it.
    """
    version, latest = _marks(conn)[1], len(schema.MIGRATIONS)
    if version > latest:
        raise StoreVersionError(
            f"{path} has format {version}; edgeinc {__version__} knows formats up to "
            f"{latest}. Upgrade edgeinc."
        )


def identity(conn: sqlite3.Connection) -> Identity:
    """The backbone that a store is bound to.

    Raises:
        StoreFormatError: The store does not say.
    """
    # What is only examined may be of the first format.
    known = "nonnegative" if _marks(conn)[1] > 1 else "NULL"
    query = f"SELECT backbone, fingerprint, dim, {known} FROM store"
    backbone, fingerprint, dim, sign = one_row(conn.execute(query))
    nonnegative = None if sign is None else bool(sign)
    return Identity(expect(str, backbone), expect(str, fingerprint), expect(int, dim), nonnegative)


def is_bound(conn: sqlite3.Connection, wanted: Identity) -> bool:
    """True where the store is bound to this backbone, whatever it is called."""
    found = identity(conn)
    return (found.fingerprint, found.dim) == (wanted.fingerprint, wanted.dim)


def is_nonnegative(conn: sqlite3.Connection, bound: Identity) -> bool:
    """True where an engine, in this process or another, has said that no number is negative."""
    return bool(bound.nonnegative or identity(conn).nonnegative)


def match(conn: sqlite3.Connection, path: Path, wanted: Identity) -> None:
    """Refuse a store that is bound to another backbone.

    It is asked again in each transaction that handles embeddings: as long as nothing was
    ever done in a store, another process may bind it anew; see `opening.open_store`.

    Raises:
        BackboneMismatchError: Its message names both backbones.
        StoreVersionError: A newer edgeinc has upgraded it since.
    """
    refuse_newer(conn, path)
    compare(path, identity(conn), wanted)


def compare(path: Path, found: Identity, wanted: Identity) -> None:
    """Refuse what is bound to another backbone, whatever the two are called.

    Raises:
        BackboneMismatchError: Its message names both backbones.
    """
    if (found.fingerprint, found.dim) == (wanted.fingerprint, wanted.dim):
        return
    raise BackboneMismatchError(
        f"{path} was made with backbone {found.backbone!r} ({found.dim} dimensions, "
        f"fingerprint {found.fingerprint[:12]}), not with {wanted.backbone!r} ({wanted.dim} "
        f"dimensions, fingerprint {wanted.fingerprint[:12]}). {_instead(found, wanted)}"
    )


def _instead(found: Identity, wanted: Identity) -> str:
    """What to do about a store of another backbone."""
    if found.backbone != wanted.backbone:
        return "Use that backbone or another store."
    added = user_models_dir() / wanted.backbone
    how = f"rename or remove {added}" if is_here(added) else "name the card that it was made with"
    return f"Two networks have that name: {how}, or use another store."


def _marks(conn: sqlite3.Connection) -> tuple[int, int]:
    (application,) = conn.execute("PRAGMA application_id").fetchone()
    (version,) = conn.execute("PRAGMA user_version").fetchone()
    return application, version


def _upgrade(db: Database, number: int) -> None:
    """Bring a store to version `number`, unless another process has just done it."""
    with db.writing() as conn:
        # Another's tables, or triggers, are left alone; they are refused in a moment.
        if _marks(conn)[1] == number - 1 and shape_fault(conn) is None:
            schema.apply_migration(conn, number)


def shape_fault(conn: sqlite3.Connection) -> str | None:
    """What is wrong with the tables of a store of any format, or None."""
    # A view or trigger in place of a table could run without end, or anything at all.
    found = schema.found_objects(conn)
    expected = schema.expected_objects(_marks(conn)[1])
    if not expected <= found or any(kind == "trigger" for kind, *_ in found):
        return "its tables are not those of a store"
    return None


def _faults(conn: sqlite3.Connection) -> str | None:
    """What is wrong with a store, or None."""
    fault = shape_fault(conn)
    if fault is not None:
        return fault
    (pages,) = conn.execute("PRAGMA page_count").fetchone()
    (page_size,) = conn.execute("PRAGMA page_size").fetchone()
    if pages * page_size <= QUICK_CHECK_BYTES:
        checks = ["PRAGMA quick_check(1)"]
    elif sqlite3.sqlite_version_info >= PARTIAL_CHECK:
        checks = [f"PRAGMA quick_check({table})" for table in SMALL_TABLES]
    else:
        checks = []
    for check in checks:
        (verdict,) = conn.execute(check).fetchone()
        if verdict != "ok":
            return str(verdict).splitlines()[-1]
    if pages * page_size <= QUICK_CHECK_BYTES:
        # Both take less time than the check before.
        if conn.execute("PRAGMA foreign_key_check").fetchone() is not None:
            return "rows refer to others that are not there"
        if one_row(conn.execute(MISCOUNTED))[0]:
            return "classes have another number of examples than they say"
    return None
