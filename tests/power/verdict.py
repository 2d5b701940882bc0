"""Opens what a power cut or a kill left, with the product's own code, and judges it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeinc import Engine
from edgeinc.errors import EdgeincError
from edgeinc.features import Examples, Snapshot, to_features
from tests.power.driver import STORE
from tests.power.history import DIM, Operation, backbone, execute, follow, observe
from tests.power.model import Example, Moment, State

__all__ = ["Past", "Verdict", "judge", "still_destroyed"]


class Past(NamedTuple):
    """What is known of a store when its power went.

    Attributes:
        moments: What it held at first, after each operation that returned, and last, where one
            was on its way, what it would hold after that.
        acknowledged: How many operations have returned; `moments[acknowledged]` is the least
            that must be there.
        device: Its device's id, once its making was acknowledged.
        destroyed: Bytes of which a purge that returned, or opening the store after one that was
            cut short, has left nothing.
    """

    moments: Sequence[Moment]
    acknowledged: int
    device: str | None
    destroyed: set[bytes]


class Verdict(NamedTuple):
    """What was found.

    Attributes:
        fault: None, or `lost` (an acknowledged operation is not there), `half` (what is there is
            the state after no operation), `damaged` (it does not open, or a check fails),
            `traces` (bytes that an acknowledged purge destroyed), `stuck` (the next enrolment
            fails).
        words: More about a fault.
        operation: The index into `Past.moments` of what is there.
        kept: Statistics were beside the examples.
    """

    fault: str | None
    words: str = ""
    operation: int = -1
    kept: bool = False


def judge(folder: Path, past: Past, *, go_on: Example | None = None) -> Verdict:
    """Open the store in `folder` and compare it with its past.

    Args:
        folder: Holds the store and whatever lies beside it.
        past: What it should hold.
        go_on: Enrol this one too, and look whether it is there.
    """
    if found := _found(folder, still_destroyed(past, past.moments[-1])):
        return Verdict("traces", f"{found.hex()} was purged and is in the files")
    try:
        with Engine.open(folder / STORE, backbone=backbone()) as engine:
            verdict = _compare(engine, past)
        if verdict.fault is not None:
            return verdict
        moment = past.moments[verdict.operation]
        if found := _found(folder, moment.secrets):
            return Verdict("traces", f"{found.hex()} was purged and is in the opened files")
        return verdict if go_on is None else _go_on(folder, moment, go_on, verdict)
    except EdgeincError as exc:
        return Verdict("damaged", f"{type(exc).__name__}: {exc}")


def still_destroyed(past: Past, moment: Moment) -> set[bytes]:
    """What of the destroyed bytes may be in no file, where a store is in this moment.

    An operation that was cut short may have brought some of them back, an example with the same
    integers say; until the store is opened again the files hold what it had written.
    """
    return past.destroyed & moment.secrets & past.moments[-1].secrets


def _compare(engine: Engine, past: Past) -> Verdict:
    store = engine._memory.store
    with store._db.reading() as conn:
        checks = conn.execute("PRAGMA integrity_check").fetchall()
        checks += conn.execute("PRAGMA foreign_key_check").fetchall()
        (kept,) = conn.execute("SELECT count(*) FROM gram").fetchone()
    if checks != [("ok",)]:
        return Verdict("damaged", str(checks))
    if past.device not in (None, store.device_id):
        return Verdict("lost", "the store is another one")
    found = observe(store)
    at = _which(found, past.moments)
    if at is None:
        return Verdict("half", f"{found.log[:2]}, {found.rows}")
    if at < past.acknowledged:
        return Verdict("lost", f"operations {at} to {past.acknowledged - 1}", at)
    if not _equal(engine._memory._learner.snapshot(), _sums(frozenset(found.examples))):
        return Verdict("half", "the sums are not those of the examples", at)
    if engine._memory._learner.overrides != found.thresholds:
        return Verdict("half", "the thresholds are not those of the store", at)
    return Verdict(None, operation=at, kept=kept > 0)


def _which(found: State, moments: Sequence[Moment]) -> int | None:
    """The latest moment whose state was found: nearly always one of the last two."""
    indices = reversed(range(len(moments)))
    return next((at for at in indices if moments[at].state.admits(found)), None)


def _go_on(folder: Path, moment: Moment, example: Example, verdict: Verdict) -> Verdict:
    """Enrol one more, and open the store once more."""
    model = moment.model.copy()
    operation = Operation("enrol", (example,))
    with Engine.open(folder / STORE, backbone=backbone()) as engine:
        execute(engine, operation)
    follow(model, operation)
    with Engine.open(folder / STORE, backbone=backbone()) as engine:
        if not model.state().admits(observe(engine._memory.store)):
            return Verdict("stuck", "the next enrolment is not there")
    return verdict


def _found(folder: Path, secrets: set[bytes]) -> bytes | None:
    """One of these, where it is in a file of the folder."""
    if not secrets:
        return None
    content = b"".join(file.read_bytes() + bytes(4) for file in sorted(folder.iterdir()))
    # Hundreds of secrets: they are looked for where four bytes begin one, all at once.
    known = np.zeros(1 << 16, bool)
    known[_hashes(b"".join(secret[:4] for secret in secrets))[::4]] = True
    lengths = {len(secret) for secret in secrets}
    for at in np.flatnonzero(known[_hashes(content)]).tolist():
        for length in lengths:
            if content[at : at + length] in secrets:
                return content[at : at + length]
    return None


def _hashes(content: bytes) -> NDArray[np.uint32]:
    """Sixteen bits for each four bytes that follow each other."""
    a = np.frombuffer(content, np.uint8).astype(np.uint32)
    words = a[:-3] | a[1:-2] << 8 | a[2:-1] << 16 | a[3:] << 24
    return words * np.uint32(2654435761) >> np.uint32(16)


@lru_cache(maxsize=8)
def _sums(counted: frozenset[tuple[str, bytes]]) -> Snapshot:
    """What a learner knows that was given these examples and nothing else."""
    examples = Examples(DIM)
    for label, content in sorted(counted):
        row = np.frombuffer(content, np.uint8)[np.newaxis]
        examples.add(label, to_features(row, nonnegative=True))
    return examples.snapshot()


def _equal(a: Snapshot, b: Snapshot) -> bool:
    return a.labels == b.labels and all(
        np.array_equal(x, y) for x, y in ((a.counts, b.counts), (a.sums, b.sums), (a.gram, b.gram))
    )
