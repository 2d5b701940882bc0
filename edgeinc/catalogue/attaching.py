"""Giving a card background statistics: the file first, the card that names it last."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from edgeinc.cache import digest, is_file, is_here, part_of, reserve, settle, user_models_dir
from edgeinc.cards import Asset, ModelCard, parse_card, read_card, read_text
from edgeinc.catalogue.background import (
    USUAL_PICTURES,
    Measured,
    largest_background,
    measure_background,
)
from edgeinc.devices import AskedDevice
from edgeinc.errors import CardError, InputError
from edgeinc.store.disk.files import file_to_write
from edgeinc.weights import card_folders, find_card, load_file

__all__ = ["CARD_ROOM", "Attached", "add_background", "reserved"]

# Bytes; a card is not larger.
CARD_ROOM = 1 << 16
KEY = re.compile(r"^background:.*\n(?:[ \t]+.*\n)*", re.MULTILINE)
OWN_NAME = re.compile(r"\.background-[0-9a-f]{8}\.npz$")


@dataclass(frozen=True, slots=True)
class Attached:
    """What `add_background` did.

    Attributes:
        card: The card as it is now; its folder is another where a shipped card was copied.
        path: The file of statistics.
        asset: What a card says of it.
        count: Pictures that went into it.
        skipped: A sentence for each file that was passed over.
        copied: True when the card is a new copy of a shipped one.
    """

    card: ModelCard
    path: Path
    asset: Asset
    count: int
    skipped: tuple[str, ...]
    copied: bool = False

    @property
    def lines(self) -> str:
        """The lines of a card that name the file."""
        return _lines(self.asset)


def add_background(
    card: str | Path,
    folder: str | Path,
    *,
    output: str | Path | None = None,
    most: int = USUAL_PICTURES,
    device: AskedDevice = "auto",
    strict: bool = False,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Attached:
    """Measures a card's background over a folder of pictures, and gives it to the card.

    The statistics lie beside the card, which names them from then on; the rest of its text
    stays as it is. A card that ships with edgeinc is not changed: a copy of it, with the
    weights that ship with it, is made among the user's own cards, which go before it. All
    room is taken before the work begins, and whatever happens the card is the old one or the
    new one, and fits its files.

    Args:
        card: A model's name, or the path of a card.
        folder: As in `measure_background`, and so are `most` to `progress`.
        output: Only write the statistics there, and leave all cards as they are.
        most: Pictures.
        device: As in `Backbone.open`.
        strict: As in `Backbone.open`.
        threads: As in `Backbone.open`.
        progress: Called with (done, total).

    Raises:
        InputError: Too few pictures, or there is no room, or no right, to write.
        CardError: The card breaks the schema, or its text cannot take the statistics.
        ModelNotFoundError, ChecksumError, ...: As in `Backbone.open`.
    """
    found = find_card(card)

    def measure() -> Measured:
        return measure_background(
            found,
            folder,
            most=most,
            device=device,
            strict=strict,
            threads=threads,
            progress=progress,
        )

    path = _path_of(card, found)
    shipped = path.resolve().parent.parent == card_folders()[-1].resolve()
    place = user_models_dir() / found.name if shipped else path.parent
    try:
        if output is not None:
            place = file_to_write(output)
            return _to_file(found, place, measure)
        return _to_copy(found, path, place, measure) if shipped else _to_card(found, path, measure)
    except OSError as exc:
        other = "name a file to write with -o" if output is None else "name another file"
        raise InputError(
            f"The background cannot be written to {place} ({exc.strerror}); make room there, or "
            f"{other}."
        ) from exc


def _path_of(given: str | Path, card: ModelCard) -> Path:
    """The file that a card was found in."""
    path = Path(given)
    if path.suffix in (".yaml", ".yml") or card.folder is None:
        return path
    return card.folder / f"{card.folder.name}.yaml"


def _to_file(card: ModelCard, path: Path, measure: Callable[[], Measured]) -> Attached:
    """Writes the statistics alone."""
    with reserved(path.parent, largest_background(card.dim)) as part:
        measured = measure()
        _fill(part, measured.content, path)
    asset = _asset(path.name, measured)
    return Attached(card, path, asset, measured.count, measured.skipped)


def _to_card(card: ModelCard, path: Path, measure: Callable[[], Measured]) -> Attached:
    """Writes the statistics beside a card, and then the card."""
    text = read_text(path)
    # What the card's text cannot take is refused before the work, not after it.
    _with_background(text, card, Asset(_name(card, "0" * 8), 1, "0" * 64, None), path)
    with (
        reserved(path.parent, largest_background(card.dim)) as part,
        reserved(path.parent, CARD_ROOM) as card_part,
    ):
        measured = measure()
        # Named by its content: the old card keeps the old file until there is the new card.
        asset = _asset(_name(card, digest(measured.content)[:8]), measured)
        target = path.with_name(asset.name)
        new = not is_file(target)
        try:
            _fill(part, measured.content, target)
            _fill(card_part, _with_background(text, card, asset, path).encode(), path)
        except BaseException:
            if new:
                target.unlink(missing_ok=True)
            raise
    old = card.background
    if old is not None and old.name != asset.name and OWN_NAME.search(old.name):
        path.with_name(old.name).unlink(missing_ok=True)
    return Attached(read_card(path), target, asset, measured.count, measured.skipped)


def _to_copy(
    card: ModelCard, path: Path, target: Path, measure: Callable[[], Measured]
) -> Attached:
    """Copies a shipped card and the weights beside it, and gives the background to the copy."""
    if is_here(target):
        raise CardError(f"{target} is here, a card of your own; give its path, or delete it.")
    part = part_of(target)
    try:
        part.mkdir(parents=True)
        for file in card.files:
            if is_file(path.with_name(file.name)):
                (part / file.name).write_bytes(load_file(card, file))
        (part / path.name).write_text(read_text(path), encoding="utf-8")
        done = _to_card(card, part / path.name, measure)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return replace(
        done, card=replace(done.card, folder=target), path=target / done.path.name, copied=True
    )


@contextmanager
def reserved(folder: Path, room: int) -> Iterator[Path]:
    """A new file of so many bytes; at the end it is gone, unless it was moved."""
    part = part_of(folder / "background")
    try:
        with part.open("xb") as stream:
            reserve(stream, room)
        yield part
    finally:
        part.unlink(missing_ok=True)


def _fill(part: Path, content: bytes, target: Path) -> None:
    """Writes into a reserved file and gives it its place."""
    with part.open("r+b") as stream:
        stream.write(content)
        stream.truncate()
    settle(part, target)


def _name(card: ModelCard, mark: str) -> str:
    """What a file of statistics is called; weights may be called `.npz` too."""
    return f"{card.name}.background-{mark}.npz"


def _asset(name: str, measured: Measured) -> Asset:
    return Asset(name, len(measured.content), digest(measured.content), None)


def _lines(asset: Asset) -> str:
    return f"background:\n  name: {asset.name}\n  bytes: {asset.bytes}\n  sha256: {asset.sha256}\n"


def _with_background(text: str, card: ModelCard, asset: Asset, path: Path) -> str:
    """A card's text with other statistics; all that people wrote stays.

    Raises:
        CardError: The text is so written that the lines cannot be added.
    """
    changed = KEY.sub("", text if text.endswith("\n") else f"{text}\n") + _lines(asset)
    try:
        sound = parse_card(changed, card.folder) == replace(card, background=asset)
    except CardError:
        sound = False
    if not sound:
        raise CardError(
            f"{path} is written in a way that lines cannot be added to; write the statistics to a "
            "file with -o, and name it in the card by hand."
        )
    return changed
