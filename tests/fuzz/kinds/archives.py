"""Archives, and stores, that are merged into a sound store: all of it or nothing."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

from edgeinc import EdgeincError
from edgeinc.store import NewExample, Store
from tests.fuzz.kinds.stores import DIM, NAME, WEIGHTS, backbone, build, damage_store, numbers
from tests.fuzz.mutate import damage
from tests.fuzz.worker import Files, Wrong, write

__all__ = ["Kind"]

VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2**31,
        2**62,
        2**63,
        10**19,
        10**30,
        0.5,
        1e300,
        -0.0,
        1.5,
        0.25,
    ),
    *(
        "",
        "nut",
        "x" * 201,
        "x" * 2000,
        "\u202e",
        "e\u0301",
        "\ud800",
        " nut ",
        "\x00",
        "\U0001f529",
    ),
    *("00" * 16, "ab" * 16, "AB" * 16, "zz" * 16, "a" * 31, "AAAA", "AAA", "*", "enroll", "merge"),
    *([], {}, [[]], ["ab" * 16], [["ab" * 16, "nut"]], [["ab" * 16]], {"a": 1}, ["x"] * 3),
)


class Kind:
    """A file `other` that is merged into a store which has the half of it already."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "merging"
        os.environ["EDGEINC_CACHE"] = str(folder / "cache")
        card = backbone().card
        self._bound = {"backbone": card.name, "fingerprint": card.fingerprint, "dim": DIM}
        self._mine, self._archives, self._stores = _seeds(folder, self._bound)

    def make(self, rng: random.Random) -> Files:
        if rng.random() < 0.25:
            data = damage_store(rng, rng.choice(self._stores), self._stores)
            return {NAME: self._mine, "other": data}
        data = rng.choice(self._archives)
        if rng.random() < 0.7:
            data = _changed(rng, data)
        else:
            data = damage(rng, data, self._archives)
            if rng.random() < 0.5:
                data = _with_checksum(data.splitlines(keepends=True)[:-1])
        return {NAME: self._mine, "other": data}

    def run(self, files: Files, rng: random.Random) -> str:
        shutil.rmtree(self._folder, ignore_errors=True)
        write(files, self._folder)
        path, other = self._folder / NAME, self._folder / "other"
        with Store.open(path, **self._bound) as store:
            before = _content(store)
            try:
                change = store.merge([other])
            except EdgeincError:
                if _content(store) != before:
                    raise Wrong("a merge was refused and left something") from None
                raise
            if other.read_bytes() != files["other"]:
                raise Wrong("the other file was changed")
            again = store.merge([other])
            if again.operation is not None or again.came or again.went:
                raise Wrong(f"merging again changed {again.came} and {again.went}")
            merged = _content(store)
            store.export(self._folder / "whole.edgeinc")
        with Store.open(path, **self._bound) as store:
            if _content(store) != merged:
                raise Wrong("what was merged is gone")
        # What it made is an archive too, and a store like it can be made of that.
        with Store.open(self._folder / "new.db", **self._bound) as store:
            store.merge([self._folder / "whole.edgeinc"])
            if (store.classes(), store.thresholds()) != (merged[0], merged[3]):
                raise Wrong("a store and a copy of it by an archive differ")
        return "merged" if change.operation is not None else "merged+nothing_new"


def _content(store: Store) -> tuple[object, ...]:
    rows = [
        (id, label, bytes(row.tobytes()))
        for part in store.rows()
        for id, label, row in zip(part.ids, part.labels, part.embeddings, strict=True)
    ]
    return store.classes(), store.log(), rows, store.thresholds()


def _seeds(folder: Path, bound: dict[str, Any]) -> tuple[bytes, list[bytes], list[bytes]]:
    """A store, archives of others (with pictures and without, purged in part), those others."""
    mine, stores, archives = folder / "mine.db", [], []
    shared = folder / "shared.edgeinc"
    for number, size in enumerate((2, 9)):
        other = folder / f"other-{number}.db"
        with build(other, size=size) as store:
            picture = b"\xff\xd8\xffpicture\xff\xd9"
            shot = NewExample("pin", numbers(11, 0), "pin.jpg", thumbnail=picture)
            store.enroll([shot], **WEIGHTS)
            store.export(shared)
            if number:
                store.forget("bolt", purge=True)
            for thumbnails in (True, False):
                path = folder / "one.edgeinc"
                store.export(path, thumbnails=thumbnails)
                archives.append(path.read_bytes())
        stores.append(other.read_bytes())
    with Store.open(mine, **bound) as store:
        store.enroll([NewExample("nut", numbers(0, 99))], **WEIGHTS)
        store.merge([shared])
        store.rename("nut", "hex nut")
        store.forget("bolt")
    return mine.read_bytes(), archives, stores


def _changed(rng: random.Random, data: bytes) -> bytes:
    """Changes records, and brings counts and checksum to what they must be, mostly."""
    records = [json.loads(line) for line in data.splitlines()[:-1]]
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(records))
        how = rng.randrange(8)
        if how == 0 and at:
            del records[at]
        elif how == 1 and at:
            records.insert(at, json.loads(json.dumps(rng.choice(records[1:] or [{}]))))
        elif how == 2:
            other = rng.randrange(len(records))
            records[at], records[other] = records[other], records[at]
        elif how == 3 and records[at]:
            # A value of the same field elsewhere: sound by itself, and a contradiction maybe.
            key = rng.choice(list(records[at]))
            records[at][key] = rng.choice([one.get(key) for one in records])
        elif records[at]:
            key = rng.choice(list(records[at]))
            records[at][key] = rng.choice(VALUES)
        if not records:
            return b""
    names = {"operations": "operation", "examples": "example", "purged": "purged"}
    if rng.random() < 0.9:
        for count, mark in names.items():
            if type(records[0].get(count)) is int:
                records[0][count] = sum(mark == next(iter(one), "") for one in records[1:])
    if rng.random() < 0.9:
        rank = {mark: number for number, mark in enumerate(names.values())}
        records[1:] = sorted(records[1:], key=lambda one: _place(one, rank))
    return _with_checksum(
        [json.dumps(one, separators=(",", ":")).encode("ascii") + b"\n" for one in records]
    )


def _place(record: dict[str, Any], rank: dict[str, int]) -> tuple[int, str]:
    mark = next(iter(record), "")
    return rank.get(mark, 9), str(record.get(mark))


def _with_checksum(lines: list[bytes]) -> bytes:
    body = b"".join(lines)
    return body + b'{"sha256":"' + hashlib.sha256(body).hexdigest().encode() + b'"}\n'
