"""A network's file and its card's place: reading the one, filling the other whole or not at all."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from edgeinc.cache import is_here, part_of, sync_file, sync_folder, user_models_dir
from edgeinc.cards import ModelCard, RuntimeName
from edgeinc.errors import CardError, ModelFormatError, ModelNotFoundError

__all__ = ["check_free", "read_network", "settle_card"]

RUNTIMES: dict[str, RuntimeName] = {".tflite": "litert", ".onnx": "onnx"}


def check_free(name: str, overwrite: bool) -> Path:
    """The folder of a card that is to be added.

    Raises:
        CardError: The name was added before, and is not to be replaced.
    """
    target = user_models_dir() / name
    if is_here(target) and not overwrite:
        raise CardError(
            f"A model named {name} was added before; rename the file, or replace the model "
            "with --overwrite."
        )
    return target


def read_network(path: Path) -> tuple[bytes, RuntimeName]:
    """The content of a network's file, and the runtime that reads it.

    Raises:
        ModelFormatError: Its name is of no network.
        ModelNotFoundError: It cannot be read.
    """
    runtime = RUNTIMES.get(path.suffix.lower())
    if runtime is None:
        raise ModelFormatError(
            f"{path} is neither .tflite nor .onnx; convert it to one of them, or name a file for a "
            "vendor's chip in a card by hand (docs/runtimes.md)."
        )
    try:
        return path.read_bytes(), runtime
    except OSError as exc:
        raise ModelNotFoundError(f"{path} cannot be read ({exc.strerror}); check it.") from exc


def settle_card(card: ModelCard, files: dict[str, bytes], target: Path) -> ModelCard:
    """Writes a card's files beside their place, and gives them their place."""
    part, old = part_of(target), part_of(target)
    try:
        part.mkdir(parents=True)
        for name, content in files.items():
            (part / name).write_bytes(content)
            sync_file(part / name)
        sync_folder(part)
        _exchange(part, target, old)
        sync_folder(target.parent)
    except OSError as exc:
        raise CardError(
            f"The card cannot be written to {target} ({exc.strerror}); make room, or name "
            "another folder with EDGEINC_CACHE."
        ) from exc
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if is_here(target):
            shutil.rmtree(old, ignore_errors=True)
    return replace(card, folder=target)


def _exchange(part: Path, target: Path, old: Path) -> None:
    """Gives a folder its place; what was there before is `old`, or is there again."""
    if target.exists():
        target.rename(old)
    try:
        part.rename(target)
    except BaseException:
        if old.exists():
            old.rename(target)
        raise
