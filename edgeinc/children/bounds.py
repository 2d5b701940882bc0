"""What a process may use, and how it is held to that."""

from __future__ import annotations

import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ANSWER", "REQUEST", "Bounds", "restrain"]

REQUEST, ANSWER = "request.json", "answer.json"
"""By these files a process and the one that asks it talk."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a process may use.

    The time holds everywhere, the others where the system has such limits: on Linux, and on
    macOS as far as it keeps to them; on Windows not at all. None is no limit.

    Attributes:
        seconds: Of the clock.
        cpu_seconds: Of all cores together.
        memory: Bytes that it may allocate.
        written: Bytes of a file that it may write.
        room: Bytes that must be free on the disk before it begins, beside a MiB for itself.
    """

    seconds: float
    cpu_seconds: int | None = None
    memory: int | None = None
    written: int | None = None
    room: int = 0


def restrain(bounds: Bounds) -> None:
    """Limits this process, as far as the system can; its parent's clock holds in any case."""
    try:
        import resource
    except ImportError:
        return
    # Should the parent be gone, nobody else would end it.
    signal.alarm(int(bounds.seconds) + 2)
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: bounds.cpu_seconds,
        resource.RLIMIT_FSIZE: bounds.written,
        resource.RLIMIT_DATA: bounds.memory,
    }
    for kind, wanted in limits.items():
        if wanted is None:
            continue
        hard = resource.getrlimit(kind)[1]
        least = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        # macOS refuses some; those that it takes still hold.
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (least, hard))
    # Where memory runs out for all, this process is the one to end. Only Linux has it.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
