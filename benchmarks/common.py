"""What every benchmark shares: figures, pairwise timing, pictures, the machine's name."""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinc.backbone import Backbone
from edgeinc.errors import InputError, RuntimeUnavailableError
from edgeinc.features import Background, to_features
from edgeinc.images import Picture, View, labelled_images
from edgeinc.weights import find_card, load_background

__all__ = [
    "V1",
    "V2",
    "Figure",
    "Pictures",
    "embed",
    "flowers",
    "machine",
    "paired",
    "shared",
    "unpacked",
]

V1 = "mobilenet_v1_1.0_224_quant_embedding_extractor"
V2 = "tf2_mobilenet_v2_1.0_224_ptq"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Attributes:
        name: What was measured.
        value: The measurement, in words with its unit and spread.
        bound: What it must reach; empty where it is only reported.
        holds: Whether it does; None where there is no bound.
    """

    name: str
    value: str
    bound: str = ""
    holds: bool | None = None


def shared() -> Path:
    """The folder with pictures and public weights: `$EDGEINC_SHARED`, else `../shared`."""
    default = Path(__file__).resolve().parents[2] / "shared"
    return Path(os.environ.get("EDGEINC_SHARED", default))


@cache
def unpacked(archive: str) -> Path:
    """Unpacks an archive of `shared()/data` into a scratch folder, once a machine."""
    target = Path(tempfile.gettempdir()) / f"edgeinc-{os.getuid()}" / archive.partition(".")[0]
    if not target.is_dir():
        with _plain(shared() / "data" / archive) as path, tarfile.open(path) as tar:
            partial = Path(tempfile.mkdtemp(dir=_made(target.parent)))
            # Python before 3.10.12 and 3.11.4 has no filters.
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            tar.extractall(partial)
        partial.replace(target)
    inner = [p for p in target.iterdir() if p.is_dir()]
    return inner[0] if len(inner) == 1 else target


@contextmanager
def _plain(archive: Path) -> Iterator[Path]:
    """An archive that `tarfile` reads: itself, or what the program `zstd` makes of it.

    Raises:
        RuntimeUnavailableError: The program is not installed.
        InputError: It cannot read the archive.
    """
    if archive.suffix != ".zst":
        yield archive
        return
    program = shutil.which("zstd")
    if program is None:
        raise RuntimeUnavailableError(
            f"{archive} needs the program zstd; install it (Debian: apt install zstd)."
        )
    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch) / archive.stem
        if subprocess.run([program, "-dq", "-o", plain, "--", archive]).returncode:
            raise InputError(f"{archive} cannot be unpacked; fetch it again.")
        yield plain


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@dataclass(frozen=True, slots=True)
class Pictures:
    """Flowers-17 through one backbone.

    Attributes:
        embeddings: (1360, d) integers as the backbone gives them.
        features: (1360, d) int16 fixed-point features.
        labels: (1360,) indices of the classes.
        names: Names of the classes.
        first: (1360,) bool, the first 20 of each class in order of file names.
        background: The card's, where it has one: what an engine gives its heads.
    """

    embeddings: NDArray[Any]
    features: NDArray[np.int16]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    first: NDArray[np.bool_]
    background: Background | None

    def draw(self, shots: int, seed: int) -> NDArray[np.bool_]:
        """Marks `shots` random pictures of each class for enrolment; the rest is the test."""
        rng = np.random.default_rng(seed)
        chosen = np.zeros(len(self.labels), dtype=bool)
        for c in range(len(self.names)):
            chosen[rng.permutation(np.flatnonzero(self.labels == c))[:shots]] = True
        return chosen


def embed(
    backbone: str,
    pictures: Iterable[Picture],
    runtime: str | None = None,
    views: tuple[View, ...] = (),
) -> tuple[NDArray[Any], NDArray[np.int16]]:
    """Embeddings and features of pictures, (n, d) each, in a runtime or in the card's first."""
    with Backbone.open(find_card(backbone), runtime=runtime) as body:
        body.views = views
        rows = np.concatenate([body.embed([picture]) for picture in pictures])
        return rows, to_features(rows, nonnegative=body.card.nonnegative)


@cache
def flowers(backbone: str, runtime: str | None = None, views: tuple[View, ...] = ()) -> Pictures:
    """Embeds Flowers-17 once a process, in a runtime or in the card's first."""
    files = labelled_images(unpacked("flowers17.tar")).pictures
    names = tuple(sorted({label for label, _ in files}))
    embeddings, features = embed(backbone, (path for _, path in files), runtime, views)
    labels = np.array([names.index(label) for label, _ in files])
    first = np.zeros(len(files), dtype=bool)
    for c in range(len(names)):
        first[np.flatnonzero(labels == c)[:20]] = True
    background = load_background(find_card(backbone))
    return Pictures(embeddings, features, labels, names, first, background)


def paired(
    ours: Callable[[], object], rival: Callable[[], object], *, rounds: int, warmup: int = 3
) -> tuple[float, float, float]:
    """Times two calls in turn, so that a drift of the machine's speed meets both.

    Returns:
        Median of ours and of the rival in seconds, and the median of their ratios.
    """
    for _ in range(warmup):
        ours()
        rival()
    times = []
    for i in range(rounds):
        # The order alternates: the first of a pair finds the caches as the second left them.
        pair = (ours, rival) if i % 2 == 0 else (rival, ours)
        spent = {}
        for call in pair:
            start = time.perf_counter()
            call()
            spent[call] = time.perf_counter() - start
        times.append((spent[ours], spent[rival]))
    return (
        statistics.median(a for a, _ in times),
        statistics.median(b for _, b in times),
        statistics.median(a / b for a, b in times),
    )


def machine() -> str:
    """The machine in words: processor, cores, system, Python."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith(("model name", "Model")):
                model = line.partition(":")[2].strip()
                break
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    )
