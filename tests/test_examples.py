"""The examples, run as their docstrings say, on drawn pictures."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
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


def run(name: str, folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, words)]
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda p: p.stem)
def test_each_example_says_how_to_run_it(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text is not None
    assert f"python examples/{path.name} " in text


def test_enroll_folder(tmp_path: Path, parts: Path, tiny_card: Path) -> None:
    query = parts / "bolt" / "0.png"
    words = ("enroll_folder", tmp_path, parts, query, "--backbone", tiny_card)
    first = run(*words)
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines()[:3] == ["12 added, 0 skipped", "  bolt: 6", "  washer: 6"]
    assert first.stdout.splitlines()[3].startswith(f"{query}: ")
    assert run(*words).stdout.startswith("0 added, 12 skipped")


def test_lookup_finds_the_picture_itself_first(
    tmp_path: Path, parts: Path, tiny_card: Path
) -> None:
    query = parts / "washer" / "3.png"
    words = (parts, query, "-k", "4", "--sheet", "sheet.png", "--backbone", tiny_card)
    done = run("lookup", tmp_path, *words)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert lines[0].split(maxsplit=2) == ["1.000", "washer", str(query)]
    assert read_image(tmp_path / "sheet.png").shape[1] > 4 * 160


def test_sklearn_features(tmp_path: Path, parts: Path, tiny_card: Path) -> None:
    pytest.importorskip("sklearn", reason="the example needs scikit-learn")
    pytest.importorskip("h5py", reason="the example needs h5py")
    done = run("sklearn_features", tmp_path, parts, "--backbone", tiny_card)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "12 pictures, 64 features each"
    assert [line.split(":")[0] for line in lines[1:]] == ["LinearSVC", "LogisticRegression"]
    assert all(line.endswith("of 6 right") for line in lines[1:])


def test_camera_loop_learns_from_a_video_and_goes_on(tmp_path: Path, tiny_card: Path) -> None:
    writer = cv2.VideoWriter(
        str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (96, 96)
    )
    for seed in range(14):
        writer.write(draw_part("gear", np.random.default_rng(seed), 96))
    writer.release()
    options = ("--learn", "gear", "--shots", "2", "--save", "last.png", "--backbone", tiny_card)
    done = run("camera_loop", tmp_path, "clip.avi", *options)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "learned gear: 2 added, 0 skipped"
    assert len(lines) > 1
    assert read_image(tmp_path / "last.png").shape == (96, 96, 3)


def test_bad_input_ends_in_one_line(tmp_path: Path, tiny_card: Path) -> None:
    for name in ("enroll_folder", "sklearn_features"):
        done = run(name, tmp_path, tmp_path / "none", "--backbone", tiny_card)
        assert done.returncode == 1
        assert done.stderr.splitlines() == [f"{tmp_path / 'none'} does not exist; check the path."]
