"""Pictures from a camera, a stream or a video file, one after another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinc.errors import DeviceError, InputError
from edgeinc.images import quiet

__all__ = ["frames"]

Frame = NDArray[np.uint8]

# Seconds between attempts to open a source again: doubled each time, up to the second.
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0


def frames(
    source: int | str | Path, *, latest: bool = False, patience: float = 10.0
) -> Generator[Frame, None, None]:
    """Yields pictures until the source ends, which a camera never does.

    A camera or stream that drops out is opened again, with growing pauses between the
    attempts; so is a source that is not there yet. A video file is played once, without
    pauses. The source is released when the iterator ends or is closed, also by an
    exception: `contextlib.closing(frames(0))` makes that certain.

    Args:
        source: A camera's number, a stream's URL, or the path of a device or video file.
        latest: Yield only the newest picture each time, and drop those that came while
            the caller was busy: less delay, and no queue that grows. The source is then
            read by a thread of its own.
        patience: Seconds without a picture after which to give up.

    Yields:
        `(H, W, 3)` uint8 BGR, a new array each time.

    Raises:
        DeviceError: No picture came for `patience` seconds, or a video file holds none.
        InputError: `patience` is negative.
    """
    if patience < 0:
        raise InputError(f"Patience of {patience} seconds is negative; give 0 or more.")
    return _newest(source, patience) if latest else _every(source, patience, time.sleep)


def _every(
    source: int | str | Path, patience: float, pause: Callable[[float], bool | None]
) -> Generator[Frame, None, None]:
    """Every picture; ends when `pause` returns true."""
    seen, delay = time.monotonic(), FIRST_PAUSE
    capture = None
    try:
        while True:
            if capture is None:
                capture = _open(source)
            frame = None if capture is None else _read(capture)
            if frame is not None:
                seen, delay = time.monotonic(), FIRST_PAUSE
                yield frame
                # The caller's own time is not the source's silence.
                seen = time.monotonic()
                continue
            if capture is not None:
                started = capture.get(_position()) > 0
                capture.release()
                capture = None
                if _is_file(source):
                    if not started:
                        raise DeviceError(f"{source} holds no picture; check the file.")
                    return
            left = patience - (time.monotonic() - seen)
            if left <= 0:
                raise DeviceError(
                    f"No picture came from {source} for {patience:g} seconds; check that it "
                    "is there, connected, and used by nothing else."
                )
            if pause(min(delay, left)):
                return
            delay = min(2 * delay, LONGEST_PAUSE)
    finally:
        if capture is not None:
            capture.release()


def _newest(source: int | str | Path, patience: float) -> Generator[Frame, None, None]:
    """The newest picture each time: a thread reads all of them and keeps one."""
    changed = threading.Condition()
    stop = threading.Event()
    slot: list[Frame] = []

    def read() -> None:
        try:
            for frame in _every(source, patience, stop.wait):
                with changed:
                    slot[:] = [frame]
                    changed.notify()
                if stop.is_set():
                    return
        finally:
            with changed:
                stop.set()
                changed.notify()

    with ThreadPoolExecutor(1, thread_name_prefix="edgeinc-camera") as threads:
        reading = threads.submit(read)
        try:
            while True:
                with changed:
                    changed.wait_for(lambda: slot or stop.is_set())
                    if not slot:
                        break
                    frame = slot.pop()
                yield frame
            # Raises here what ended the thread.
            reading.result()
        finally:
            stop.set()


def _is_file(source: int | str | Path) -> bool:
    return not isinstance(source, int) and Path(source).is_file()


def _position() -> int:
    import cv2

    return int(cv2.CAP_PROP_POS_FRAMES)


def _open(source: int | str | Path) -> Any:
    """An open `cv2.VideoCapture`; None where there is nothing to open yet."""
    import cv2

    name = str(source) if isinstance(source, Path) else source
    if isinstance(name, str) and "://" not in name and not Path(name).exists():
        # FFmpeg would write its complaint to stderr at each attempt.
        return None
    with quiet():
        capture = cv2.VideoCapture(name)
    if not capture.isOpened():
        capture.release()
        return None
    return capture


def _read(capture: Any) -> Frame | None:
    done, frame = capture.read()
    return frame if done else None
