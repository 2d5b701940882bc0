"""Power cuts: nothing that was acknowledged is lost, nothing else is half there."""

from __future__ import annotations

import random

import pytest

from tests.power import trace
from tests.power.cuts import cut_power
from tests.power.disk import SECTOR, Disk
from tests.power.kills import kill
from tests.power.trace import Call

SEED = 20261122

recorded = pytest.mark.skipif(trace.missing() is not None, reason=str(trace.missing()))


@recorded
def test_a_power_cut_loses_nothing_that_was_acknowledged_and_leaves_nothing_half_done() -> None:
    cuts = cut_power(1000, SEED, operations=2, choices=2, keeping=True)
    print(cuts)
    assert not cuts.faults, "\n".join(cuts.words)
    assert cuts.points == 1000
    assert cuts.states > 1500
    # It did cut where it hurts: with a journal to play back, and just before the return.
    assert cuts.hot > 100
    assert cuts.there > 0
    # Histories that go on from what a cut left, and statistics beside the examples.
    assert cuts.histories >= 4
    assert cuts.kept > 0
    assert {"sync", "write", "unlink"} <= cuts.calls.keys()
    assert cuts.operations["enrol"] > 2


@recorded
@pytest.mark.parametrize("setting", ["OFF", "FULL"])
def test_less_than_synchronous_extra_would_lose_what_was_acknowledged(setting: str) -> None:
    """The simulation can fail: here it must."""
    cuts = cut_power(200, SEED, operations=6, choices=2, pragmas=(f"synchronous = {setting}",))
    assert cuts.faults["lost"] > 10
    assert (cuts.faults["damaged"] > 10) == (setting == "OFF")


@recorded
@pytest.mark.parametrize("syncs", ["file", "folder"])
def test_a_disk_that_ignores_syncs_loses_what_was_acknowledged(syncs: str) -> None:
    """No durability is claimed where the card lies about flushing, and this is why."""
    cuts = cut_power(200, SEED, operations=6, choices=2, deaf=frozenset([syncs]))
    assert cuts.faults["lost"] > 10
    assert cuts.faults["damaged"] > 0


def test_a_process_that_is_killed_loses_nothing_that_it_acknowledged() -> None:
    kills = kill(50, SEED)
    print(kills)
    assert not kills.faults, "\n".join(kills.words)
    assert kills.kills == 50
    assert kills.during > 5
    assert kills.operations["enrol"] > 5


def open_file(disk: Disk, name: str = "a", descriptor: int = 3) -> None:
    disk.apply(Call("open", descriptor, name=name))


def left(disk: Disk, style: str = "random", tries: int = 300) -> set[tuple[tuple[str, bytes], ...]]:
    rng = random.Random(0)
    return {tuple(sorted(disk.cut(style, rng).items())) for _ in range(tries)}


def test_what_was_synced_is_there_and_what_was_not_may_be() -> None:
    disk = Disk({"a": b"1"})
    open_file(disk)
    disk.apply(Call("write", 3, 0, b"2"))
    disk.apply(Call("write", 3, 0, b"3"))
    assert left(disk) == {(("a", value),) for value in (b"1", b"2", b"3")}
    assert left(disk, "nothing") == {(("a", b"1"),)}
    assert left(disk, "everything") == {(("a", b"3"),)}
    disk.apply(Call("sync", 3))
    assert left(disk) == {(("a", b"3"),)}


def test_writes_are_reordered_and_torn_between_sectors_never_within() -> None:
    disk = Disk({"a": bytes(2 * SECTOR)})
    open_file(disk)
    disk.apply(Call("write", 3, 0, b"1" * 2 * SECTOR))
    found = {(content[0], content[SECTOR]) for ((_, content),) in left(disk)}
    assert found == {(0, 0), (0, 49), (49, 0), (49, 49)}
    assert all(len(set(content[:SECTOR])) == 1 for ((_, content),) in left(disk))


def test_a_file_may_have_grown_without_what_was_written() -> None:
    disk = Disk({"a": b""})
    open_file(disk)
    disk.apply(Call("write", 3, 0, b"1" * SECTOR))
    found = {content for ((_, content),) in left(disk)}
    assert {b"", bytes(SECTOR), b"1" * SECTOR} < found
    assert any(len(set(content)) > 2 for content in found)


def test_a_truncation_may_not_have_happened() -> None:
    disk = Disk({"a": b"1" * 2 * SECTOR})
    open_file(disk)
    disk.apply(Call("truncate", 3, SECTOR))
    assert left(disk) == {(("a", b"1" * size),) for size in (SECTOR, 2 * SECTOR)}
    disk.apply(Call("sync", 3))
    assert left(disk) == {(("a", b"1" * SECTOR),)}


def test_names_wait_for_the_folder_to_be_synced() -> None:
    disk = Disk({"a": b"1"})
    open_file(disk, "b", 4)
    disk.apply(Call("write", 4, 0, b"2"))
    disk.apply(Call("sync", 4))
    disk.apply(Call("unlink", name="a"))
    a, b = ("a", b"1"), ("b", b"2")
    assert left(disk) == {(), (a,), (b,), (a, b)}
    disk.apply(Call("open", 5, name=""))
    disk.apply(Call("sync", 5))
    assert left(disk) == {(b,)}
    disk.apply(Call("rename", name="b", target="c"))
    assert left(disk) == {(b,), (("c", b"2"),)}
