"""The camera loop on real video files and a real stream that breaks off."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinc import camera
from edgeinc.camera import frames
from edgeinc.errors import DeviceError, InputError

STEP = 20


def picture(number: int) -> NDArray[np.uint8]:
    """A picture that tells its number by its brightness."""
    return np.full((48, 64, 3), STEP * number + 10, np.uint8)


def number(frame: NDArray[np.uint8]) -> int:
    return round((frame.mean() - 10) / STEP)


def write_video(path: Path, count: int) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    assert writer.isOpened()
    for i in range(count):
        writer.write(picture(i))
    writer.release()
    return path


def test_a_video_file_is_played_once(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", 9)
    for source in (path, str(path)):
        played = list(frames(source))
        assert [number(f) for f in played] == list(range(9))
        assert played[0].shape == (48, 64, 3)
        assert played[0].dtype == np.uint8
    assert not np.shares_memory(played[0], played[1])


def test_only_the_newest_picture_waits_for_a_slow_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "a.avi", 9)
    real, at_end = camera._read, threading.Event()

    def read(capture: Any) -> NDArray[np.uint8] | None:
        if (frame := real(capture)) is None:
            at_end.set()
        return frame

    monkeypatch.setattr(camera, "_read", read)
    seen = []
    for frame in frames(path, latest=True):
        # So slow that all others have come by then.
        assert at_end.wait(60)
        seen.append(number(frame))
    assert seen == sorted(set(seen))
    assert seen[-1] == 8
    assert len(seen) <= 2


@pytest.mark.parametrize("latest", [False, True])
def test_a_source_that_appears_later_is_waited_for(tmp_path: Path, latest: bool) -> None:
    path = tmp_path / "later.avi"

    def appear() -> None:
        write_video(tmp_path / "other.avi", 3).rename(path)

    timer = threading.Timer(0.3, appear)
    timer.start()
    assert number(next(iter(frames(path, latest=latest, patience=20)))) in range(3)
    timer.join()


@pytest.mark.parametrize("latest", [False, True])
def test_patience_ends(tmp_path: Path, latest: bool, capfd: pytest.CaptureFixture[str]) -> None:
    for source in (tmp_path / "never.avi", 97):
        with pytest.raises(DeviceError, match=r"No picture came from .* for 0\.2 seconds"):
            next(frames(source, patience=0.2, latest=latest))
    assert capfd.readouterr().err == ""


def test_a_file_that_is_no_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    path.write_bytes(b"RIFF" + bytes(200))
    with pytest.raises(DeviceError):
        next(frames(path, patience=0.2))


def test_negative_patience_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="negative"):
        frames(0, patience=-1)


@pytest.mark.parametrize("latest", [False, True])
def test_closing_releases_the_source(tmp_path: Path, latest: bool) -> None:
    def reading() -> list[str]:
        names = [thread.name for thread in threading.enumerate()]
        return [name for name in names if name.startswith("edgeinc-camera")]

    path = write_video(tmp_path / "a.avi", 9)
    with closing(frames(path, latest=latest)) as source:
        next(source)
        assert len(reading()) == latest
    assert reading() == []
    opened = Path("/proc/self/fd")
    if not opened.exists():
        pytest.skip("no /proc here, which tells which files are open")
    open_files = [str(p.readlink()) for p in opened.iterdir() if p.exists()]
    assert str(path) not in open_files


class Stream(BaseHTTPRequestHandler):
    """Motion JPEG that breaks off after a few pictures, each time somebody connects."""

    connections = 0

    def do_GET(self) -> None:
        first = 5 * Stream.connections
        Stream.connections += 1
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        for i in range(first, first + 5):
            data = cv2.imencode(".jpg", picture(i % 12))[1].tobytes()
            head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            self.wfile.write(head.encode() + data + b"\r\n")

    def log_message(self, *args: object) -> None:
        """Keeps requests off stderr."""


@pytest.fixture
def stream() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Stream.connections = 0
    yield f"http://127.0.0.1:{server.server_port}/video.mjpg"
    server.shutdown()
    server.server_close()


def test_a_stream_that_breaks_off_is_opened_again(stream: str) -> None:
    with closing(frames(stream, patience=20)) as source:
        seen = [number(next(source)) for _ in range(8)]
    assert Stream.connections == 2
    assert seen == list(range(8))
