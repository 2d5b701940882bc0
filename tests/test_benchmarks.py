"""What the benchmarks stand on: archives and pictures."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinc.errors import InputError, RuntimeUnavailableError
from edgeinc.images import read_image

pytest.importorskip("benchmarks.common", reason="benchmarks are no part of an installed package")


@pytest.fixture
def archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder where benchmarks look for archives; it has `things.tar` with `top/a.txt`."""
    from benchmarks.common import unpacked

    folder = tmp_path / "shared" / "data"
    folder.mkdir(parents=True)
    (tmp_path / "a.txt").write_text("inside")
    with tarfile.open(folder / "things.tar", "w") as tar:
        tar.add(tmp_path / "a.txt", "top/a.txt")
    monkeypatch.setenv("EDGEINC_SHARED", str(tmp_path / "shared"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    unpacked.cache_clear()
    yield folder
    unpacked.cache_clear()


def test_archives_are_unpacked_once(archives: Path) -> None:
    from benchmarks.common import unpacked

    folder = unpacked("things.tar")
    assert (folder.name, (folder / "a.txt").read_text()) == ("top", "inside")
    (archives / "things.tar").unlink()
    unpacked.cache_clear()
    assert unpacked("things.tar") == folder


def test_zstd_archives_are_unpacked(archives: Path) -> None:
    from benchmarks.common import unpacked

    program = shutil.which("zstd")
    if program is None:
        pytest.skip("the program zstd is not installed")
    subprocess.run([program, "-q", "--rm", archives / "things.tar"], check=True)
    assert (unpacked("things.tar.zst") / "a.txt").read_text() == "inside"


def test_zstd_archives_that_cannot_be_unpacked(
    archives: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.common import unpacked

    whole = (archives / "things.tar").read_bytes()
    (archives / "things.tar.zst").write_bytes(whole)
    if shutil.which("zstd") is not None:
        with pytest.raises(InputError, match="cannot be unpacked"):
            unpacked("things.tar.zst")
    monkeypatch.setenv("PATH", str(archives))
    with pytest.raises(RuntimeUnavailableError, match="needs the program zstd"):
        unpacked("things.tar.zst")


def test_a_picture_becomes_like_those_of_tiny_imagenet(tmp_path: Path) -> None:
    from benchmarks.tiny import SIDE, as_tiny

    path = tmp_path / "wide.png"
    image = np.zeros((100, 300, 3), np.uint8)
    image[:, 100:200] = 200
    cv2.imwrite(str(path), image)
    small = read_image(as_tiny(path))
    assert small.shape == (SIDE, SIDE, 3)
    # The centre square alone.
    assert small.min() > 190
