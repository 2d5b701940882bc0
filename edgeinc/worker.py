"""A thread for what may be done later."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ["Worker"]

_P = ParamSpec("_P")


class Worker:
    """One thread, begun when there is something for it to do. Threads may share one."""

    def __init__(self, name: str) -> None:
        """Takes the name of the thread; none is begun yet."""
        self._name = name
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._closed = False

    def submit(
        self, work: Callable[_P, object], *args: _P.args, **kwargs: _P.kwargs
    ) -> Future[object] | None:
        """Runs this after what was given before.

        Returns:
            What becomes of it; None where there is no thread for it: after `close`, and when the
            interpreter is about to end.
        """
        with self._lock:
            if self._closed:
                return None
            try:
                from concurrent.futures import ThreadPoolExecutor

                if self._pool is None:
                    self._pool = ThreadPoolExecutor(1, thread_name_prefix=self._name)
                return self._pool.submit(work, *args, **kwargs)
            except RuntimeError:
                # Pools end with the main thread, while other threads may still predict.
                return None

    def close(self) -> None:
        """Takes nothing more, and waits until what was given is done."""
        with self._lock:
            self._closed = True
        if self._pool is not None:
            self._pool.shutdown(wait=True)
