"""Devices that do not run a network, run only a part of it, or fail: what is said, and to whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from edgeinc.devices import Device, Placement, is_cpu
from edgeinc.errors import (
    DeviceError,
    DeviceNotFoundError,
    DeviceRefusedError,
    InferenceError,
)
from edgeinc.runtimes.helpers import some, warn_caller

__all__ = [
    "failed_running",
    "first_that_takes",
    "left_some",
    "none_of",
    "took_nothing",
    "warn_of_rest",
]

T = TypeVar("T")


def first_that_takes(
    asked: Device,
    candidates: Sequence[Device],
    take: Callable[[Device], tuple[T, Placement]],
    missing: str,
) -> tuple[T, Placement]:
    """Open a network on the first of several devices that takes it.

    Args:
        asked: The word that stands for them, for the placement.
        candidates: The devices that are here, in the order of trying.
        take: Opens it on one.
        missing: What to say where there are none.

    Raises:
        DeviceError: None is here, or none takes it, with the reason of each.
    """
    problems: list[DeviceError] = []
    for device in candidates:
        try:
            opened, placement = take(device)
        except DeviceError as exc:
            problems.append(exc)
        else:
            return opened, placement._replace(asked=asked.text)
    raise none_of(problems) if problems else DeviceNotFoundError(missing)


def took_nothing(device: str, left: Sequence[str], said: str, advice: str) -> DeviceRefusedError:
    """Return the error for a device that runs no operator of a network.

    Args:
        device: In words.
        left: All operators of the network; none where the runtime does not tell.
        said: The runtime's own words; empty where it has none.
        advice: What to do.
    """
    why = f" ({said})" if said else ""
    return DeviceRefusedError(f"{device} took no part of the network{why}; {advice}.", left)


def left_some(device: str, left: Sequence[str], said: str) -> DeviceRefusedError:
    """Return the error for a device that leaves operators to the CPU where it must run all.

    Args:
        device: In words.
        left: The operators; none where the runtime does not tell.
        said: The runtime's own words, for where it does not tell.
    """
    which = some(left) if left else f"some of it ({said})"
    return DeviceRefusedError(
        f"{device} does not run all of the network: the CPU would run {which}; use another "
        "network, or leave strict out.",
        left,
    )


def none_of(problems: Sequence[DeviceError]) -> DeviceError:
    """Return one error for devices of which none runs the network; at least one is given.

    Where one of them is here and refused the network, that is what is wrong; else it is of the
    first one's kind.
    """
    words = " ".join(dict.fromkeys(map(str, problems)))
    for problem in problems:
        if isinstance(problem, DeviceRefusedError):
            return DeviceRefusedError(words, problem.operators)
    return type(problems[0])(words)


def failed_running(runtime: str, device: str, said: str) -> InferenceError:
    """Return the error for a session that fails on a picture.

    Args:
        runtime: In words.
        device: What runs the network.
        said: The runtime's own words; empty where it has none.
    """
    why = f" ({said})" if said else ""
    if is_cpu(device):
        return InferenceError(f"{runtime} failed while it ran{why}; verify the model's file.")
    return InferenceError(
        f"{runtime} failed while it ran on {device}{why}; check that its chip works, or ask for "
        "the device cpu."
    )


def warn_of_rest(placement: Placement) -> None:
    """Give one `RuntimeWarning` where the CPU runs a part of what a device was asked for."""
    if placement.left:
        warn_caller(f"{placement.words}; the CPU runs {some(placement.left)}.")
