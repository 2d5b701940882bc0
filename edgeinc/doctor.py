"""What this device has: runtimes, devices, cores, memory, backbones."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from edgeinc.cache import cache_dir
from edgeinc.runtimes import RuntimeInfo, available
from edgeinc.runtimes.base import physical_cores
from edgeinc.version import __version__
from edgeinc.weights import is_installed, list_cards

__all__ = ["Examination", "examine"]

# Distribution names under which the packages travel, the first that is installed counts.
PACKAGES = {
    "numpy": ("numpy",),
    "opencv": (
        "opencv-python-headless",
        "opencv-python",
        "opencv-contrib-python-headless",
        "opencv-contrib-python",
    ),
    "h5py": ("h5py",),
    "onnx": ("onnx",),
    "matplotlib": ("matplotlib",),
}
EXTRAS = {"h5py": "hdf5", "onnx": "onnx", "matplotlib": "plot"}


@dataclass(frozen=True, slots=True)
class Examination:
    """What `examine` found.

    Attributes:
        edgeinc: Its version.
        python: Version of Python.
        machine: Processor architecture, system and release.
        cores: Physical cores.
        memory: Memory of the machine, bytes; None where the system does not tell.
        runtimes: The runtimes that are installed.
        packages: Version of each package that counts; None where it is missing.
        models: Name of each card, and whether its weights are installed.
        cache: The folder where fetched weights lie.
        advice: One line for each thing that is missing, with the command that brings it.
    """

    edgeinc: str
    python: str
    machine: str
    cores: int
    memory: int | None
    runtimes: tuple[RuntimeInfo, ...]
    packages: dict[str, str | None]
    models: dict[str, bool]
    cache: str
    advice: tuple[str, ...]


def examine() -> Examination:
    """Looks at this device; changes nothing."""
    runtimes = available()
    packages = {name: _version(names) for name, names in PACKAGES.items()}
    models = {card.name: is_installed(card) for card in list_cards()}
    advice = [
        f"{name} is missing; install it with: pip install 'edgeinc[{EXTRAS[name]}]'"
        for name in EXTRAS
        if packages[name] is None
    ]
    if "litert" not in {runtime.name for runtime in runtimes}:
        advice.insert(0, "LiteRT is missing; install it with: pip install 'edgeinc[litert]'")
    return Examination(
        edgeinc=__version__,
        python=platform.python_version(),
        machine=f"{platform.machine()}, {platform.system()} {platform.release()}",
        cores=physical_cores(),
        memory=_memory(),
        runtimes=runtimes,
        packages=packages,
        models=models,
        cache=str(cache_dir()),
        advice=tuple(advice),
    )


def _version(names: tuple[str, ...]) -> str | None:
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
