"""What this device has: runtimes, devices, cores, memory, backbones; and is the store sound?"""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from edgeinc.backbone import Backbone
from edgeinc.cache import cache_dir
from edgeinc.devices import AskedDevice, Placement
from edgeinc.errors import EdgeincError, StoreError
from edgeinc.runtimes import RuntimeInfo, available
from edgeinc.runtimes.base import physical_cores
from edgeinc.version import __version__
from edgeinc.weights import is_installed, list_cards

if TYPE_CHECKING:
    from edgeinc.cards import ModelCard
    from edgeinc.store.repair.examination import Condition
    from edgeinc.store.repair.salvage import Salvage

__all__ = ["Examination", "examine", "repair", "tidy"]

UNKNOWN = "of unknown version"

# The module of each package, and the distributions that bring it; the first installed counts.
PACKAGES = {
    "numpy": ("numpy", ("numpy",)),
    "opencv": (
        "cv2",
        (
            "opencv-python-headless",
            "opencv-python",
            "opencv-contrib-python-headless",
            "opencv-contrib-python",
        ),
    ),
    "h5py": ("h5py", ("h5py",)),
    "onnx": ("onnx", ("onnx",)),
    "matplotlib": ("matplotlib", ("matplotlib",)),
}
# What to install where a runtime or a package is missing.
RUNTIMES = {"litert": ("LiteRT", "'edgeinc[litert]'"), "onnx": ("ONNX Runtime", "onnxruntime")}
WANTED = {
    "opencv": "opencv-python-headless",
    "h5py": "'edgeinc[hdf5]'",
    "onnx": "'edgeinc[onnx]'",
    "matplotlib": "'edgeinc[plot]'",
}


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
        packages: Version of each package that counts; None where it is missing, `of unknown
            version` where it was installed by other means than Python's.
        models: Name of each card, and whether its weights are installed.
        backbone: The card's name whose network was opened; None where there was none.
        placement: The device asked for, what runs that network, and how much of it; None where
            it does not open, which `advice` explains.
        cache: The folder where fetched weights lie.
        store: What was found about the store; None where there is none.
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
    backbone: str | None
    placement: Placement | None
    cache: str
    store: Condition | None
    advice: tuple[str, ...]


def examine(
    store: str | Path | None = None,
    card: ModelCard | None = None,
    *,
    device: AskedDevice = "auto",
    strict: bool = False,
) -> Examination:
    """Looks at this device and at a store, where there is one; changes nothing.

    Args:
        store: The store.
        card: A backbone to open, to see what runs it.
        device: As in `Engine.open`.
        strict: As in `Engine.open`.
    """
    runtimes = available()
    packages = {name: _version(*where) for name, where in PACKAGES.items()}
    models = {card.name: is_installed(card) for card in list_cards()}
    here = {runtime.name for runtime in runtimes}
    missing = [words for name, words in RUNTIMES.items() if name not in here]
    missing += [(name, what) for name, what in WANTED.items() if packages[name] is None]
    advice = [f"{name} is missing; install it with: pip install {what}" for name, what in missing]
    placement = None
    if card is not None:
        try:
            with Backbone.open(card, device=device, strict=strict) as backbone:
                placement = backbone.placement
        except EdgeincError as exc:
            advice.append(f"{card.name} does not run: {exc}")
    return Examination(
        edgeinc=__version__,
        python=platform.python_version(),
        machine=f"{platform.machine()}, {platform.system()} {platform.release()}",
        cores=physical_cores(),
        memory=_memory(),
        runtimes=runtimes,
        packages=packages,
        models=models,
        backbone=None if card is None else card.name,
        placement=placement,
        cache=str(cache_dir()),
        store=None if store is None or not os.path.lexists(store) else _examine_store(store),
        advice=tuple(advice),
    )


def repair(store: str | Path, new: str | Path, card: ModelCard | None = None) -> Salvage:
    """Saves what is sound of a damaged store into a new one; the damaged one is only read.

    Args:
        store: The damaged store.
        new: A file that does not exist.
        card: The backbone's, for a store that can no longer tell which one it is bound to.

    Raises:
        InputError: `new` exists.
        StoreError: There is nothing to be saved, or the new store cannot be written.
    """
    from edgeinc.store import Identity
    from edgeinc.store.repair.salvage import salvage

    bound = None if card is None else Identity(card.name, card.fingerprint, card.dim)
    return salvage(store, new, now=time.time(), given=bound)


def tidy(store: str | Path) -> int:
    """Deletes private copies of stores that killed processes left; see docs/store.md.

    Returns:
        How many.
    """
    from edgeinc.store.disk.leftovers import sweep

    return sweep(Path(store))


def _examine_store(store: str | Path) -> Condition:
    from edgeinc.store.repair.examination import Condition, examine_store

    try:
        known = [card.fingerprint for card in list_cards() if card.nonnegative]
        return examine_store(store, nonnegative=known)
    except StoreError as exc:
        return Condition(str(store), 0, 0, writable=False, faults=[str(exc)])


def _version(module: str, distributions: tuple[str, ...]) -> str | None:
    for name in distributions:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None if find_spec(module) is None else UNKNOWN


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
