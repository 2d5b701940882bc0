"""Runtimes beyond the two for `.tflite` and `.onnx`: vendors', and other packages'.

Another package offers one by an entry point of the group `edgeinc.runtimes`. What is written
by others may fail in any way when it is imported; here that becomes an error of ours that
names the package.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from edgeinc.devices import WORDS, Device, brief
from edgeinc.errors import (
    EdgeincError,
    InputError,
    ModelFormatError,
    RuntimeUnavailableError,
    TensorNotFoundError,
)
from edgeinc.runtimes.base import RuntimeInfo, Session, TensorSpec
from edgeinc.runtimes.contract import Runtime
from edgeinc.runtimes.guarded import FAULTS, GuardedSession, failure
from edgeinc.runtimes.helpers import first_line, near

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["GROUP", "OWN", "find", "installed", "is_name", "names", "open_offered", "survey"]

GROUP = "edgeinc.runtimes"
OWN = {"hailo": ("hailo", "Hailo"), "rknn": ("rockchip", "Rockchip")}
"""Module beside this one and class of each vendor's runtime that comes with edgeinc."""

_KINDS = ((), ("npu",), ("gpu",), ("npu", "gpu"))
_TAKEN = {*OWN, *WORDS, "litert", "onnx", "function"}
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


def is_name(text: str) -> bool:
    """Whether a text may be a runtime's name.

    >>> is_name("hailo"), is_name("libvx_delegate.so")
    (True, False)
    """
    return _NAME.fullmatch(text) is not None


def names() -> tuple[str, ...]:
    """The names of all, whether what they need is installed or not."""
    theirs = {point.name for point in _points() if point.name not in _TAKEN}
    return (*OWN, *sorted(theirs))


def find(name: str) -> Runtime:
    """The runtime of a name.

    Raises:
        RuntimeUnavailableError: Nothing here offers it, two packages do, or the one that
            does is broken.
    """
    if name in OWN:
        module, made = OWN[name]
        runtime: Runtime = getattr(importlib.import_module(f"edgeinc.runtimes.{module}"), made)()
        return runtime
    points = [point for point in _points() if point.name == name]
    if not points:
        close = near(name, ["litert", "onnx", *names()], 1)
        hint = f"did you mean {close[0]}?" if close else "install the package that brings it."
        raise RuntimeUnavailableError(
            f"No package here offers the runtime {name!r} (entry point group {GROUP}); {hint}"
        )
    if len(points) > 1:
        both = " and ".join(sorted(_maker(point) for point in points))
        raise RuntimeUnavailableError(
            f"The runtime {name!r} is offered by {both}; uninstall all but one."
        )
    return _load(points[0])


def installed() -> tuple[str, ...]:
    """The names of those whose package is here; a broken one is not."""
    here = []
    for name in names():
        with suppress(FAULTS):
            if find(name).installed():
                here.append(name)
    return tuple(here)


def survey() -> tuple[tuple[RuntimeInfo, ...], tuple[str, ...]]:
    """Looks at all of them, which loads what is installed.

    Returns:
        Those that are installed and load; and a sentence for each entry point that is broken
        or passed over, and each runtime that is installed and does not load.
    """
    infos, problems = [], []
    for point in _points():
        if point.name in _TAKEN:
            problems.append(
                f"The package {_maker(point)} offers a runtime {point.name!r}, a name that "
                "edgeinc has itself; it is passed over."
            )
    for name in names():
        try:
            runtime = find(name)
            if runtime.installed():
                infos.append(_info(runtime))
        except FAULTS as exc:
            problems.append(failure(name, exc))
    return tuple(infos), tuple(problems)


def _info(runtime: Runtime) -> RuntimeInfo:
    info = runtime.info()
    if not isinstance(info, RuntimeInfo):
        raise TypeError(f"its info is {brief(info)}, no edgeinc.runtimes.RuntimeInfo")
    return info


def open_offered(
    name: str,
    content: bytes,
    ends: tuple[TensorSpec, TensorSpec] | None,
    *,
    device: Device,
    output: str | None,
    threads: int | None,
    strict: bool,
) -> Session:
    """Opens a network in the runtime of a name; see `contract.Runtime.open`.

    Args:
        name: Of the runtime.
        content: The network's file.
        ends: Its input and its output, as the card describes them.
        device: By any name, with options of the runtime's.
        output: The tensor to end at; None for the one that it ends at.
        threads: Of the CPU; None for the physical cores.
        strict: The device must run all of it.

    Raises:
        InputError: There are no `ends`.
        TensorNotFoundError: Its file ends at another tensor, and cannot be cut.
        ModelFormatError: The package fails in a way that it must not.
    """
    runtime = find(name)
    if ends is None:
        raise InputError(f"A network for {name!r} does not tell its ends; give `ends`.")
    if output not in (None, ends[1].name):
        raise TensorNotFoundError(
            f"A network for the runtime {name!r} cannot be cut: it ends at {ends[1].name!r}, not "
            f"at {output!r}; take a .tflite or .onnx file for that."
        )
    # However a caller or a card calls its device, to the runtime it has the runtime's name.
    wanted = device if device.name == "cpu" else Device(name, device.options)
    try:
        if not runtime.installed():
            raise RuntimeUnavailableError(
                f"The runtime {name!r} is not installed; {runtime.install}."
            )
        session = runtime.open(
            content, input=ends[0], output=ends[1], device=wanted, threads=threads, strict=strict
        )
        return session if name in OWN else GuardedSession(name, session)
    except EdgeincError:
        raise
    except FAULTS as exc:
        raise ModelFormatError(failure(name, exc)) from exc


def _points() -> Iterator[EntryPoint]:
    # Here, because it takes longer to import than a network to open.
    from importlib.metadata import entry_points

    yield from entry_points(group=GROUP)


def _maker(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value


def _load(point: EntryPoint) -> Runtime:
    """The runtime of an entry point.

    Raises:
        RuntimeUnavailableError: It does not load, or is not what the contract wants.
    """
    who = f"The runtime {point.name!r} of the package {_maker(point)}"
    try:
        made = point.load()
        wrong = _wrong(made, point.name)
        if not wrong:
            runtime: Runtime = made()
            return runtime
    except FAULTS as exc:
        raise RuntimeUnavailableError(
            f"{who} does not load ({type(exc).__name__}: {first_line(exc)}); update it, or "
            "uninstall it."
        ) from exc
    raise RuntimeUnavailableError(f"{who} {wrong}; update it, or uninstall it.")


def _wrong(made: Any, name: str) -> str:
    """What keeps an object from being a runtime of a name; empty where nothing does."""
    if not isinstance(made, type) or not issubclass(made, Runtime):
        return f"is {brief(made)}, no subclass of edgeinc.runtimes.Runtime"
    said = {key: getattr(made, key, None) for key in ("name", "suffix", "install", "kinds")}
    if said["name"] != name or not is_name(name):
        return f"calls itself {said['name']!r}, and a name is lower-case letters and digits"
    if not isinstance(said["suffix"], str) or not re.fullmatch(r"\.[A-Za-z0-9.]+", said["suffix"]):
        return f"reads files of suffix {said['suffix']!r}, which is no suffix such as '.net'"
    if not isinstance(said["install"], str) or said["kinds"] not in _KINDS:
        return "does not say how it is installed, or is of kinds other than npu and gpu"
    return ""
