"""A session of a package that others wrote: whatever it raises becomes an error of ours."""

from __future__ import annotations

import numpy as np

from edgeinc.devices import Placement
from edgeinc.errors import EdgeincError, InferenceError
from edgeinc.runtimes.base import Array, Session, TensorSpec
from edgeinc.runtimes.helpers import first_line, warn_caller

__all__ = ["FAULTS", "GuardedSession", "failure"]

FAULTS = Exception
"""What others' code may raise: anything, since vendors' packages have error classes of their own.
An interruption, or the end of the process, is not among it."""


def failure(name: str, exc: Exception) -> str:
    """A sentence about what a runtime has raised.

    Args:
        name: Of the runtime.
        exc: What it raised; an error of ours is a sentence already.
    """
    if isinstance(exc, EdgeincError):
        return str(exc)
    if isinstance(exc, MemoryError):
        return f"The runtime {name!r} ran out of memory; free some, or choose a smaller network."
    said = f"{type(exc).__name__}: {first_line(exc)}"
    return f"The runtime {name!r} failed ({said}); update its package."


class GuardedSession(Session):
    """Another package's session, held to what a session promises."""

    def __init__(self, name: str, session: Session) -> None:
        """Takes over a session.

        Args:
            name: Of the runtime.
            session: What the runtime has opened.

        Raises:
            TypeError: It is no session, or lacks what all sessions have.
        """
        if not isinstance(session, Session):
            raise TypeError("it opened no edgeinc.runtimes.Session")
        has = {"placement": Placement, "input": TensorSpec, "output": TensorSpec}
        for key, kind in has.items():
            if not isinstance(getattr(session, key, None), kind):
                raise TypeError(f"its session has no {key}")
        super().__init__(name, session.placement, session.input, session.output)
        self._session = session

    def _run(self, array: Array) -> Array:
        try:
            found = self._session.run(array)
        except EdgeincError:
            raise
        except FAULTS as exc:
            raise InferenceError(failure(self.runtime, exc)) from exc
        wanted = self.output
        if not isinstance(found, np.ndarray):
            what = "no array"
        elif (found.shape, found.dtype) == (wanted.shape, np.dtype(wanted.dtype)):
            return found
        else:
            what = f"{found.dtype} of shape {found.shape}"
        raise InferenceError(
            f"The runtime {self.runtime!r} gave {what}, not {wanted.dtype} of shape "
            f"{wanted.shape}; update its package."
        )

    def _release(self) -> None:
        try:
            self._session.close()
        except FAULTS as exc:
            # What was predicted stands; only its memory may not be free yet.
            warn_caller(failure(self.runtime, exc))
