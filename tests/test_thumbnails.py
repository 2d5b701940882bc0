"""Small pictures, kept only where they were asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinc import Engine
from edgeinc.cli import main
from edgeinc.errors import ImageError
from edgeinc.images import make_thumbnail, read_image
from tests.conftest import photo


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((480, 640), (72, 96)),
        ((1000, 300), (96, 29)),
        ((96, 96), (96, 96)),
        ((40, 50), (40, 50)),
        ((16, 4000), (1, 96)),
    ],
)
def test_a_thumbnail_is_small_and_never_larger(
    shape: tuple[int, int], wanted: tuple[int, int]
) -> None:
    rng = np.random.default_rng(0)
    content = make_thumbnail(rng.integers(0, 256, (*shape, 3), np.uint8))
    assert len(content) < 20_000
    small = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert small.shape == (*wanted, 3)


def test_it_shows_what_the_picture_shows() -> None:
    small = read_image(make_thumbnail(photo(1, 0))).astype(float)
    assert np.abs(small - photo(1, 0)).mean() < 12
    assert np.abs(small - photo(2, 0)).mean() > 40


def test_no_thumbnail_is_made_of_what_is_no_picture() -> None:
    with pytest.raises(ImageError):
        make_thumbnail(b"no picture")


def test_an_engine_keeps_them_only_where_asked_to(tmp_path: Path, tiny_card: Path) -> None:
    with Engine.open(tmp_path / "s.db", backbone=tiny_card) as engine:
        (plain,) = engine.enroll("a", photo(0, 0)).ids
        (kept,) = engine.enroll("a", photo(0, 1), thumbnails=True).ids
        assert engine.thumbnail(plain) is None
        small = engine.thumbnail(kept)
        assert small is not None
        assert small == make_thumbnail(photo(0, 1))
        assert small[200:260] in (tmp_path / "s.db").read_bytes()
        engine.forget("a", purge=True)
        assert engine.thumbnail(kept) is None
        assert small[200:260] not in (tmp_path / "s.db").read_bytes()


def test_a_file_that_vanishes_after_it_was_embedded(
    tmp_path: Path, tiny_card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thumbnail reads it a second time."""
    files = [tmp_path / f"{i}.png" for i in range(3)]
    for i, file in enumerate(files):
        cv2.imwrite(str(file), photo(0, i))
    with Engine.open(tmp_path / "s.db", backbone=tiny_card) as engine:
        embed_many = engine.backbone.embed_many

        def embed_and_delete(*args: Any, **options: Any) -> Any:
            found = embed_many(*args, **options)
            files[1].unlink(missing_ok=True)
            return found

        monkeypatch.setattr(engine.backbone, "embed_many", embed_and_delete)
        report = engine.enroll("a", files, skip_unreadable=True, thumbnails=True)
        assert (report.added, report.unreadable) == (2, 1)
        assert "1.png" in report.warnings[0]
        cv2.imwrite(str(files[1]), photo(0, 1))
        with pytest.raises(ImageError, match=r"1\.png"):
            engine.enroll("b", files, thumbnails=True)
        assert [c.label for c in engine.classes()] == ["a"]


def test_the_shell_keeps_carries_and_shows_them(
    tmp_path: Path, tiny_card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photos/a").mkdir(parents=True)
    for i in range(2):
        cv2.imwrite(f"photos/a/{i}.png", photo(0, i))
    cv2.imwrite("b.png", photo(1, 0))

    def edgeinc(store: str, *words: str) -> None:
        assert main(["--store", store, "--backbone", str(tiny_card), *words]) == 0

    edgeinc("one.db", "enroll", "--from", "photos", "--thumbnails")
    edgeinc("one.db", "enroll", "b", "b.png", "--thumbnails")
    edgeinc("one.db", "export", "with.edgeinc", "--thumbnails")
    edgeinc("one.db", "export", "without.edgeinc")
    for name, expected in (("without", 0), ("with", 2)):
        edgeinc("two.db", "merge", f"{name}.edgeinc")
        edgeinc("two.db", "samples", "a", "--thumbnails", f"small {name}")
        found = sorted(Path(f"small {name}").iterdir())
        assert len(found) == expected
        assert all(max(read_image(file).shape) <= 96 for file in found)
