"""Several views of one picture: what each shows, their mean, and stores that hold such examples."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinc import Engine
from edgeinc.backbone import Backbone
from edgeinc.backbone.numbers import pooled
from edgeinc.cli import main
from edgeinc.errors import ImageError
from edgeinc.images import LEAST_SIDE, VIEWS, needed, take
from tests.conftest import photo

Picture = NDArray[np.uint8]


def colours(picture: Picture) -> NDArray[np.uint8]:
    """Mean colour, and that of the left half: a network whose answer depends on the cut."""
    left = picture[:, :, : picture.shape[2] // 2]
    means = np.stack([picture.mean(axis=(1, 2)), left.mean(axis=(1, 2))])
    return np.asarray(np.rint(means), np.uint8)


def backbone() -> Backbone:
    return Backbone.from_function(colours, name="colours", size=(16, 16), dim=6)


def scene(seed: int = 0) -> Picture:
    """A picture, half as wide again as high, whose parts differ."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), np.uint8)
    return np.asarray(cv2.resize(small, (96, 64), interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.mark.parametrize("shape", [(64, 96), (96, 64), (LEAST_SIDE, 400), (LEAST_SIDE,) * 2])
def test_what_each_view_shows(shape: tuple[int, int]) -> None:
    image = np.zeros((*shape, 3), np.uint8)
    shorter = min(shape)
    assert take(image, "squash", 16, 16).shape[:2] == shape
    assert take(image, "crop", 16, 16).shape[:2] == (shorter, shorter)
    zoom = take(image, "zoom", 16, 16)
    assert zoom.shape[:2] == (shorter * 3 // 4,) * 2
    assert zoom.base is not None
    # What is left of a picture of `needed` pixels still fills the network's input.
    assert all(needed(side) * 3 // 4 >= side for side in range(1, 500))


def test_the_mean_is_exact_and_keeps_its_type() -> None:
    rng = np.random.default_rng(0)
    for dtype, low in ((np.uint8, 0), (np.int16, -32767)):
        rows = [rng.integers(low, np.iinfo(dtype).max + 1, 50, dtype) for _ in range(3)]
        found = pooled(rows)
        assert found.dtype == dtype
        assert np.array_equal(found, pooled(rows[::-1]))
        assert np.abs(found - np.mean(rows, axis=0)).max() <= 0.5
        assert np.array_equal(pooled([rows[0]] * 3), rows[0])


def test_a_backbone_averages_its_views() -> None:
    with backbone() as body:
        alone = []
        for view in VIEWS:
            body.views = (view,)
            alone.append(body.embed([scene()])[0])
        body.views = ()
        plain = body.embed([scene()])[0]
        body.views = VIEWS
        found = body.embed([scene()])[0]
        many, _ = body.embed_many([scene()] * 3)
    assert len({row.tobytes() for row in alone}) == 3
    assert np.array_equal(plain, alone[VIEWS.index("crop")])
    assert np.array_equal(found, pooled(alone))
    assert all(np.array_equal(row, found) for row in many if row is not None)
    assert len(many) == 3


def made_by(path: Path) -> list[str]:
    """What the operations of a store say made their examples."""
    connection = sqlite3.connect(path)
    found = connection.execute(
        "SELECT f.name FROM operations o JOIN files f ON f.id = o.file ORDER BY o.number"
    ).fetchall()
    connection.close()
    return [name for (name,) in found]


def test_examples_of_one_view_and_of_three_stand_beside_each_other(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with Engine.open(path, backbone=backbone()) as engine:
        engine.enroll("a", [scene(1), scene(2)])
        engine.enroll("b", [scene(3), scene(4)])
        before = engine.fitted().snapshot
        answers = [engine.predict(scene(i)).candidates for i in range(8)]
    with Engine.open(path, backbone=backbone(), tta=True, head="knn") as engine:
        # The same pictures, but other examples; the second time they count once.
        assert engine.enroll("a", [scene(1), scene(5)]).added == 2
        assert engine.enroll("a", [scene(1), scene(5)]).added == 0
        assert engine.predict(scene(5)).candidates[0].label == "a"
        assert engine.search(scene(5))[0].similarity == pytest.approx(1.0, abs=1e-4)
        assert engine.search(scene(3))[0].label == "b"
        taught = engine.samples("a")
        assert len(taught) == 4
    name = made_by(path)[0]
    assert made_by(path) == [name, name, f"{name}, views squash crop zoom"]
    with Engine.open(path, backbone=backbone()) as engine:
        for sample in taught[2:]:
            engine.forget(sample=sample.id)
        after = engine.fitted().snapshot
        assert np.array_equal(before.gram, after.gram)
        assert np.array_equal(before.rows, after.rows)
        assert [engine.predict(scene(i)).candidates for i in range(8)] == answers


def test_a_merge_and_an_archive_keep_how_examples_were_made(tmp_path: Path) -> None:
    with Engine.open(tmp_path / "a.db", backbone=backbone(), tta=True) as engine:
        engine.enroll("a", scene(1))
        engine.export(tmp_path / "a.edgeinc")
    for other in ("a.db", "a.edgeinc"):
        path = tmp_path / f"took {other}"
        with Engine.open(path, backbone=backbone()) as engine:
            assert engine.merge(tmp_path / other).added == 1
        assert [name for name in made_by(path) if name.endswith("views squash crop zoom")]


def test_a_part_of_a_picture_is_seen_in_three_views_too(tmp_path: Path) -> None:
    with Engine.open(tmp_path / "s.db", backbone=backbone(), tta=True) as engine:
        engine.enroll("a", scene(1)[10:50, 20:80])
        engine.enroll("b", scene(2))
        prediction = engine.predict(scene(1), roi=(20, 10, 60, 40))
        assert prediction.candidates[0].label == "a"


def test_bad_pictures_are_the_same_errors(tmp_path: Path) -> None:
    with Engine.open(tmp_path / "s.db", backbone=backbone(), tta=True) as engine:
        for bad in (b"", np.zeros((LEAST_SIDE - 1, 99, 3), np.uint8), tmp_path / "none.png"):
            with pytest.raises(ImageError):
                engine.enroll("a", [scene(1), bad])
            with pytest.raises(ImageError):
                engine.predict(bad)
        assert engine.classes() == []
        report = engine.enroll("a", [scene(1), b""], skip_unreadable=True)
        assert (report.added, report.unreadable) == (1, 1)
        tiny = np.full((LEAST_SIDE, LEAST_SIDE, 3), 90, np.uint8)
        assert engine.predict(tiny).candidates[0].label == "a"


def test_from_the_shell(
    tmp_path: Path, tiny_card: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = []
    for kind in range(3):
        for n in range(4):
            files.append(tmp_path / f"{kind}-{n}.png")
            cv2.imwrite(str(files[-1]), photo(kind, n))
    common = ["--store", str(tmp_path / "s.db"), "--backbone", str(tiny_card), "--tta", "--json"]
    for kind in range(3):
        some = [str(path) for path in files[4 * kind : 4 * kind + 3]]
        assert main([*common, "enroll", f"kind {kind}", *some]) == 0
    capsys.readouterr()
    assert main([*common, "predict", *[str(path) for path in files[3::4]]]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["candidates"][0]["label"] for line in lines] == ["kind 0", "kind 1", "kind 2"]
    assert all(name.endswith("views squash crop zoom") for name in made_by(tmp_path / "s.db"))
