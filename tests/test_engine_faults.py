"""A running engine whose store is taken away, replaced or damaged: it goes on from memory."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from edgeinc import Engine
from edgeinc.engine import memory as memory_room
from edgeinc.errors import StoreError, StoreFormatError, StoreWriteError
from edgeinc.store import Store
from tests.conftest import photo
from tests.stores import enroll, open_store

MOST = 250
"""Answers, each a little more than a tenth of a second, in which a change is to be seen."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "card"
    folder.mkdir()
    return folder / "s.db"


@pytest.fixture
def engine(path: Path, tiny_card: Path) -> Iterator[Engine]:
    """Two classes, known."""
    with Engine.open(path, backbone=tiny_card) as opened:
        opened.enroll("a", [photo(0, i) for i in range(4)])
        opened.enroll("b", [photo(1, i) for i in range(4)])
        opened.flush()
        assert answer(opened) == "a"
        yield opened


def answer(engine: Engine) -> str | None:
    """What a picture of the first class is taken for, after a look at the store."""
    time.sleep(0.12)
    return engine.predict(photo(0, 1000)).candidates[0].label


def comes_to(engine: Engine, label: str) -> bool:
    """Whether that becomes the answer; what changed is read in the background."""
    return any(answer(engine) == label for _ in range(MOST))


def warnings_of(engine: Engine) -> list[warnings.WarningMessage]:
    """What is told from now on, until some time after the first time; the answers stay."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(MOST):
            assert answer(engine) == "a"
            if told:
                break
        for _ in range(3):
            assert answer(engine) == "a"
    return told


def overwrite(path: Path) -> None:
    path.write_bytes(b"not a store any more" * 400)


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[24:28] = b"\xff\xff\xff\xff"  # the change counter, so that it is looked at
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)


def truncate(path: Path) -> None:
    os.truncate(path, 5000)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def replace(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"another file")


def remove_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def newer(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[24:28] = b"\xff\xff\xff\xff"
    content[60:64] = (99).to_bytes(4, "big")  # user_version
    path.write_bytes(content)


def of_another_backbone(path: Path) -> None:
    with TemporaryDirectory() as folder, open_store(Path(folder, "other.db")) as other:
        for seed in range(9):
            enroll(other, "a", seed)
        path.write_bytes(other.path.read_bytes())


@pytest.mark.parametrize(
    "fault",
    [
        *(overwrite, damage, truncate, empty, replace, newer, Path.unlink, remove_folder),
        of_another_backbone,
    ],
)
def test_predictions_go_on_from_memory(
    engine: Engine, path: Path, fault: Callable[[Path], None]
) -> None:
    saved = path.read_bytes()
    fault(path)
    # What is wrong is told once.
    (warning,) = warnings_of(engine)
    assert re.search(r"\. .*\(predicting from memory\)$", str(warning.message))
    left = path.read_bytes() if path.exists() else None
    with pytest.raises(StoreError, match=r"\. "):
        engine.enroll("c", photo(2, 0))
    # Whatever is there now was not written to, and nothing was made where nothing is.
    assert (path.read_bytes() if path.exists() else None) == left
    assert answer(engine) == "a"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(saved)
    with Engine.open(path, backbone=engine.backbone.card) as again:
        assert again.predict(photo(0, 1000)).candidates[0].label == "a"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_engine_that_never_answered_has_nothing_to_answer_from(
    path: Path, tiny_card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a large store statistics are loaded, and a head needs the examples too."""
    for limit in ("KEEP_EVERY", "KEEP_AT_CLOSE"):
        monkeypatch.setattr(memory_room, limit, 1)
    with Engine.open(path, backbone=tiny_card) as writer:
        writer.enroll("a", [photo(0, i) for i in range(4)])
        writer.enroll("b", [photo(1, i) for i in range(4)])
    saved = path.read_bytes()
    with Engine.open(path, backbone=tiny_card) as engine:
        overwrite(path)
        for _ in range(2):
            with pytest.raises(StoreFormatError, match=r"no store, or a damaged one .* doctor"):
                answer(engine)
        path.write_bytes(saved)
        assert answer(engine) == "a"
        overwrite(path)
        assert answer(engine) == "a"


def refused(engine: Engine) -> list[str]:
    """What an engine says to whoever may not use it."""
    asked: list[Callable[[], object]] = [
        lambda: engine.predict(photo(0, 1000)),
        lambda: engine.search(photo(0, 1000)),
        lambda: engine.embed(photo(0, 1000)),
        lambda: engine.enroll("c", photo(2, 0)),
        engine.flush,
        engine.classes,
        engine.log,
    ]
    words = []
    for ask in asked:
        with pytest.raises(StoreError) as caught:
            ask()
        words.append(str(caught.value))
    return words


def test_a_forked_child_gets_no_answer_from_the_inherited_engine(engine: Engine) -> None:
    engine.predict(photo(0, 1000))
    child = os.fork()
    if child == 0:
        # At once: the store would not be looked at for another 0.1 s.
        status = 1
        try:
            told = refused(engine)
            status = 7 if all("before this process was forked" in words for words in told) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert answer(engine) == "a"


def test_a_closed_engine_says_that_it_is_closed(engine: Engine, path: Path) -> None:
    engine.close()
    for words in refused(engine):
        assert str(path) in words
        assert words.endswith("has been closed. Open it again.")


@pytest.mark.parametrize("fault", [Path.unlink, replace])
def test_what_was_deleted_while_it_was_open_can_still_be_exported(
    engine: Engine, path: Path, tiny_card: Path, fault: Callable[[Path], None]
) -> None:
    fault(path)
    for ask in (engine.classes, lambda: engine.forget("a")):
        with pytest.raises(StoreWriteError) as caught:
            ask()
        assert str(caught.value) == (
            f"{path} was deleted or replaced while it was open; open the store again. "
            "`Engine.export` still saves what was open."
        )
    assert [len(engine.samples("a")), len(engine.log())] == [4, 2]
    saved = path.with_name("saved.edgeinc")
    assert engine.export(saved) == 8
    with Engine.open(path.with_name("new.db"), backbone=tiny_card) as again:
        assert again.merge(saved).added == 8


def damage_examples(path: Path, *ids: str) -> None:
    """Other integers than their digests say."""
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.executemany(
            "UPDATE samples SET embedding = zeroblob(length(embedding)) WHERE uid = ?",
            [(bytes.fromhex(id),) for id in ids],
        )


@pytest.mark.parametrize("damaged_too", [True, False])
@pytest.mark.parametrize("elsewhere", [True, False])
@pytest.mark.filterwarnings("ignore:The store is damaged:RuntimeWarning")
def test_a_purged_class_is_let_go_while_other_examples_are_damaged(
    engine: Engine, path: Path, elsewhere: bool, damaged_too: bool
) -> None:
    mine, other = (engine.samples(label)[0].id for label in "ab")
    engine.enroll("c", photo(2, 0))
    damage_examples(path, other, *([mine] if damaged_too else []))
    if elsewhere:
        with Store.open(path, **bound_of(engine)) as store:
            store.forget("a", purge=True)
    else:
        engine.forget("a", purge=True)
    assert any(answer(engine) != "a" for _ in range(MOST))
    labels = {candidate.label for candidate in engine.predict(photo(0, 1000)).candidates}
    assert labels == {"b", "c"}
    # Once the other one is destroyed too, all is read again.
    engine.forget(sample=other, purge=True)
    assert engine.enroll("d", photo(3, 0)).classes == {"b": 3, "c": 1, "d": 1}


def bound_of(engine: Engine) -> dict[str, Any]:
    """What a store of the same backbone is opened with."""
    card = engine.backbone.card
    return {"backbone": card.name, "fingerprint": card.fingerprint, "dim": card.dim}


def test_a_store_that_is_copied_over_the_open_one_is_followed(
    engine: Engine, path: Path, tiny_card: Path
) -> None:
    other = path.with_name("other.db")
    with Engine.open(other, backbone=tiny_card) as second:
        second.enroll("from elsewhere", [photo(0, i) for i in range(4)])
    path.write_bytes(other.read_bytes())
    assert comes_to(engine, "from elsewhere")
    assert engine.enroll("c", photo(2, 0)).classes == {"c": 1, "from elsewhere": 4}


def test_a_store_that_comes_back_is_followed_again(engine: Engine, path: Path) -> None:
    saved = path.read_bytes()
    for _ in range(2):
        overwrite(path)
        assert warnings_of(engine)
        path.write_bytes(saved)
        assert comes_to(engine, "a")
    assert engine.enroll("c", photo(2, 0)).added == 1
    assert set(engine.enroll("c", photo(2, 1)).classes) == {"a", "b", "c"}
