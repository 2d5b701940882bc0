"""One thread for what may be done later: begun once, and never again after the end."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from edgeinc.worker import Worker

LATE = """
import threading
from edgeinc.worker import Worker

worker = Worker("late")
{before}

def go_on() -> None:
    threading.main_thread().join()
    print(worker.submit(print, "done"), flush=True)

threading.Thread(target=go_on).start()
"""


def test_threads_that_begin_at_once_share_one() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(50):
            worker = Worker("shared")
            barrier = threading.Barrier(4)
            ran: list[int] = []

            def begin(worker: Worker, barrier: threading.Barrier, ran: list[int]) -> None:
                barrier.wait()
                worker.submit(lambda: ran.append(threading.get_ident()))

            threads = [
                threading.Thread(target=begin, args=(worker, barrier, ran)) for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            worker.close()
            assert len(ran) == 4
            assert len(set(ran)) == 1
    finally:
        sys.setswitchinterval(interval)


def test_closing_waits_and_takes_nothing_more() -> None:
    worker = Worker("closed")
    done: list[int] = []
    for i in range(3):
        worker.submit(done.append, i)
    worker.close()
    assert done == [0, 1, 2]
    assert worker.submit(done.append, 3) is None
    worker.close()
    assert done == [0, 1, 2]


def test_one_that_never_began_can_be_closed() -> None:
    worker = Worker("idle")
    worker.close()
    assert worker.submit(int) is None


@pytest.mark.parametrize("before", ["", "worker.submit(int)"])
def test_it_takes_nothing_when_the_main_thread_is_gone(before: str) -> None:
    """A camera's thread may predict for longer; it must not meet an error of the pool's."""
    command = [sys.executable, "-c", LATE.format(before=before)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"
    assert done.stderr == ""
