"""Many pictures at once: one session of one thread for each core."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgeinc.images import Picture
from edgeinc.runtimes import Session

__all__ = ["Look", "Pool"]

Look: TypeAlias = Callable[[Picture, int, NDArray[np.uint8]], None] | None
"""Gets a picture as it was given, its shorter side as it was read, and what the network sees."""

T = TypeVar("T")
R = TypeVar("R")


class Pool:
    """Sessions that work side by side, each on a picture of its own.

    Reading, resizing and running all happen in the workers: OpenCV and the runtimes let go of
    Python's lock while they work. From Flowers-17's files to MobileNet V2 int8 embeddings in
    LiteRT, a picture cost 4.5 ms of processor time this way, spread over all cores, against
    5.3 ms with one session of two threads, where one core waits while a file is decoded;
    the bare runtime with bare OpenCV needed 4.0 ms.
    """

    def __init__(self, another: Callable[..., Session], workers: int) -> None:
        """Opens `workers` sessions of one thread each."""
        self._sessions = [another(threads=1) for _ in range(workers)]
        self._free: SimpleQueue[Session] = SimpleQueue()
        for session in self._sessions:
            self._free.put(session)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="edgeinc")

    def map(self, work: Callable[[Session, T], R], items: Iterable[T]) -> list[R]:
        """Calls `work(session, item)` for each item; results in the order of the items.

        What `work` raises is raised here, for the first item that did; later items may then
        have been worked on or not.
        """
        waiting = [self._threads.submit(self._run, work, item) for item in items]
        try:
            return [one.result() for one in waiting]
        finally:
            for one in waiting:
                one.cancel()

    def _run(self, work: Callable[[Session, T], R], item: T) -> R:
        session = self._free.get()
        try:
            return work(session, item)
        finally:
            self._free.put(session)

    def close(self) -> None:
        """Waits for work in progress and lets go of the sessions."""
        self._threads.shutdown()
        for session in self._sessions:
            session.close()
