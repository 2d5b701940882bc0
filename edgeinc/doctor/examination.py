"""Looking at a device and at a store; nothing is changed."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from edgeinc.backbone import Backbone
from edgeinc.cache import cache_dir
from edgeinc.devices import AskedDevice, Device, Placement
from edgeinc.doctor.uses import Use, uses
from edgeinc.errors import EdgeincError, StoreError
from edgeinc.machine import Camera, Processor, cameras, energy, memory, processor
from edgeinc.runtimes import RuntimeInfo, survey
from edgeinc.runtimes.base import physical_cores
from edgeinc.runtimes.helpers import check_settings
from edgeinc.runtimes.meant import is_nothing, no_such
from edgeinc.runtimes.plain_runtimes import PLAIN
from edgeinc.version import __version__
from edgeinc.weights import is_installed, list_cards

if TYPE_CHECKING:
    from edgeinc.cards import ModelCard
    from edgeinc.store.repair.examination import Condition

__all__ = ["UNKNOWN", "Examination", "examine"]

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
# What to install where a package is missing: an extra of edgeinc, or a package.
WANTED = {
    "opencv": "opencv-python-headless",
    "h5py": "[hdf5]",
    "onnx": "[onnx]",
    "matplotlib": "[plot]",
}


@dataclass(frozen=True, slots=True)
class Examination:
    """What `examine` found.

    Attributes:
        edgeinc: Its version.
        python: Version of Python.
        machine: Processor architecture, system and release.
        processor: Its name, and what of it int8 networks profit from.
        cores: Physical cores.
        memory: Memory of the machine, bytes; None where the system does not tell.
        free: How much of it programs may have now, bytes.
        energy: Why energy cannot be measured; empty where it can.
        cameras: The cameras.
        runtimes: The runtimes that are installed.
        packages: Version of each package that counts; None where it is missing, `of unknown
            version` where it was installed by other means than Python's.
        models: Name of each card that is listed, and of the one to open, and whether its weights
            are installed.
        uses: For each installed card, what its files can use here.
        backbone: The card's name whose network was to be opened; None where there was none.
        placement: The device asked for, what runs that network, and how much of it; None where
            it does not open, or there is no such device, which `advice` explains.
        cache: The folder where fetched weights lie.
        store: What was found about the store; None where there is none.
        advice: One line for each thing that is missing, with the command that brings it, and
            for each package that offers a runtime and is broken.
        install: One command that brings everything that is missing; None where nothing is.
    """

    edgeinc: str
    python: str
    machine: str
    processor: Processor
    cores: int
    memory: int | None
    free: int | None
    energy: str
    cameras: tuple[Camera, ...]
    runtimes: tuple[RuntimeInfo, ...]
    packages: dict[str, str | None]
    models: dict[str, bool]
    uses: dict[str, tuple[Use, ...]]
    backbone: str | None
    placement: Placement | None
    cache: str
    store: Condition | None
    advice: tuple[str, ...]
    install: str | None


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

    Raises:
        InputError: `device` is no device, or `strict` is neither True nor False.
    """
    wanted = Device.of(device)
    check_settings(None, strict=strict)
    runtimes, problems = survey()
    packages = {name: _version(*where) for name, where in PACKAGES.items()}
    cards = {one.name: one for one in list_cards()}
    if card is not None:
        # The one that is opened may be named by its path, also where another of its name is listed.
        cards[card.name] = card
    models = {name: is_installed(one) for name, one in cards.items()}
    here = {runtime.name for runtime in runtimes}
    missing = [(one.title, one.needs) for name, one in PLAIN.items() if name not in here]
    missing += [(name, what) for name, what in WANTED.items() if packages[name] is None]
    advice = [f"{name} is missing; install it with: {_command([what])}" for name, what in missing]
    advice += problems
    total, free = memory()
    placement = None
    if is_nothing(wanted):
        advice.append(str(no_such(wanted.name, "choose one that is listed here.")))
    elif card is not None:
        try:
            with Backbone.open(card, device=wanted, strict=strict) as backbone:
                placement = backbone.placement
        except EdgeincError as exc:
            advice.append(f"{card.name} does not run: {exc}")
    return Examination(
        edgeinc=__version__,
        python=platform.python_version(),
        machine=f"{platform.machine()}, {platform.system()} {platform.release()}",
        processor=processor(),
        cores=physical_cores(),
        memory=total,
        free=free,
        energy=energy().problem,
        cameras=cameras(),
        runtimes=runtimes,
        packages=packages,
        models=models,
        uses={name: uses(cards[name], runtimes) for name in cards if models[name]},
        backbone=None if card is None else card.name,
        placement=placement,
        cache=str(cache_dir()),
        store=None if store is None or not os.path.lexists(store) else _examine_store(store),
        advice=tuple(advice),
        install=_command([what for _, what in missing]) if missing else None,
    )


def _examine_store(store: str | Path) -> Condition:
    from edgeinc.store.repair.examination import Condition, examine_store

    try:
        known = [card.fingerprint for card in list_cards() if card.nonnegative]
        return examine_store(store, nonnegative=known)
    except StoreError as exc:
        return Condition(str(store), 0, 0, writable=False, faults=[str(exc)])


def _command(wanted: list[str]) -> str:
    """One command that installs extras of edgeinc (in brackets) and packages.

    >>> _command(["[onnx]", "onnxruntime", "[plot]"])
    "pip install 'edgeinc[onnx,plot]' onnxruntime"
    """
    extras = [what.strip("[]") for what in wanted if what.startswith("[")]
    ours = [f"'edgeinc[{','.join(extras)}]'"] if extras else []
    return " ".join(["pip install", *ours, *(w for w in wanted if not w.startswith("["))])


def _version(module: str, distributions: tuple[str, ...]) -> str | None:
    for name in distributions:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None if find_spec(module) is None else UNKNOWN
