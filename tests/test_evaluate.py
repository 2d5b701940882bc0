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
from edgeinc.evaluate import Evaluation, evaluate_folder, evaluate_loo
from tests.conftest import photo

# Brightness of the eight rows of a picture. Classes light a row each; what lights others
# besides is a stranger.
Rows = tuple[int, ...]
RED, GREEN, BLUE = (250,), (0, 250), (0, 0, 250)
ELSEWHERE = (0, 250, 250, 250)


def rows() -> Backbone:
    """A backbone whose embedding is the brightness of each row of a picture."""
    return Backbone.from_function(
        lambda array: array[..., 0].reshape(8, 8).mean(axis=1).astype(np.uint8),
        name="rows",
        size=(8, 8),
        dim=8,
    )


def lit(levels: Rows, dim: int = 0) -> np.ndarray:
    """A picture with rows of these levels, a little darker and not quite black below."""
    column = np.full(8, dim, np.uint8)
    column[: len(levels)] = [max(level - dim, dim) for level in levels]
    return np.broadcast_to(column[:, np.newaxis, np.newaxis], (8, 8, 3)).copy()


def write(folder: Path, label: str, *pictures: Rows) -> None:
    (folder / label).mkdir(parents=True)
    for i, levels in enumerate(pictures):
        assert cv2.imwrite(str(folder / label / f"{i}.png"), lit(levels))


@pytest.fixture
def knower(tmp_path: Path) -> Iterator[Engine]:
    """Knows red, green and blue by twelve examples each; nearest class mean."""
    with Engine.open(tmp_path / "s.db", backbone=rows(), head="proto") as engine:
        for label, levels in (("red", RED), ("green", GREEN), ("blue", BLUE)):
            engine.enroll(label, [lit(levels, dim) for dim in range(12)])
        yield engine


def test_what_is_counted(knower: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "test"
    # Second: most like green, then like red. Third: most like blue, then green, then red.
    write(folder, "red", RED, (150, 250, 0, *ELSEWHERE), (10, 150, 250, *ELSEWHERE))
    write(folder, "green", GREEN, GREEN)
    write(folder, "violet", BLUE)
    (folder / "green" / "broken.png").write_bytes(b"no picture")
    steps: list[tuple[int, int]] = []
    found = evaluate_folder(knower, folder, progress=lambda *step: steps.append(step))
    assert found.n == 6
    assert found.topk == tuple(pytest.approx(k / 6) for k in (3, 4, 5, 5, 5))
    assert found.per_class == {"green": 1.0, "red": pytest.approx(1 / 3), "violet": 0.0}
    assert found.confusion == {
        "green": {"green": 2},
        "red": {"blue": 1, "green": 1, "red": 1},
        "violet": {"blue": 1},
    }
    # Two of them are far from every mean; a rejected picture keeps its ranking.
    assert found.unknown_rate == pytest.approx(2 / 6)
    assert len(found.skipped) == 1
    assert "broken.png" in found.skipped[0]
    assert steps == [(i, 7) for i in range(1, 8)]


def average(found: Evaluation) -> tuple[int, float, float]:
    """Answers of a reliability table, and their mean confidence and accuracy."""
    n = sum(row.answers for row in found.reliability)
    confidence = sum(row.answers * row.confidence for row in found.reliability) / n
    return n, confidence, sum(row.answers * row.accuracy for row in found.reliability) / n


def test_probabilities_are_held_against_what_is_right(knower: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "test"
    write(folder, "red", RED, (150, 250, 0, *ELSEWHERE))
    write(folder, "violet", BLUE)
    found = evaluate_folder(knower, folder)
    scores = [knower.predict(path).score for path in sorted(folder.rglob("*.png"))]
    n, confidence, accuracy = average(found)
    # Of the first label, whether or not it was rejected.
    assert (n, accuracy) == (3, pytest.approx(found.topk[0]))
    assert confidence == pytest.approx(np.mean(scores))
    gaps = [row.answers * abs(row.accuracy - row.confidence) for row in found.reliability]
    assert found.ece == pytest.approx(sum(gaps) / 3)
    assert 0 < found.ece < 1


def test_leave_one_out_has_probabilities_too(knower: Engine) -> None:
    # Half red: neither is like the other, so that both are taken for red, not surely.
    knower.enroll("mixed", [lit((200, 0, 0, 250)), lit((200, 0, 0, 0, 250))])
    found = evaluate_loo(knower)
    n, confidence, accuracy = average(found)
    assert (n, accuracy) == (38, pytest.approx(36 / 38))
    assert found.confusion["mixed"] == {"red": 2}
    assert 1 / 4 < confidence < 1
    assert found.ece == pytest.approx(
        sum(r.answers * abs(r.accuracy - r.confidence) for r in found.reliability) / n
    )


def test_nothing_enrolled_is_all_unknown(tmp_path: Path) -> None:
    write(tmp_path / "test", "red", RED, RED)
    with Engine.open(tmp_path / "s.db", backbone=rows()) as engine:
        found = evaluate_folder(engine, tmp_path / "test")
    assert (found.n, found.topk, found.unknown_rate) == (2, (0.0,) * 5, 1.0)
    assert found.confusion == {"red": {"": 2}}
    # It was not sure of anything, and not right.
    assert found.ece == 0


def test_a_folder_s_name_is_the_label_that_enrolling_it_would_give(tmp_path: Path) -> None:
    """Some file systems take an accented letter apart; the store puts it together."""
    folder = tmp_path / "photos"
    write(folder, unicodedata.normalize("NFD", "vert fonc\u00e9"), GREEN, (10, 240))
    write(folder, "rouge", RED, (240, 10))
    with Engine.open(tmp_path / "s.db", backbone=rows()) as engine:
        engine.enroll_folder(folder)
        assert evaluate_folder(engine, folder).per_class == {"rouge": 1.0, "vert fonc\u00e9": 1.0}


def test_strangers_are_held_against_known_pictures(knower: Engine, tmp_path: Path) -> None:
    write(tmp_path / "test", "red", RED, (150, 250, 0, *ELSEWHERE))
    write(tmp_path / "test", "blue", BLUE, (0, 200, 250), (60, 0, 250))
    # Flat and nested; what is no picture is named.
    write(tmp_path / "other", "far", ELSEWHERE, (0, 0, 0, 0, 250), (130, 120, 130))
    write(tmp_path / "other", "far/away", (0, 240))
    assert cv2.imwrite(str(tmp_path / "other" / "x.png"), lit((250, 100)))
    (tmp_path / "other" / "broken.png").write_bytes(b"no picture")
    (tmp_path / "other" / "notes.txt").touch()
    steps: list[tuple[int, int]] = []
    found = evaluate_folder(
        knower,
        tmp_path / "test",
        unknown=tmp_path / "other",
        progress=lambda *step: steps.append(step),
    )
    known = [knower.predict(p) for p in sorted((tmp_path / "test").rglob("*.png"))]
    paths = [p for p in sorted((tmp_path / "other").rglob("*.png")) if p.name != "broken.png"]
    strange = [knower.predict(p) for p in paths]
    said = found.strangers
    assert said is not None
    assert (said.n, said.known) == (5, 5)
    pairs = [
        (k.familiarity > s.familiarity) + 0.5 * (k.familiarity == s.familiarity)
        for k in known
        for s in strange
    ]
    assert said.auroc == pytest.approx(np.mean(pairs))
    assert 0.5 < said.auroc < 1
    least = min(k.familiarity for k in known)
    assert said.fpr95 == np.mean([s.familiarity >= least for s in strange])
    assert said.accepted == np.mean([k.known for k in known])
    assert said.rejected == np.mean([not s.known for s in strange])
    assert 0 < said.accepted < 1
    assert 0 < said.rejected < 1
    assert sum(said.taken_for.values()) == sum(s.known for s in strange)
    assert set(said.taken_for) == {s.label for s in strange if s.known}
    assert sorted(s.split("/")[-1].split()[0] for s in found.skipped) == ["broken.png", "notes.txt"]
    assert steps == [(i, 11) for i in range(1, 12)]
    assert found.warnings == ()
    # Of the known alone nothing is said differently.
    alone = evaluate_folder(knower, tmp_path / "test")
    assert alone.strangers is None
    assert (alone.n, alone.topk, alone.ece) == (found.n, found.topk, found.ece)


def test_strangers_that_may_be_none_are_told(knower: Engine, tmp_path: Path) -> None:
    write(tmp_path / "test", "red", RED)
    write(tmp_path / "test", "violet", BLUE)
    write(tmp_path / "other", "green", GREEN, GREEN)
    write(tmp_path / "other", "grey/blue", (0, 10, 200))
    write(tmp_path / "other", "grey/two\nlines", ELSEWHERE)
    (tmp_path / "other" / "again.png").symlink_to(tmp_path / "test" / "red" / "0.png")
    found = evaluate_folder(knower, tmp_path / "test", unknown=tmp_path / "other")
    assert [w.split(";")[0] for w in found.warnings] == [
        f"'violet' in {tmp_path / 'test'} is not enrolled",
        "3 of the strangers lie in folders that are called as enrolled classes are (blue, green)",
        "1 of the strangers are among the known pictures too",
    ]
    # Only what is of a known label is held against strangers, which all count.
    assert found.strangers is not None
    assert (found.strangers.known, found.strangers.n) == (1, 5)
    assert found.n == 2
    # A whole folder of a known label is told by its own name.
    found = evaluate_folder(knower, tmp_path / "test", unknown=tmp_path / "other" / "green")
    assert "2 of the strangers lie in folders" in found.warnings[1]


def test_strangers_that_cannot_be_compared(knower: Engine, tmp_path: Path) -> None:
    write(tmp_path / "test", "red", RED)
    write(tmp_path / "violet", "violet", BLUE)
    write(tmp_path / "other", "x", ELSEWHERE)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "0.png").write_bytes(b"no picture")
    for unknown, words in [
        ("missing", "does not exist"),
        ("empty", "holds no picture"),
        ("broken", "holds no readable picture; give a folder of strangers"),
        ("other/x/0.png", "is no folder"),
    ]:
        with pytest.raises(InputError, match=words):
            evaluate_folder(knower, tmp_path / "test", unknown=tmp_path / unknown)
    with pytest.raises(InputError, match="no readable picture of an enrolled label"):
        evaluate_folder(knower, tmp_path / "violet", unknown=tmp_path / "other")
    with (
        Engine.open(tmp_path / "new.db", backbone=rows()) as engine,
        pytest.raises(InputError, match="enrol its labels first"),
    ):
        evaluate_folder(engine, tmp_path / "test", unknown=tmp_path / "other")


def test_one_class_of_one_example_tells_strangers(tmp_path: Path) -> None:
    write(tmp_path / "test", "red", RED)
    write(tmp_path / "other", "x", (0, 0, 0, 0, 250))
    with Engine.open(tmp_path / "s.db", backbone=rows()) as engine:
        engine.enroll("red", lit(RED))
        found = evaluate_folder(engine, tmp_path / "test", unknown=tmp_path / "other").strangers
    assert found is not None
    assert (found.auroc, found.fpr95, found.accepted, found.rejected) == (1, 0, 1, 1)


def test_the_backbone_s_own_classes_count_by_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ai_edge_litert", reason="rows of .tflite classifiers need its schema")
    from tests.colours import colour_card, paint

    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path / "cache"))
    for label, rgb in (("blue", (30, 30, 220)), ("orange", (230, 130, 20))):
        for seed in range(3):
            path = tmp_path / "test" / label / f"{seed}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), paint(*rgb, seed=seed))
    (tmp_path / "other").mkdir()
    assert cv2.imwrite(str(tmp_path / "other" / "0.png"), paint(90, 90, 9, seed=9))
    card = colour_card(tmp_path / "colours")
    with Engine.open(tmp_path / "s.db", backbone=card, base_classes=True) as engine:
        engine.enroll("orange", [paint(230, 130, 20, seed=seed) for seed in range(5, 10)])
        found = evaluate_folder(engine, tmp_path / "test", unknown=tmp_path / "other")
    assert found.per_class == {"blue": 1.0, "orange": 1.0}
    assert found.warnings == ()
    # Only what is enrolled is held against strangers; the backbone's own are not taken for it.
    assert found.strangers is not None
    assert (found.strangers.known, found.strangers.accepted) == (3, 1)
    with Engine.open(tmp_path / "s.db", backbone=card) as engine:
        found = evaluate_folder(engine, tmp_path / "test", unknown=tmp_path / "other")
    assert found.per_class == {"blue": 0.0, "orange": 1.0}
    assert [w.split()[0] for w in found.warnings] == ["'blue'"]
    assert found.strangers is not None
    assert found.strangers.known == 3


def test_folders_that_cannot_be_evaluated(knower: Engine, tmp_path: Path) -> None:
    (tmp_path / "a" / "red").mkdir(parents=True)
    with pytest.raises(InputError, match=r"no (readable )?picture"):
        evaluate_folder(knower, tmp_path / "a")
    (tmp_path / "a" / "red" / "0.png").touch()
    with pytest.raises(InputError, match="no readable picture"):
        evaluate_folder(knower, tmp_path / "a")
    write(tmp_path / "b", "two\nlines", RED)
    with pytest.raises(LabelError, match="control character"):
        evaluate_folder(knower, tmp_path / "b")


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


def test_leave_one_out_tells_strangers_too(knower: Engine) -> None:
    assert evaluate_loo(knower).unknown_rate == 0
    # Either is a stranger without the other: no other class is near.
    knower.enroll("mixed", [lit((0, 0, 0, 250)), lit((0, 0, 0, 0, 250))])
    found = evaluate_loo(knower)
    assert found.n == 38
    assert found.per_class == {"blue": 1.0, "green": 1.0, "mixed": 0.0, "red": 1.0}
    assert found.unknown_rate == pytest.approx(2 / 38)


def test_leave_one_out_goes_by_thresholds_that_a_person_set(knower: Engine) -> None:
    knower.set_threshold("red", 1.0)
    assert evaluate_loo(knower).unknown_rate == pytest.approx(12 / 36)
    knower.enroll("mixed", [lit((0, 0, 0, 250)), lit((0, 0, 0, 0, 250))])
    knower.set_threshold("red", 0.0)
    for label in ("blue", "green"):
        knower.set_threshold(label, 0.0)
    assert evaluate_loo(knower).unknown_rate == 0


def test_leave_one_out_knows_nothing_that_is_most_like_negatives(knower: Engine) -> None:
    knower.enroll("grey", [lit((0, 0, 0, level, 250)) for level in (0, 200)])
    knower.enroll(None, [lit((0, 0, 0, level, 250)) for level in range(70, 131, 10)])
    found = evaluate_loo(knower)
    assert found.n == 38
    assert found.per_class["red"] == 1.0
    # Each is nearer to the negatives than to the other.
    assert found.unknown_rate == pytest.approx(2 / 38)


def test_leave_one_out_asks_about_no_negative(knower: Engine) -> None:
    knower.enroll(None, [lit(GREEN, dim) for dim in range(20, 30)])
    found = evaluate_loo(knower)
    assert found.n == 36
    assert set(found.per_class) == {"blue", "green", "red"}
    assert all("" not in row for row in found.confusion.values())
    knower.forget("red")
    knower.forget("green")
    knower.forget("blue")
    with pytest.raises(InputError, match="two examples"):
        evaluate_loo(knower)


def test_leave_one_out_needs_two_of_a_class(knower: Engine, tmp_path: Path) -> None:
    with Engine.open(tmp_path / "t.db", backbone=rows()) as engine:
        with pytest.raises(InputError, match="two examples"):
            evaluate_loo(engine)
        engine.enroll("red", lit(RED))
        engine.enroll("blue", lit(BLUE))
        with pytest.raises(InputError, match="two examples"):
            evaluate_loo(engine)
        engine.enroll("red", lit((240, 10)))
        assert evaluate_loo(engine).per_class == {"red": 1.0}
