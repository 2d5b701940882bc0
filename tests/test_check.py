"""A second look through an engine and the shell, and what is said of poor pictures."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinc import Engine
from edgeinc.cli import main
from edgeinc.engine import second_look
from edgeinc.errors import SampleNotFoundError, StoreBusyError
from edgeinc.images import crop, faults, shrink
from edgeinc.parts import draw_part
from edgeinc.review import review_new
from tests.conftest import SIDE, photo


def enrolled(engine: Engine) -> list[str]:
    """Three kinds of things, and one of them under the wrong name, whose id comes last."""
    ids: list[str] = []
    for kind, label in enumerate(("red", "green", "blue")):
        ids += engine.enroll(label, [photo(kind, i) for i in range(8)]).ids
    return [*ids, *engine.enroll("red", photo(2, 99)).ids]


@pytest.fixture
def engine(tmp_path: Path, tiny_card: Path) -> Engine:
    return Engine.open(tmp_path / "s.db", backbone=tiny_card)


def test_an_engine_looks_again(engine: Engine, tmp_path: Path) -> None:
    with engine:
        *_, wrong = enrolled(engine)
        done = engine.log()
        review = engine.review([wrong])
        assert [(s.id, s.label, s.rival, s.source) for s in review.suspects] == [
            (wrong, "red", "blue", None)
        ]
        assert review.before is not None
        everything = engine.review()
        assert wrong in [s.id for s in everything.suspects]
        assert everything.judged == everything.examples == 25
        assert engine.review(()).suspects == ()
        # It only looks.
        assert engine.log() == done
    for path in tmp_path.glob("s.db*"):
        path.chmod(0o400)
    with Engine.open(tmp_path / "s.db", backbone=engine.backbone.card) as reader:
        assert asdict(reader.review()) == asdict(everything)
        assert asdict(reader.review([wrong])) == asdict(review)


def test_sources_are_named_and_negatives_are_no_class(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "wrong.png"
    cv2.imwrite(str(path), photo(2, 99))
    with engine:
        enrolled(engine)
        engine.forget(sample=engine.samples("red")[-1].id)
        report = engine.enroll("red", path)
        assert [s.source for s in engine.review(report.ids).suspects] == [str(path)]
        none = engine.enroll(None, [photo(5, i) for i in range(3)])
        assert engine.review(none.ids).before is None
        assert engine.review().examples == 25
        assert {look.label for look in engine.review().classes} == {"red", "green", "blue"}


def test_a_purge_by_another_process_is_followed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def purged_once(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 1:
            raise SampleNotFoundError("It has been purged.")
        return review_new(*arguments)

    with engine:
        *_, wrong = enrolled(engine)
        monkeypatch.setattr(second_look, "review_new", purged_once)
        assert [s.id for s in engine.review([wrong]).suspects] == [wrong]


def test_an_empty_store(engine: Engine) -> None:
    with engine:
        assert engine.review().examples == engine.review(["00" * 16]).examples == 0
        engine.enroll("red", photo(0, 0))
        assert engine.review().accuracy is None


SHARP = draw_part("washer", np.random.default_rng(0))


def judged(picture: np.ndarray, side: int) -> list[str]:
    """What is said of a picture that a network of this input sees the centre of."""
    return faults(shrink(crop(picture, side, side), side, side), min(picture.shape[:2]))


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (SHARP, []),
        (SHARP // 4, ["too dark"]),
        (np.clip(SHARP.astype(int) + 170, 0, 255).astype(np.uint8), ["too bright"]),
        (cv2.GaussianBlur(SHARP, (0, 0), 9), ["blurred"]),
        (cv2.resize(SHARP, (70, 70)), ["too small"]),
        (np.full((300, 300, 3), 128, np.uint8), ["empty"]),
        (np.zeros((300, 300, 3), np.uint8), ["too dark", "empty"]),
        (np.full((300, 300, 3), 255, np.uint8), ["too bright", "empty"]),
    ],
)
def test_faults_of_pictures(picture: np.ndarray, words: list[str]) -> None:
    assert [fault.split(":")[0] for fault in judged(picture, 224)] == words


def test_what_is_enrolled_of_a_poor_picture_is_told(engine: Engine, tmp_path: Path) -> None:
    good, dark = photo(0, 0), photo(0, 1) // 6
    cv2.imwrite(str(tmp_path / "dark.png"), dark)
    with engine:
        report = engine.enroll("red", [good, dark, tmp_path / "dark.png"])
    assert report.added == 2
    assert report.unreadable == 0
    assert len(report.warnings) == 2
    assert report.warnings[0].startswith("picture 2 is enrolled, but too dark")
    assert report.warnings[1].startswith(f"{tmp_path / 'dark.png'} is enrolled, but too dark")


def test_a_picture_as_small_as_the_network_is_no_small_one() -> None:
    assert judged(photo(0, 0)[:SIDE, :SIDE], SIDE) == []


@pytest.fixture
def folder(tmp_path: Path, tiny_card: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of red, green and blue, with a blue thing under red, and its pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEINC_STORE", "s.db")
    for kind, label in enumerate(("red", "green", "blue")):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for i in range(8):
            cv2.imwrite(str(tmp_path / "photos" / label / f"{i}.png"), photo(kind, i))
    cv2.imwrite("odd.png", photo(2, 99))
    assert main(["--backbone", str(tiny_card), "enroll", "--from", "photos"]) == 0
    return tiny_card


def test_the_shell_looks_at_what_is_enrolled(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    assert main(["--backbone", str(folder), "enroll", "red", "odd.png"]) == 0
    out, err = capfd.readouterr()
    assert "wrong label? odd.png in 'red'" in err
    assert "before" in err
    assert len(out.splitlines()) == 1
    assert main(["--json", "--backbone", str(folder), "enroll", "red", "odd.png"]) == 0
    again = json.loads(capfd.readouterr().out)
    assert (again["added"], again["review"]["suspects"]) == (0, [])


def test_what_is_enrolled_stays_so_when_it_cannot_be_looked_at(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object) -> None:
        raise StoreBusyError("s.db is busy.")

    capfd.readouterr()
    monkeypatch.setattr(Engine, "review", busy)
    assert main(["--json", "--backbone", str(folder), "enroll", "red", "odd.png"]) == 0
    out, err = capfd.readouterr()
    assert "enrolled, but not looked at again: s.db is busy." in err
    assert (json.loads(out)["added"], json.loads(out)["review"]) == (1, None)


def test_check(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main(["--backbone", str(folder), "enroll", "red", "odd.png"])
    capfd.readouterr()
    assert main(["--backbone", str(folder), "check"]) == 0
    out, _ = capfd.readouterr()
    assert "25 of 25 examples judged" in out
    assert "wrong label? odd.png in 'red'" in out
    assert main(["--json", "--backbone", str(folder), "check"]) == 0
    record = json.loads(capfd.readouterr().out)
    assert record["suspects"][0]["source"] == "odd.png"
    assert record["suspects"][0]["rival"] == "blue"
    assert record["confusion"]["red"]["blue"] == 1
    assert record["enough"] in out


def test_names_of_files_stay_on_one_line(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    name = "o\x1b[31m\nd.png"
    Path("odd.png").rename(name)
    for command in (["enroll", "red", name], ["check"]):
        assert main(["--backbone", str(folder), *command]) == 0
        out, err = capfd.readouterr()
        assert "wrong label? o\\x1b[31m\\nd.png in 'red'" in out + err
        assert "\x1b" not in out + err


def test_check_of_a_store_that_is_not_there(
    tiny_card: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    words = ["--store", "none.db", "--backbone", str(tiny_card), "check", "--plot", "empty.png"]
    assert main(words) == 0
    assert "Nothing is enrolled yet" in capfd.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["empty.png"]


def test_check_draws_a_map(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    words = ["--backbone", str(folder), "check", "--plot"]
    assert main([*words, "one.png"]) == 0
    assert main([*words, "two.png"]) == 0
    first, second = cv2.imread("one.png"), cv2.imread("two.png")
    assert first.shape[1] > first.shape[0] > 300
    assert np.array_equal(first, second)
    # Three colours of classes are there, and not only a frame.
    hues = cv2.cvtColor(first, cv2.COLOR_BGR2HSV)
    assert len(np.unique(hues[hues[..., 1] > 100][:, 0])) >= 3
    capfd.readouterr()
    assert main([*words, "no/such/folder/map.png"]) == 1
    assert "cannot be written" in capfd.readouterr().err


def test_a_map_without_matplotlib(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    capfd.readouterr()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["--backbone", str(folder), "check", "--plot", "map.png"]) == 1
    assert "edgeinc[plot]" in capfd.readouterr().err
