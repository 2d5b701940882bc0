"""Work in processes of its own, many at once; one that is killed ends all with a sentence."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from files import deaf
from settings import RecipeError

T = TypeVar("T")
R = TypeVar("R")


def each(
    work: Callable[[T], R], tasks: Iterable[T], workers: int, *, fresh: bool = False
) -> Iterator[R]:
    """What `work` makes of the tasks, as they are done; an error of one ends them all.

    Args:
        work: A function of a module.
        tasks: What it is called with.
        workers: Processes at once.
        fresh: A new process for every task.

    Raises:
        RecipeError: A process was killed.
    """
    before = set(multiprocessing.active_children())
    waiting = iter(tasks)
    # One executor a process, so that each can be replaced.
    idle = [_executor() for _ in range(workers)]
    busy: dict[Future[R], ProcessPoolExecutor] = {}
    done = False
    try:
        while True:
            while idle:
                try:
                    task = next(waiting)
                except StopIteration:
                    break
                executor = idle.pop()
                with deaf():
                    busy[executor.submit(work, task)] = executor
            if not busy:
                break
            for future in wait(busy, return_when=FIRST_COMPLETED).done:
                executor = busy.pop(future)
                idle.append(_renewed(executor) if fresh else executor)
                yield future.result()
        done = True
    except BrokenProcessPool as exc:
        raise RecipeError(
            "A worker was killed, maybe because memory ran out; choose fewer `workers`, or end"
            " other programs, and run the step again: what is done is kept."
        ) from exc
    finally:
        if not done:
            for child in set(multiprocessing.active_children()) - before:
                child.terminate()
        for executor in (*idle, *busy.values()):
            executor.shutdown(cancel_futures=True)


def _executor() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _end_with_main)


def _renewed(executor: ProcessPoolExecutor) -> ProcessPoolExecutor:
    executor.shutdown()
    return _executor()


def _end_with_main() -> None:
    """End this worker when the main process is killed: an executor's own would wait for ever."""
    threading.Thread(target=_wait_and_end, daemon=True).start()


def _wait_and_end() -> None:
    main = multiprocessing.parent_process()
    if main is not None:
        main.join()
        os._exit(1)
