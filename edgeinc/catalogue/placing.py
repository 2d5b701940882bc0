"""A network's file and its card's place: reading the one, filling the other whole or not at all."""

from __future__ import annotations

import base64
import errno
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from edgeinc.cache import is_here, part_of, sync_file, sync_folder, user_models_dir
from edgeinc.cards import ModelCard, RuntimeName, is_file_name
from edgeinc.catalogue.trial import LIMITS, attempt
from edgeinc.devices import brief
from edgeinc.errors import CardError, InputError, ModelFormatError, ModelNotFoundError
from edgeinc.runtimes.onnx_external import LARGEST
from edgeinc.runtimes.plain_runtimes import PLAIN
from edgeinc.weights import card_folders

__all__ = ["check_free", "ordinary", "path_of", "read_network", "settle_card", "writing"]

RUNTIMES = {plain.suffix: name for name, plain in PLAIN.items()}
# What systems say of a folder that takes no other's place.
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
# Linux's renameat2: paths from the working directory, and the flag RENAME_EXCHANGE.
_HERE, _EXCHANGE = -100, 2
# The files' sizes are seen only there; what they hold is copied a few times.
GATHERING = replace(LIMITS, memory=LIMITS.memory + 6 * LARGEST, written=2 * LARGEST)


def check_free(path: Path, overwrite: bool) -> Path:
    """The folder of the card that is to be made of a network's file.

    Raises:
        CardError: The file's name is none that a card can have, or a model has the name, added
            before or shipped, and is not to be replaced.
    """
    if not is_file_name(path.name):
        raise CardError(
            f"A model is named after its file, and {brief(path.name)} is no such name; rename the "
            "file to letters, digits and ._+-, a letter or digit first."
        )
    target = user_models_dir() / path.stem
    if is_here(target) and not overwrite:
        raise _taken(path.stem)
    if not overwrite and is_here(card_folders()[-1] / path.stem / f"{path.stem}.yaml"):
        raise CardError(
            f"A model named {path.stem} ships with edgeinc, and yours would be taken in its place, "
            "also for stores made with it; rename the file, or add it with --overwrite."
        )
    return target


def _taken(name: str) -> CardError:
    return CardError(
        f"A model named {name} was added before; rename the file, or replace the model with "
        "--overwrite."
    )


def path_of(given: object) -> Path:
    """A path, from a text or a path.

    Raises:
        InputError: It is neither, is empty, or has a character that no path can have.
    """
    text = os.fspath(given) if isinstance(given, (str, os.PathLike)) else given
    if not isinstance(text, str):
        raise InputError(f"{brief(given)} is no path; give one, as text or pathlib.Path.")
    if not text:
        raise InputError("The path is empty; give one ('.' is the working folder).")
    if "\0" in text:
        raise InputError(f"{brief(text)} is no path, it has a zero character; take it out.")
    return Path(text)


def ordinary(path: Path) -> Path:
    """The same path, of a file or folder: reading a pipe would wait for whoever writes to it.

    Raises:
        OSError: It is of something else, or of nothing.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "it is no ordinary file")
    return path


def read_network(path: Path) -> tuple[bytes, RuntimeName]:
    """The content of a network's file, and the runtime that reads it.

    An `.onnx` network that keeps weights in other files of its folder is brought into one.

    Raises:
        ModelFormatError: Its name is of no network; or it keeps weights outside of its folder, or
            in files that are missing, too short, or too large.
        ModelNotFoundError: It cannot be read.
        RuntimeUnavailableError: A package is not installed; the message names the extra.
    """
    runtime = RUNTIMES.get(path.suffix.lower())
    if runtime is None:
        raise ModelFormatError(
            f"{path} is neither .tflite nor .onnx; convert it to one of them, or name a file for a "
            "vendor's chip in a card by hand (docs/runtimes.md)."
        )
    try:
        content = ordinary(path).read_bytes()
    except OSError as exc:
        raise ModelNotFoundError(f"{path} cannot be read ({exc.strerror}); check it.") from exc
    # Only a network with this word can name another file. It is read in a trial, as any is.
    if runtime == "onnx" and b"location" in content:
        request = {"folder": str(path.absolute().parent)}
        found = attempt("gather", path.name, content, request, GATHERING)
        content = base64.b64decode(found["network"])
    return content, runtime


def settle_card(
    card: ModelCard, files: dict[str, bytes], target: Path, *, overwrite: bool
) -> ModelCard:
    """Writes a card's files beside their place, and gives them their place.

    Raises:
        CardError: They cannot be written; or, without `overwrite`, the name was taken meanwhile.
    """
    part = part_of(target)
    try:
        with writing(target):
            part.mkdir(parents=True)
            for name, content in files.items():
                (part / name).write_bytes(content)
                sync_file(part / name)
            sync_folder(part)
            _take_place(part, target, overwrite=overwrite)
            sync_folder(target.parent)
    finally:
        _remove(part)
    return replace(card, folder=target)


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """A block that writes a card's folder, or takes room for it.

    Raises:
        CardError: It cannot be written.
    """
    try:
        yield
    except OSError as exc:
        raise CardError(
            f"The card cannot be written to {target} ({exc.strerror}); make room, or name "
            "another folder with EDGEINC_CACHE."
        ) from exc


def _take_place(part: Path, target: Path, *, overwrite: bool) -> None:
    """Gives a folder its place; what was there before is `part` then, or is gone.

    Another process may do the same just now: then it is the other's that is replaced.
    """
    while not _moved(part, target):
        if not overwrite:
            raise _taken(target.name)
        if _exchanged(part, target) or _moved_after_all(part, target):
            return


def _moved(part: Path, target: Path) -> bool:
    """Moves a folder to a place, unless that is taken."""
    try:
        part.rename(target)
    except OSError as exc:
        if exc.errno not in _TAKEN:
            raise
        return False
    return True


def _exchanged(one: Path, other: Path) -> bool:
    """Exchanges two folders in one step, where the system and its disk can; Python cannot say it.

    A power cut leaves either, and who reads meanwhile finds one of them.
    """
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    call = getattr(ctypes.CDLL(None), "renameat2", None)
    if call is None:
        return False
    names = _HERE, os.fsencode(one), _HERE, os.fsencode(other)
    return bool(call(*names, _EXCHANGE) == 0)


def _moved_after_all(part: Path, target: Path) -> bool:
    """Moves what has the place out of it, and the folder there; false where another was faster.

    A power cut between the two leaves what had the place beside it, with a part's name.
    """
    old = part_of(target)
    try:
        with suppress(FileNotFoundError):
            target.rename(old)
        moved = _moved(part, target)
    except BaseException:
        # Back to its place; where that cannot be, it stays: there is nothing else of it.
        if is_here(old) and not _moved(old, target):
            _remove(old)
        raise
    _remove(old)
    return moved


def _remove(path: Path) -> None:
    """Removes a folder, file or link as far as that goes; what stays has a part's name."""
    shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        path.unlink()
