"""The picture files of a folder."""

from __future__ import annotations

from pathlib import Path

from edgeinc.errors import ImageError

__all__ = ["is_image_path", "labelled_images", "list_images"]

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


def list_images(folder: str | Path) -> list[Path]:
    """Lists the picture files in a folder and all folders below it, sorted.

    Symbolic links are followed, each real folder once, so that a link to a folder above
    does not go round for ever. Hidden files and folders are passed over. Pictures are told
    by their names; a file that is none after all is found out when it is read.

    Raises:
        ImageError: It is no folder, or cannot be listed.
    """
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    waiting = [Path(folder)]
    while waiting:
        here = waiting.pop()
        children, key = _children(here)
        if key in seen:
            continue
        seen.add(key)
        folders = [child for child in children if _is_folder(child)]
        # The last is taken first, so turned round the first of two ways to a folder counts.
        waiting += reversed(folders)
        found += [c for c in children if is_image_path(c) and c not in folders]
    return sorted(found)


def labelled_images(folder: str | Path) -> list[tuple[str, Path]]:
    """Lists the pictures of a folder that holds one folder a label.

    Args:
        folder: Holds one folder a label, which may hold folders again. Pictures that lie
            in it directly have no label and are passed over.

    Returns:
        Label (the folder's name) and path, sorted by label, then path.

    Raises:
        ImageError: It is no folder, or cannot be listed.
    """
    labels = [child for child in _children(Path(folder))[0] if _is_folder(child)]
    return [(label.name, path) for label in labels for path in list_images(label)]


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
