"""Drawn answers: what is on the picture, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinc.draw import AMBER, GREEN, PAPER, RED, annotate, contact_sheet, write_picture
from edgeinc.errors import InputError
from edgeinc.images import read_image
from edgeinc.types import Candidate, Prediction


def answer(label: str | None, score: float) -> Prediction:
    candidates = (Candidate(label or "nut", score),)
    return Prediction(label, score, label is not None, candidates, "CPU", 1.0)


def bar(picture: NDArray[np.uint8], colour: tuple[int, int, int]) -> float:
    """Share of the last row that has a colour."""
    return float((picture[-1] == colour).all(axis=1).mean())


@pytest.mark.parametrize("shape", [(224, 224), (720, 1280), (40, 30)])
@pytest.mark.parametrize("score", [0.0, 0.25, 1.0])
def test_the_bar_is_as_long_as_the_score(shape: tuple[int, int], score: float) -> None:
    image = np.full((*shape, 3), 90, np.uint8)
    out = annotate(image, answer("bolt", score))
    assert out.shape == image.shape
    assert (image == 90).all()
    assert bar(out, GREEN) == pytest.approx(score, abs=0.02)
    # The label is on the band; nothing but the frame is above it.
    assert (out[-max(16, shape[0] // 8) : -3].min(axis=2) > 120).any()
    assert (out[shape[0] // 4 : shape[0] // 2, 6:-6] == 90).all()


def test_colour_tells_known_stranger_and_wrong() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    assert bar(annotate(image, answer(None, 0.5)), AMBER) > 0.4
    assert bar(annotate(image, answer("nut", 0.5), truth="nut"), GREEN) > 0.4
    assert bar(annotate(image, answer("nut", 0.5), truth="bolt"), RED) > 0.4
    assert bar(annotate(image, answer(None, 0.5), truth="bolt"), AMBER) > 0.4


def test_labels_of_any_script_and_length_are_drawn() -> None:
    image = np.zeros((120, 120, 3), np.uint8)
    plain = annotate(image, answer("nut", 0.5))
    for label in ("Schräubchen", "ねじ", "x" * 200):
        assert not np.array_equal(annotate(image, answer(label, 0.5)), plain)
    nothing = Prediction(None, 0.0, False, (), "CPU", 1.0)
    assert annotate(image, nothing).shape == image.shape


def test_a_sheet_holds_every_picture_under_its_heading() -> None:
    pictures = [np.full((30 + 10 * i, 40, 3), 40 * i + 60, np.uint8) for i in range(5)]
    sheet = contact_sheet({"first": pictures[:2], "": pictures[2:]}, columns=2, cell=80)
    gap = 2
    assert sheet.shape == (gap + 20 + 3 * (80 + gap), gap + 2 * (80 + gap), 3)
    assert sheet[0, 0].tolist() == list(PAPER)
    first_row = gap + 20 + 40
    for i, (row, column) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]):
        pixel = sheet[first_row + row * 82, gap + column * 82 + 40]
        assert pixel.tolist() == [40 * i + 60] * 3


def test_a_sheet_of_nothing_is_refused() -> None:
    for sections, columns in [({}, 3), ({"empty": []}, 3), ({"": [np.zeros((8, 8, 3))]}, 0)]:
        with pytest.raises(InputError, match="needs a picture"):
            contact_sheet(sections, columns=columns)


def test_pictures_are_written_or_the_reason_is_told(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    path = tmp_path / "new" / "Bild ü.png"
    write_picture(path, image)
    assert np.array_equal(read_image(path), image)
    for name in ("a", "a.text"):
        with pytest.raises(InputError, match=r"\.png"):
            write_picture(tmp_path / name, image)
    with pytest.raises(InputError, match="cannot be written"):
        write_picture(path / "below.png", image)
