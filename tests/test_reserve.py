"""Room on the disk that is taken before the work, on systems that can and that cannot."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import cv2
import pytest

from edgeinc.cache import reserve
from edgeinc.catalogue import attaching
from edgeinc.export import embed_folder
from tests.conftest import photo


def unable(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a file system that answers so; 0: as a system without the call, such as macOS."""

    def refuse(fd: int, offset: int, length: int) -> None:
        raise OSError(code, os.strerror(code))

    if code:
        monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    else:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)


@pytest.mark.parametrize("code", [None, 0, errno.EOPNOTSUPP, errno.EINVAL])
def test_room_is_taken_behind_what_a_file_holds(
    code: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if code is not None:
        unable(code, monkeypatch)
    room = (1 << 20) + 5
    with (tmp_path / "a").open("xb") as stream:
        stream.write(b"content")
        reserve(stream, room)
        assert os.fstat(stream.fileno()).st_size == room
        assert os.fstat(stream.fileno()).st_blocks * 512 >= room
        stream.write(b" and more")
    assert (tmp_path / "a").read_bytes().rstrip(b"\0") == b"content and more"


@pytest.mark.parametrize("code", [None, 0])
@pytest.mark.parametrize("room", [0, 3])
def test_a_longer_file_stays(
    code: int | None, room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if code is not None:
        unable(code, monkeypatch)
    with (tmp_path / "a").open("xb") as stream:
        stream.write(b"content")
        reserve(stream, room)
    assert (tmp_path / "a").read_bytes() == b"content"


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unable(errno.ENOSPC, monkeypatch)
    with (tmp_path / "a").open("xb") as stream, pytest.raises(OSError, match="No space"):
        reserve(stream, 5)


def test_files_are_written_where_the_system_cannot_take_room(
    tiny_card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unable(0, monkeypatch)
    (tmp_path / "photos" / "a").mkdir(parents=True)
    assert cv2.imwrite(str(tmp_path / "photos" / "a" / "0.png"), photo(0, 0))
    written = embed_folder(tmp_path / "photos", tmp_path / "e.h5", backbone=tiny_card)
    assert written.shape[0] == 1
    with attaching.reserved(tmp_path, 100) as part:
        assert part.stat().st_size == 100
        attaching._fill(part, b"content", tmp_path / "settled")
    assert (tmp_path / "settled").read_bytes() == b"content"
