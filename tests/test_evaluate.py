"""Accuracy: what is counted, and leave-one-out against leaving out."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinc import Engine
from edgeinc.backbone import Backbone
from edgeinc.errors import InputError, LabelError
from edgeinc.evaluate import evaluate_folder, evaluate_loo
from tests.conftest import photo

RED, GREEN, BLUE = (20, 20, 250), (20, 250, 20), (250, 20, 20)


def colours() -> Backbone:
    """A backbone whose embedding is the mean colour of a picture."""
    return Backbone.from_function(
        lambda array: array.reshape(-1, 3).mean(axis=0).astype(np.uint8),
        name="colours",
        size=(8, 8),
        dim=3,
    )


def plain(bgr: tuple[int, int, int]) -> np.ndarray:
    return np.full((8, 8, 3), bgr, np.uint8)


def write(folder: Path, label: str, *colours: tuple[int, int, int]) -> None:
    (folder / label).mkdir(parents=True)
    for i, bgr in enumerate(colours):
        assert cv2.imwrite(str(folder / label / f"{i}.png"), plain(bgr))


@pytest.fixture
def painter(tmp_path: Path) -> Iterator[Engine]:
    """Knows red, green and blue by twelve examples each; nearest class mean."""
    with Engine.open(tmp_path / "s.db", backbone=colours(), head="proto") as engine:
        for label, bgr in (("red", RED), ("green", GREEN), ("blue", BLUE)):
            engine.enroll(label, [plain(tuple(abs(c - i) for c in bgr)) for i in range(12)])
        yield engine


def test_what_is_counted(painter: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "test"
    # Second: most like green, then like red. Third: most like blue, then green, then red.
    write(folder, "red", RED, (20, 250, 150), (250, 150, 20))
    write(folder, "green", GREEN, GREEN)
    write(folder, "violet", BLUE)
    (folder / "green" / "broken.png").write_bytes(b"no picture")
    (folder / "notes.txt").touch()
    steps: list[tuple[int, int]] = []
    found = evaluate_folder(painter, folder, progress=lambda *step: steps.append(step))
    assert found.n == 6
    assert found.topk == tuple(pytest.approx(k / 6) for k in (3, 4, 5, 5, 5))
    assert found.per_class == {"green": 1.0, "red": pytest.approx(1 / 3), "violet": 0.0}
    assert found.confusion == {
        "green": {"green": 2},
        "red": {"blue": 1, "green": 1, "red": 1},
        "violet": {"blue": 1},
    }
    # Only the two mixed colours are far from every mean; a rejected picture keeps its ranking.
    assert found.unknown_rate == pytest.approx(2 / 6)
    assert len(found.skipped) == 2
    assert "notes.txt" in found.skipped[0]
    assert "broken.png" in found.skipped[1]
    assert steps == [(i, 7) for i in range(1, 8)]


def test_nothing_enrolled_is_all_unknown(tmp_path: Path) -> None:
    write(tmp_path / "test", "red", RED, RED)
    with Engine.open(tmp_path / "s.db", backbone=colours()) as engine:
        found = evaluate_folder(engine, tmp_path / "test")
    assert (found.n, found.topk, found.unknown_rate) == (2, (0.0,) * 5, 1.0)
    assert found.confusion == {"red": {"": 2}}


def test_a_folder_s_name_is_the_label_that_enrolling_it_would_give(tmp_path: Path) -> None:
    """Some file systems take an accented letter apart; the store puts it together."""
    folder = tmp_path / "photos"
    write(folder, unicodedata.normalize("NFD", "vert fonc\u00e9"), GREEN, (30, 240, 10))
    write(folder, "rouge", RED, (10, 30, 240))
    with Engine.open(tmp_path / "s.db", backbone=colours()) as engine:
        engine.enroll_folder(folder)
        assert evaluate_folder(engine, folder).per_class == {"rouge": 1.0, "vert fonc\u00e9": 1.0}


def test_folders_that_cannot_be_evaluated(painter: Engine, tmp_path: Path) -> None:
    (tmp_path / "a" / "red").mkdir(parents=True)
    with pytest.raises(InputError, match=r"no (readable )?picture"):
        evaluate_folder(painter, tmp_path / "a")
    (tmp_path / "a" / "red" / "0.png").touch()
    with pytest.raises(InputError, match="no readable picture"):
        evaluate_folder(painter, tmp_path / "a")
    write(tmp_path / "b", "two\nlines", RED)
    with pytest.raises(LabelError, match="control character"):
        evaluate_folder(painter, tmp_path / "b")


@pytest.mark.parametrize("head", ["proto", "ridge", "lda", "knn"])
def test_leave_one_out_is_what_leaving_out_gives(
    head: str, tmp_path: Path, tiny_card: Path
) -> None:
    """Through the engine: forget an example, predict its picture, take it back."""
    # One picture is enrolled under a wrong label, and one class has a single example.
    given = [(f"kind {k}", photo(k, i)) for k in range(3) for i in range(4)]
    given += [("kind 0", photo(1, 9)), ("alone", photo(3, 0))]
    with Engine.open(tmp_path / "s.db", backbone=tiny_card, head=head) as engine:
        ids = [engine.enroll(label, picture).ids[0] for label, picture in given]
        found = evaluate_loo(engine)
        n, hits = 0, np.zeros(5)
        confusion: dict[str, dict[str, int]] = {}
        for (label, picture), sample in zip(given, ids, strict=True):
            if label == "alone":
                continue
            engine.forget(sample=sample)
            engine.flush()
            ranking = [c.label for c in engine.predict(picture).candidates]
            assert len(engine.undo()) == 1
            n += 1
            hits[ranking.index(label) :] += 1
            row = confusion.setdefault(label, {})
            row[ranking[0]] = row.get(ranking[0], 0) + 1
    assert found.n == n == 13
    assert found.topk == tuple(pytest.approx(h) for h in hits / n)
    assert found.confusion == {label: dict(sorted(row.items())) for label, row in confusion.items()}
    assert found.confusion["kind 0"]["kind 1"] == 1
    assert found.per_class == {
        label: row.get(label, 0) / sum(row.values()) for label, row in confusion.items()
    }


def test_leave_one_out_tells_strangers_too(painter: Engine) -> None:
    assert evaluate_loo(painter).unknown_rate == 0
    # Either is a stranger without the other: no other class is near.
    painter.enroll("mixed", [plain((250, 250, 0)), plain((0, 250, 250))])
    found = evaluate_loo(painter)
    assert found.n == 38
    assert found.per_class == {"blue": 1.0, "green": 1.0, "mixed": 0.0, "red": 1.0}
    assert found.unknown_rate == pytest.approx(2 / 38)


def test_leave_one_out_needs_two_of_a_class(painter: Engine, tmp_path: Path) -> None:
    with Engine.open(tmp_path / "t.db", backbone=colours()) as engine:
        with pytest.raises(InputError, match="two examples"):
            evaluate_loo(engine)
        engine.enroll("red", plain(RED))
        engine.enroll("blue", plain(BLUE))
        with pytest.raises(InputError, match="two examples"):
            evaluate_loo(engine)
        engine.enroll("red", plain((25, 30, 240)))
        assert evaluate_loo(engine).per_class == {"red": 1.0}
