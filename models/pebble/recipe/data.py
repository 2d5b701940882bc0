"""Pictures of any folder of folders -> one array of small squares, and their labels.

`FOLDER/label/**/picture` gives the labels; pictures lying directly in FOLDER have none and still
teach (only the teachers' view of them is imitated). A `val` folder beside `train` is left alone.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from files import reserve, write_array, write_json
from numpy.typing import NDArray
from settings import RecipeError, Settings

from edgeinc.errors import ImageError
from edgeinc.images import read_image

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
UNLABELLED = -1
MOST_CLASSES = int(np.iinfo(np.int16).max)
log = logging.getLogger("pebble.data")


@dataclass(frozen=True, slots=True)
class Pictures:
    """`pixels` (n, s, s, 3) uint8 RGB, `labels` (n,) int16 (-1: none), `names` of the labels.

    `digest` is the sha256 of the pixels, "" where an older recipe did not write it down.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int16]
    names: tuple[str, ...]
    digest: str = ""


def prepare(settings: Settings) -> Pictures:
    """Read, crop and shrink all pictures once; later calls open what is there.

    Raises `RecipeError` for a missing folder or too few readable pictures.
    """
    folder = settings.work / "data"
    if not (folder / "done.json").exists():
        _read_all(settings, folder)
    done = json.loads((folder / "done.json").read_text("utf-8"))
    if done["pictures"] != str(settings.pictures) or done["size"] != settings.stored_size:
        raise RecipeError(
            f"{folder} was made from {done['pictures']} at {done['size']} pixels; choose another"
            " --work folder or remove it."
        )
    pixels = np.load(folder / "pixels.npy", mmap_mode="r")[: done["n"]]
    labels = np.load(folder / "labels.npy")
    return Pictures(pixels, labels, tuple(done["names"]), done.get("digest", ""))


def held_out(settings: Settings, names: tuple[str, ...]) -> NDArray[np.int16]:
    """The labels that stages with `hold_out` leave out: a fixed draw, at most a fifth of all."""
    order = np.random.default_rng(20).permutation(len(names))
    count = min(settings.held_out_classes, len(names) // 5)
    return np.sort(order[:count]).astype(np.int16)


def link_others(settings: Settings, scratch: Path) -> Path:
    """`scratch`, with links to the pictures but for those of the classes that are held out."""
    root = taught(settings.pictures)
    names = tuple(sorted({label for label, _ in list_pictures(settings.pictures)} - {""}))
    left_out = {names[i] for i in held_out(settings, names)}
    for path in sorted(root.iterdir()):
        if path.name not in left_out:
            (scratch / path.name).symlink_to(path.resolve())
    return scratch


def square(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Centre square of an (H, W, 3) picture, resized to `size`."""
    import cv2

    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    crop = image[top : top + side, left : left + side]
    if side == size:
        return np.ascontiguousarray(crop)
    how = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(crop, (size, size), interpolation=how), np.uint8)


def read_rgb(path: Path) -> NDArray[np.uint8] | None:
    """An RGB picture, or None where the file is none, or only a part of one."""
    try:
        return read_image(path)[:, :, ::-1]
    except ImageError:
        return None


def taught(folder: Path) -> Path:
    """The pictures to learn from: those in `train`, where there is such a folder."""
    return folder / "train" if (folder / "train").is_dir() else folder


def list_pictures(folder: Path) -> list[tuple[str, Path]]:
    """(label, path) of every picture of `taught(folder)`, sorted; label "" directly inside it."""
    root = taught(folder)
    found = [p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()]
    pairs = [(p.relative_to(root).parts[0] if p.parent != root else "", p) for p in found]
    return sorted(pairs)


def _read_all(settings: Settings, folder: Path) -> None:
    if not settings.pictures.is_dir():
        raise RecipeError(f"{settings.pictures} is no folder; give one with --pictures FOLDER.")
    pairs = list_pictures(settings.pictures)
    _enough(len(pairs), settings)
    if (classes := len({label for label, _ in pairs})) > MOST_CLASSES:
        raise RecipeError(
            f"{settings.pictures} has {classes} classes, more than {MOST_CLASSES}; put pictures of"
            " rare ones directly into it, they teach without a label."
        )
    size = settings.stored_size
    pixels = reserve(folder / "pixels.npy", (len(pairs), size, size, 3))
    kept: list[str] = []
    bad: list[str] = []
    for label, path in pairs:
        image = read_rgb(path)
        if image is None:
            bad.append(str(path))
            continue
        pixels[len(kept)] = square(image, size)
        kept.append(label)
    if bad:
        log.warning("%d pictures cannot be read and are left out, first: %s", len(bad), bad[0])
    _enough(len(kept), settings)
    pixels.flush()
    labels, names = _number(kept)
    write_array(folder / "labels.npy", labels)
    write_json(folder / "unreadable.json", bad)
    done = {
        "pictures": str(settings.pictures),
        "size": size,
        "n": len(kept),
        "names": names,
        "digest": hashlib.sha256(pixels[: len(kept)].data).hexdigest(),
    }
    write_json(folder / "done.json", done)
    log.info("%d pictures in %d classes", len(kept), len(names))


def _number(kept: list[str]) -> tuple[NDArray[np.int16], list[str]]:
    """Label numbers; a class of one picture teaches without its label, which would mislead."""
    values, counts = np.unique(np.array(kept), return_counts=True)
    names = [str(v) for v, n in zip(values, counts, strict=True) if n > 1 and v != ""]
    single = [str(v) for v, n in zip(values, counts, strict=True) if n == 1 and v != ""]
    if single:
        log.warning("%d classes have one picture; their labels are not used", len(single))
    index = {name: i for i, name in enumerate(names)}
    return np.array([index.get(name, UNLABELLED) for name in kept], np.int16), names


def _enough(n: int, settings: Settings) -> None:
    if n < settings.least_pictures:
        raise RecipeError(
            f"{settings.pictures} has {n} readable pictures, fewer than {settings.least_pictures};"
            " add pictures (tens of thousands are good) or lower least_pictures."
        )
