"""The examples, run as their docstrings say, on drawn pictures."""

from __future__ import annotations

import ast
import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinc.draw import write_picture
from edgeinc.images import read_image
from edgeinc.parts import draw_part

EXAMPLES = Path(__file__).parents[1] / "examples"
KINDS = ("bolt", "washer")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two label folders of six drawn parts each."""
    folder = tmp_path_factory.mktemp("parts")
    for kind in KINDS:
        for i in range(6):
            write_picture(folder / kind / f"{i}.png", draw_part(kind, np.random.default_rng(i), 96))
    return folder


@dataclass(frozen=True)
class Done:
    """How an example ended."""

    status: int
    out: list[str]
    err: list[str]


Run = Callable[..., Done]


@pytest.fixture
def run(
    tmp_path: Path,
    tiny_card: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Runs an example as `python examples/NAME.py` would, with the tiny network."""
    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def run_example(name: str, *words: str | Path) -> Done:
        path = str(EXAMPLES / f"{name}.py")
        monkeypatch.setattr(sys, "argv", [path, *map(str, words), "--backbone", str(tiny_card)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(path, run_name="__main__")
        out, err = capsys.readouterr()
        return Done(end.value.code or 0, out.splitlines(), err.splitlines())

    return run_example


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda p: p.stem)
def test_each_example_says_how_to_run_it(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text is not None
    assert f"python examples/{path.name} " in text


def test_enroll_folder(run: Run, parts: Path) -> None:
    query = parts / "bolt" / "0.png"
    first = run("enroll_folder", parts, query)
    assert first.status == 0, first.err
    assert first.out[:3] == ["12 added, 0 skipped", "  bolt: 6", "  washer: 6"]
    assert first.out[3].startswith(f"{query}: ")
    assert run("enroll_folder", parts, query).out[0] == "0 added, 12 skipped"


def test_lookup_finds_the_picture_itself_first(run: Run, parts: Path, tmp_path: Path) -> None:
    query = parts / "washer" / "3.png"
    done = run("lookup", parts, query, "-k", "4", "--sheet", "sheet.png")
    assert done.status == 0, done.err
    assert len(done.out) == 4
    assert done.out[0].split(maxsplit=2) == ["1.000", "washer", str(query)]
    assert read_image(tmp_path / "sheet.png").shape[1] > 4 * 160


def test_sklearn_features(run: Run, parts: Path) -> None:
    pytest.importorskip("sklearn", reason="the example needs scikit-learn")
    pytest.importorskip("h5py", reason="the example needs h5py")
    done = run("sklearn_features", parts)
    assert done.status == 0, done.err
    assert done.out[0] == "12 pictures, 64 features each"
    assert [line.split(":")[0] for line in done.out[1:]] == ["LinearSVC", "LogisticRegression"]
    assert all(line.endswith("of 6 right") for line in done.out[1:])


def test_camera_loop_learns_from_a_video_and_goes_on(run: Run, tmp_path: Path) -> None:
    clip(tmp_path / "clip.avi", 14)
    words = ("clip.avi", "--learn", "gear", "--shots", "2", "--save", "last.png")
    done = run("camera_loop", *words)
    assert done.status == 0, done.err
    assert done.out[0] == "learned gear: 2 added, 0 skipped"
    assert len(done.out) > 1
    assert read_image(tmp_path / "last.png").shape == (96, 96, 3)


def clip(path: Path, pictures: int) -> None:
    """A video of gears."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (96, 96))
    for seed in range(pictures):
        writer.write(draw_part("gear", np.random.default_rng(seed), 96))
    writer.release()


def test_camera_loop_says_that_a_clip_was_too_short_to_learn(run: Run, tmp_path: Path) -> None:
    clip(tmp_path / "clip.avi", 12)
    done = run("camera_loop", "clip.avi", "--learn", "gear")
    assert done.status == 1
    (line,) = done.err
    assert line.startswith("The pictures ended after 12 of the 21 from which 'gear'")
    assert run("camera_loop", "clip.avi", "--learn", "gear", "--shots", "0").status == 2


@pytest.mark.parametrize(("classes", "pictures"), [(2, 1), (1, 4)])
def test_sklearn_features_wants_two_classes_of_two(
    run: Run, parts: Path, tmp_path: Path, classes: int, pictures: int
) -> None:
    pytest.importorskip("sklearn", reason="the example needs scikit-learn")
    pytest.importorskip("h5py", reason="the example needs h5py")
    for kind in KINDS[:classes]:
        (tmp_path / "few" / kind).mkdir(parents=True)
        for i in range(pictures):
            (tmp_path / "few" / kind / f"{i}.png").symlink_to(parts / kind / f"{i}.png")
    done = run("sklearn_features", tmp_path / "few")
    assert done.status == 1
    assert done.err == ["At least two classes with two readable pictures each are needed."]


@pytest.mark.parametrize("name", ["enroll_folder", "sklearn_features"])
def test_bad_input_ends_in_one_line(run: Run, tmp_path: Path, name: str) -> None:
    if name == "sklearn_features":
        pytest.importorskip("sklearn", reason="the example needs scikit-learn")
    missing = tmp_path / "none"
    done = run(name, missing)
    assert done.status == 1
    assert done.err == [f"{missing} does not exist; check the path."]
