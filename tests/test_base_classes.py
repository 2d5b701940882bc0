"""The backbone's own classes beside the enrolled ones: what docs/base-classes.md promises."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinc import Engine
from edgeinc.backbone import Backbone
from edgeinc.cards import Classifier, ModelCard
from edgeinc.classifier import OwnClasses, join, load_classifier, make_rows, typical
from edgeinc.cli import main
from edgeinc.decision import Decision
from edgeinc.errors import CardError, ChecksumError
from edgeinc.runtimes.layer import Layer
from edgeinc.types import Candidate
from tests.colours import NAMES, colour_card, network, paint

pytest.importorskip("ai_edge_litert", reason="rows of .tflite classifiers are read with its schema")

PICTURES = [
    paint(*rgb, seed=s) for s in (1, 2) for rgb in ((220, 20, 20), (90, 200, 40), (9, 9, 9))
]
NEW = ("orange", "violet", "red", "brown")
PAINTS = {
    "orange": (230, 130, 20),
    "violet": (140, 20, 210),
    "red": (200, 0, 0),
    "brown": (90, 50, 9),
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def card(tmp_path: Path) -> ModelCard:
    return colour_card(tmp_path / "colours")


def logits_of(card: ModelCard) -> Callable[[np.ndarray], np.ndarray]:
    backbone = Backbone.open(card)
    own = load_classifier(card, backbone.file_name)
    return lambda picture: own.logits(backbone.embed([picture])[0])


def plain(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max())
    return shares / shares.sum()


@given(st.integers(0, 2**32), st.integers(1, 1300), st.booleans(), st.booleans())
@settings(max_examples=30)
def test_logits_are_exact(seed: int, dim: int, unsigned: bool, signed: bool) -> None:
    """In any order, on any processor: they are those of whole numbers."""
    rng = np.random.default_rng(seed)
    least, most = (0, 255) if unsigned else (-128, 127)
    # Extremes, where sums in float32 would be rounded first.
    numbers = rng.choice([least, most, int(rng.integers(least, most + 1))], (7, dim))
    zero = int(rng.integers(least, most + 1))
    bias = rng.integers(-(2**31), 2**31, 7).astype(np.int32)
    scale = rng.uniform(1e-6, 1e-2, 7)
    layer = Layer.of(numbers.astype(np.uint8 if unsigned else np.int8), zero, bias, scale)
    x = rng.choice([-255 if signed else 0, 255, int(rng.integers(0, 256))], dim)
    whole = (numbers - zero) @ x + bias.astype(np.int64)
    given_as = x.astype(np.int16 if signed else np.uint8)
    own = OwnClasses(layer, tuple("abcdefg"))
    np.testing.assert_array_equal(own.logits(given_as), whole * scale)
    np.testing.assert_array_equal(Layer.unpack(layer.pack()).rows, layer.rows)
    assert own.logit(3, x.astype(np.float64)) == pytest.approx(
        whole[3] * scale[3], rel=1e-9, abs=1e-6
    )


@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_logits_are_the_networks_own(tmp_path: Path, kind: str) -> None:
    """To half a step of its quantised output, where that does not end."""
    card = colour_card(tmp_path / kind, network(kind=kind))
    ours = logits_of(card)
    with Backbone.open(card, tensor="logits0") as uncut:
        for picture in PICTURES:
            theirs = uncut.embed([picture])[0].astype(float) * 0.1
            inside = (theirs > -12.7) & (theirs < 12.6)
            assert inside.sum() >= 2
            np.testing.assert_allclose(ours(picture)[inside], theirs[inside], atol=0.0501)


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("enroll"), st.sampled_from((*NEW, None)), st.integers(0, 5)),
        st.tuples(st.just("forget"), st.sampled_from((*NEW, None)), st.just(0)),
        st.tuples(st.just("undo"), st.none(), st.just(0)),
        st.tuples(st.just("rename"), st.sampled_from(NEW), st.just(0)),
    ),
    max_size=8,
)


@given(OPERATIONS)
@settings(max_examples=25)
def test_whatever_is_enrolled_changes_no_own_logit(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[str, str | None, int]]
) -> None:
    """Nor their order, nor the ratios of their probabilities; and new ones win only by theirs."""
    folder = tmp_path_factory.mktemp("engine")
    card = colour_card(folder / "colours")
    with Engine.open(folder / "a.db", backbone=card, base_classes=True) as engine:
        before = [engine.predict(picture) for picture in PICTURES]
        embeddings = [engine.backbone.embed([picture])[0] for picture in PICTURES]
        assert engine._beside is not None
        logits = [engine._beside.own.logits(e).tobytes() for e in embeddings]
        for operation, label, seed in operations:
            _apply(engine, operation, label, seed)
            enrolled = {c.label for c in engine.classes()}
            assert set(engine.base_classes) == set(NAMES) - enrolled
            assert [engine._beside.own.logits(e).tobytes() for e in embeddings] == logits
            for picture, former in zip(PICTURES, before, strict=True):
                _compare(former.candidates, engine.predict(picture).candidates, enrolled)
        for label in (*(c.label for c in engine.classes()), None):
            if label is not None or engine.negatives():
                engine.forget(label)
        after = [engine.predict(picture) for picture in PICTURES]
    assert [p[:4] for p in after] == [p[:4] for p in before]


def _apply(engine: Engine, operation: str, label: str | None, seed: int) -> None:
    there = {c.label for c in engine.classes()} | ({None} if engine.negatives() else set())
    if operation == "enroll":
        engine.enroll(label, [paint(*PAINTS.get(str(label), (40, 90, 90)), seed=seed)])
    elif operation == "forget" and label in there:
        engine.forget(label)
    elif operation == "undo":
        engine.undo()
    elif operation == "rename" and label in there and "blue" not in there:
        engine.rename(str(label), "blue")


def _compare(old: tuple[Candidate, ...], new: tuple[Candidate, ...], enrolled: set[str]) -> None:
    """All five own classes were candidates before; now, those that are left."""
    was = {c.label: c.score for c in old}
    own = [c for c in new if c.base]
    kept = [c.label for c in old if c.label not in enrolled]
    assert [c.label for c in own] == kept[: len(own)]
    factors = [c.score / was[c.label] for c in own]
    assert factors == pytest.approx([factors[0]] * len(own) if own else [], rel=1e-9)
    assert new[0].base is False or [new[0].label] == kept[:1]
    # Those of the enrolled ones are in single precision.
    assert sum(c.score for c in new) <= 1 + 1e-6
    assert all(math.isfinite(c.score) for c in new)


def test_with_nothing_enrolled_it_is_the_plain_classifier(card: ModelCard, tmp_path: Path) -> None:
    logits = logits_of(card)
    with Engine.open(tmp_path / "a.db", backbone=card, base_classes=True) as engine:
        for picture in PICTURES:
            shares = plain(logits(picture))
            p = engine.predict(picture)
            assert (p.label, p.known) == (NAMES[int(shares.argmax())], True)
            assert [c.score for c in p.candidates] == pytest.approx(sorted(shares, reverse=True))
            assert all(c.base for c in p.candidates)


def test_a_new_class_wins_its_own_pictures_and_no_others(card: ModelCard, tmp_path: Path) -> None:
    with Engine.open(tmp_path / "a.db", backbone=card, base_classes=True) as engine:
        assert engine.predict(paint(230, 130, 20)).label == "red"
        engine.enroll("orange", [paint(230, 130, 20, s) for s in range(5)])
        engine.flush()
        new = engine.predict(paint(230, 130, 20, 9))
        assert (new.label, new.candidates[0].base) == ("orange", False)
        old = engine.predict(paint(30, 30, 220, 9))
        assert (old.label, old.known, old.candidates[0].base) == ("blue", True, True)


def test_an_enrolled_label_shadows_an_own_one(card: ModelCard, tmp_path: Path) -> None:
    with Engine.open(tmp_path / "a.db", backbone=card, base_classes=True) as engine:
        engine.enroll("  red ", [paint(140, 20, 210, s) for s in range(3)])
        engine.enroll("Green", [paint(90, 50, 9, s) for s in range(3)])
        engine.flush()
        assert engine.base_classes == ("green", "blue", "white", "black")
        labels = [(c.label, c.base) for c in engine.predict(paint(220, 20, 20)).candidates]
        assert ("red", True) not in labels
        assert len(set(labels)) == len(labels)
        engine.forget("red")
        assert engine.base_classes == NAMES
        labels = [(c.label, c.base) for c in engine.predict(paint(220, 20, 20)).candidates]
        assert ("red", True) in labels


def test_all_own_classes_may_be_shadowed(card: ModelCard, tmp_path: Path) -> None:
    with Engine.open(tmp_path / "a.db", backbone=card, base_classes=True) as engine:
        for i, name in enumerate(NAMES):
            engine.enroll(name, [paint(40 * i, 200 - 40 * i, 99)])
        engine.flush()
        assert engine.base_classes == ()
        candidates = engine.predict(PICTURES[0]).candidates
        assert {c.label for c in candidates} == set(NAMES)
        assert not any(c.base for c in candidates)
        assert sum(c.score for c in candidates) == pytest.approx(1, abs=1e-5)


def test_what_is_most_like_a_negative_is_left_to_the_own_classes(
    card: ModelCard, tmp_path: Path
) -> None:
    with Engine.open(tmp_path / "a.db", backbone=card, base_classes=True) as engine:
        engine.enroll("orange", [paint(230, 130, 20, s) for s in range(5)])
        engine.enroll(None, [paint(225, 20, 20, s) for s in range(5)])
        engine.flush()
        p = engine.predict(paint(225, 20, 20, 9))
        assert (p.label, p.known, p.candidates[0].base) == ("red", True, True)
        assert all(c.score == 0 for c in p.candidates if not c.base)


def test_a_picture_of_nothing_is_answered(card: ModelCard, tmp_path: Path) -> None:
    """An embedding of zeros has no direction, and no typical picture is as strong."""
    black = np.zeros((8, 8, 3), np.uint8)
    with Engine.open(tmp_path / "a.db", backbone=card, base_classes=True) as engine:
        engine.enroll("night", [black])
        for picture in (black, PICTURES[0]):
            p = engine.predict(picture)
            assert p.known
            assert p.label == ("black" if picture is black else "red")


def test_a_threshold_that_a_person_sets_moves_no_probability(
    card: ModelCard, tmp_path: Path
) -> None:
    with Engine.open(tmp_path / "a.db", backbone=card, base_classes=True) as engine:
        engine.enroll("orange", [paint(230, 130, 20, s) for s in range(5)])
        engine.flush()
        picture = paint(230, 130, 20, 9)
        before = engine.predict(picture)
        engine.set_threshold("orange", 1.0)
        after = engine.predict(picture)
        assert after.candidates == before.candidates
        assert (before.label, after.label) == ("orange", None)
        engine.set_threshold("orange", 0.0)
        assert engine.predict(paint(30, 30, 220)).label == "blue"


def test_several_views_of_a_picture(card: ModelCard, tmp_path: Path) -> None:
    """One colour looks the same from everywhere; what is not in the middle counts for less."""
    with Engine.open(tmp_path / "a.db", backbone=card, base_classes=True, tta=True) as engine:
        assert engine.predict(paint(30, 30, 220)).label == "blue"
        views = engine.backbone.embed([paint(30, 30, 220)])[0]
        assert views.dtype == np.uint8
        assert engine.predict(paint(30, 30, 220)).candidates[0].base


def test_joining_divides_one_probability() -> None:
    own = OwnClasses(
        Layer.of(np.ones((3, 2), np.int8), 0, np.zeros(3, np.int32), np.ones(1)), ("a", "b", "c")
    )
    logits, none = np.array([1.0, 3.0, 2.0]), np.zeros(3, np.bool_)
    enrolled = Decision("new", 0.75, True, (Candidate("new", 0.75), Candidate("other", 0.25)))
    for odds in (-1e9, -3.0, 0.0, 3.0, 1e9):
        answer = join(enrolled, own, logits, none, odds)
        assert sum(c.score for c in answer.candidates) == pytest.approx(1)
        assert [c.label for c in answer.candidates if c.base] == ["b", "c", "a"]
        shares = {c.label: c.score for c in answer.candidates}
        assert shares["new"] == pytest.approx(3 * shares["other"])
        assert answer.label == answer.candidates[0].label
    assert join(enrolled, own, logits, none, 1e9).label == "new"
    assert join(enrolled, own, logits, none, -1e9).label == "b"
    # An enrolled winner that is too far from its class is no answer; an own one always is.
    stranger = enrolled._replace(label=None, known=False)
    assert join(stranger, own, logits, none, 1e9)[::2] == (None, False)
    assert join(stranger, own, logits, none, -1e9)[::2] == ("b", True)


def test_a_typical_picture_is_as_strong_as_the_given_one() -> None:
    total = np.array([3, 0, 4], np.int64) * 10**6
    x = np.array([10, 20, 30], np.uint8)
    usual = typical(total, x, nonnegative=True)
    np.testing.assert_allclose(usual, np.array([9, 0, 16]) * 60 / 25)
    signed = typical(-total, x.astype(np.int16), nonnegative=False)
    np.testing.assert_allclose(signed, -np.array([3, 0, 4]) * math.sqrt(1400) / 5)


def test_a_backbone_without_own_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="pebble has no classes of its own"):
        Engine.open(tmp_path / "a.db", base_classes=True)
    backbone = Backbone.from_function(
        lambda x: x.mean(axis=(1, 2)).astype(np.float32), name="mean", size=(4, 4), dim=3
    )
    with pytest.raises(CardError, match="mean has no classes"):
        Engine.open(tmp_path / "a.db", backbone=backbone, base_classes=True)
    assert not (tmp_path / "a.db").exists()


@pytest.mark.parametrize("names", [(), NAMES[:4], (*NAMES, "sixth"), (*NAMES[:4], "\u200b")])
def test_names_must_be_as_many_as_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    card = colour_card(tmp_path / "colours", names=names)
    with pytest.raises(CardError, match=r"names|no label"):
        Engine.open(tmp_path / "a.db", backbone=card, base_classes=True)
    # Nothing else asks for them.
    with Engine.open(tmp_path / "a.db", backbone=card) as engine:
        assert engine.base_classes == ()
        assert engine.predict(PICTURES[0]).candidates == ()


def test_rows_are_those_that_the_card_means(tmp_path: Path, card: ModelCard) -> None:
    for wrong in (Classifier(5, "0" * 64), Classifier(4, "0" * 64)):
        with pytest.raises(CardError, match=r"classifier|classes"):
            load_classifier(dataclasses.replace(card, classifier=wrong), "colours.tflite")
    rows = make_rows(card).pack()
    # What was kept of them is held to the card, and made again.
    kept = next((tmp_path / "cache" / "classifiers").iterdir())
    for damage in (b"", b"x" * 100, kept.read_bytes()[:-1], kept.read_bytes() + b"\0"):
        kept.write_bytes(damage)
        assert make_rows(card).pack() == rows
    # From the cache alone, once they are there.
    weights = tmp_path / "colours" / "colours.tflite"
    content = weights.read_bytes()
    weights.unlink()
    assert make_rows(card).pack() == rows
    kept.unlink()
    weights.write_bytes(content[:-1] + b"\0\0")
    with pytest.raises(ChecksumError):
        make_rows(card)


def test_floats_have_lost_their_scale(card: ModelCard) -> None:
    real = dataclasses.replace(card.files[0].embedding, dtype="float32", quantization=None)
    floats = dataclasses.replace(card, files=(dataclasses.replace(card.files[0], embedding=real),))
    with pytest.raises(CardError, match="floats"):
        load_classifier(floats, "colours.tflite")


def test_the_shell(card: ModelCard, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import cv2

    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), paint(230, 130, 20, i))
    cv2.imwrite(str(tmp_path / "blue.png"), paint(30, 30, 220))
    path = str(tmp_path / "colours" / "colours.yaml")
    words = ["--store", str(tmp_path / "a.db"), "--backbone", path, "--base-classes"]
    assert main([*words, "classes"]) == 0
    assert capfd.readouterr().out == "nothing is enrolled\nand 5 classes of the backbone's own\n"
    assert main([*words, "enroll", "white", *(str(tmp_path / f"{i}.png") for i in range(3))]) == 0
    capfd.readouterr()
    assert main([*words, "--json", "classes"]) == 0
    assert json.loads(capfd.readouterr().out)["base_classes"] == 4
    assert main([*words, "predict", str(tmp_path / "blue.png")]) == 0
    assert capfd.readouterr().out.endswith("(the backbone's own)\n")
    assert main([*words, "--json", "predict", str(tmp_path / "0.png")]) == 0
    said = json.loads(capfd.readouterr().out)
    assert said["label"] == "white"
    assert {c["base"] for c in said["candidates"]} == {True, False}
    # Without the option it is the store alone.
    assert main([*words[:-1], "predict", str(tmp_path / "0.png")]) == 0
    assert "(the backbone's own)" not in capfd.readouterr().out
    assert main(["--store", str(tmp_path / "b.db"), "--base-classes", "classes"]) == 1
    assert "pebble has no classes of its own" in capfd.readouterr().err
