"""The picture files of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from edgeinc.errors import ImageError

__all__ = [
    "LabelledPictures",
    "Pictures",
    "is_image_path",
    "labelled_images",
    "list_images",
]

SUFFIXES = frozenset(
    {".bmp", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)


def is_image_path(path: str | Path) -> bool:
    """Tells by its name whether a file is a picture; hidden files are none.

    >>> is_image_path("a/B.JPG"), is_image_path("a/.b.jpg"), is_image_path("a/b.txt")
    (True, False, False)
    """
    path = Path(path)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


class Pictures(NamedTuple):
    """The pictures below a folder, and a sentence for each thing that was passed over."""

    pictures: list[Path]
    passed_over: list[str]


class LabelledPictures(NamedTuple):
    """Label and path of each picture, and a sentence for each thing that was passed over."""

    pictures: list[tuple[str, Path]]
    passed_over: list[str]


def list_images(folder: str | Path) -> Pictures:
    """Lists the picture files in a folder and all folders below it, sorted.

    Symbolic links are followed, each real folder once, so that a link to a folder above
    does not go round for ever. Pictures are told by their names; a file that is none after
    all is found out when it is read. Passed over are other files and folders that cannot be
    listed; hidden files and folders are so without a word.

    Raises:
        ImageError: It is no folder, cannot be listed, or there is no picture in it.
    """
    found = _walk(_named(folder))
    if not found.pictures:
        raise ImageError(
            f"{folder} holds no picture; give a folder of pictures.{_example(found.passed_over)}"
        )
    return found


def labelled_images(folder: str | Path) -> LabelledPictures:
    """Lists the pictures of a folder that holds one folder a label.

    Args:
        folder: Holds one folder a label, which may hold folders again; see `list_images`.
            Files that lie in it directly have no label and are passed over.

    Returns:
        Label (the folder's name) and path, sorted by label, then path.

    Raises:
        ImageError: It is no folder, cannot be listed, or there is no picture in a folder
            below it.
    """
    pictures, passed_over = [], []
    for child in _children(_named(folder))[0]:
        if not _is_folder(child):
            passed_over.append(
                f"{child} lies in no label folder; move it into one."
                if is_image_path(child)
                else _no_picture(child)
            )
            continue
        try:
            found = _walk(child)
        except ImageError as exc:
            passed_over.append(str(exc))
        else:
            pictures += [(child.name, path) for path in found.pictures]
            passed_over += found.passed_over
    if not pictures:
        raise ImageError(
            f"{folder} holds no picture with a label; give a folder of label folders."
            f"{_example(passed_over)}"
        )
    return LabelledPictures(pictures, passed_over)


def _named(folder: str | Path) -> Path:
    """The folder; to `Path` an empty name, of a variable that was not set, is the working one."""
    if folder == "":
        raise ImageError("The folder's name is empty; give one ('.' is the working folder).")
    return Path(folder)


def _walk(top: Path) -> Pictures:
    """Pictures and what was passed over, both sorted.

    Raises:
        ImageError: `top` itself cannot be listed.
    """
    pictures, passed_over = [], []
    seen: set[tuple[int, int]] = set()
    waiting = [top]
    while waiting:
        here = waiting.pop()
        try:
            children, key = _children(here)
        except ImageError as exc:
            if here is top:
                raise
            passed_over.append(str(exc))
            continue
        if key in seen:
            continue
        seen.add(key)
        folders = [child for child in children if _is_folder(child)]
        # The last is taken first, so turned round the first of two ways to a folder counts.
        waiting += reversed(folders)
        files = [child for child in children if child not in folders]
        pictures += [file for file in files if is_image_path(file)]
        passed_over += [_no_picture(file) for file in files if not is_image_path(file)]
    return Pictures(sorted(pictures), sorted(passed_over))


def _no_picture(path: Path) -> str:
    return f"{path} has not the name of a picture (.jpg, .png, ...); convert or rename it."


def _example(passed_over: Sequence[str]) -> str:
    """Why there may be no picture: what was passed over first, and how many more."""
    if not passed_over:
        return ""
    more = f" (1 of {len(passed_over)})" if len(passed_over) > 1 else ""
    return f" Passed over{more}: {passed_over[0]}"


def _children(folder: Path) -> tuple[list[Path], tuple[int, int]]:
    """What lies in a folder and is not hidden, sorted; and what tells the folder itself."""
    try:
        status = folder.stat()
        children = sorted(c for c in folder.iterdir() if not c.name.startswith("."))
    except FileNotFoundError as exc:
        raise ImageError(f"{folder} does not exist; check the path.") from exc
    except NotADirectoryError as exc:
        raise ImageError(f"{folder} is no folder; give a folder of pictures.") from exc
    except OSError as exc:
        raise ImageError(f"{folder} cannot be listed ({exc.strerror}); check it.") from exc
    return children, (status.st_dev, status.st_ino)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        # What may not be looked at is left to the reading, which says so.
        return False
