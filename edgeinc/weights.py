"""Finding cards, and loading what they name: verified by sha256 at every load.

Cards that the user added come first, then those that ship with edgeinc. Their files lie
beside the card when they travel with it, else in the cache, where `catalogue.pull` puts
them. `$EDGEINC_CACHE` names one folder for all that edgeinc keeps besides stores; without it
the system's folders for caches and for user data are taken.
"""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from edgeinc.cache import cache_dir, digest, is_file, is_here, keep, recall, user_models_dir
from edgeinc.cards import Asset, ModelCard, build_card, parse_yaml, read_card, read_text
from edgeinc.devices import brief
from edgeinc.errors import CardError, ChecksumError, InputError, ModelNotFoundError
from edgeinc.version import __version__

if TYPE_CHECKING:
    from edgeinc.features import Background

__all__ = [
    "card_folders",
    "find_card",
    "installed_path",
    "is_installed",
    "list_cards",
    "load_background",
    "load_file",
    "load_labels",
    "stamped",
    "weights_dir",
]

CARD_SUFFIXES = (".yaml", ".yml")


def weights_dir(card: ModelCard) -> Path:
    """The folder of the cache where a card's fetched files lie; it need not exist yet."""
    return cache_dir() / "weights" / card.name


def card_folders() -> tuple[Path, ...]:
    """Where cards are looked for, each in `<name>/<name>.yaml`: added first, then shipped."""
    shipped = Path(__file__).parent / "models"
    if not shipped.is_dir():
        # A source checkout keeps the folder beside the package.
        shipped = Path(__file__).parents[1] / "models"
    return user_models_dir(), shipped


def list_cards() -> tuple[ModelCard, ...]:
    """Every card, by name. One that breaks the schema is left out with a warning."""
    cards: dict[str, ModelCard] = {}
    for folder in card_folders():
        for path in sorted(folder.glob("*/*.yaml") if is_here(folder) else ()):
            if path.stem != path.parent.name or path.stem in cards:
                continue
            try:
                cards[path.stem] = read_card(path)
            except CardError as exc:
                warnings.warn(str(exc), stacklevel=2)
    return tuple(cards[name] for name in sorted(cards))


def find_card(name: str | Path) -> ModelCard:
    """The card of a name, or the one in a file.

    Args:
        name: A model's name, the path of a card, or the folder `<name>` that holds it.

    Raises:
        ModelNotFoundError: There is none; the message lists near names.
        CardError: There is one, and it breaks the schema.
        InputError: The name is neither a text nor a path.
    """
    if not isinstance(name, (str, os.PathLike)):
        raise InputError(f"{brief(name)} is no model; give a card, or a model's name.")
    path = Path(name)
    try:
        if found := _card_file(path):
            return _read_once(found)
        weights = path.suffix in (".tflite", ".onnx") and path.is_file()
    except OSError as exc:
        raise ModelNotFoundError(f"{name} cannot be read ({exc.strerror}); check it.") from exc
    if weights:
        raise ModelNotFoundError(
            f"{name} is a network without a card; make one with `edgeinc models add {name}`."
        )
    names = [card.name for card in list_cards()]
    import difflib

    near = difflib.get_close_matches(path.stem, names, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise ModelNotFoundError(
        f"There is no model {str(name)!r}; {hint}`edgeinc models list` shows what there is."
    )


def _read_once(path: Path) -> ModelCard:
    """Reads a card; its parsed YAML is kept in the cache, by what the file holds.

    Importing a YAML parser takes longer than anything else that a start does with a card.
    The schema is checked every time.
    """
    text = read_text(path)
    place = cache_dir() / "cards" / digest(text.encode())
    stored = recall(place)
    node = parse_yaml(text, str(path)) if stored is None else json.loads(stored)
    if stored is None:
        keep(place, json.dumps(node).encode())
    return build_card(node, path.parent, str(path))


def _card_file(path: Path) -> Path | None:
    """The card that a name or a path means, None where there is none."""
    if path.suffix in CARD_SUFFIXES:
        return path if path.is_file() else None
    own = f"{path.name}.yaml"
    for folder in card_folders() if len(path.parts) == 1 else ():
        if is_file(folder / path / own):
            return folder / path / own
    return path / own if (path / own).is_file() else None


def _places(card: ModelCard, asset: Asset) -> list[Path]:
    """Where a card's file may lie, those that exist."""
    folders = [weights_dir(card)] if card.folder is None else [card.folder, weights_dir(card)]
    return [folder / asset.name for folder in folders if is_file(folder / asset.name)]


def installed_path(card: ModelCard, asset: Asset) -> Path | None:
    """Where a card's file lies, None where it is not installed; its content is not checked."""
    return next(iter(_places(card, asset)), None)


def is_installed(card: ModelCard) -> bool:
    """True when at least one of the card's weight files is here; its content is not checked."""
    return any(installed_path(card, file) is not None for file in card.files)


def stamped(card: ModelCard, asset: Asset, *words: str) -> str:
    """A name for what was made from a card's file; another once the file was touched."""
    path = installed_path(card, asset)
    status = path.stat() if path else None
    stamp = (status.st_size, status.st_mtime_ns) if status else ("absent",)
    return digest("\n".join((__version__, asset.sha256, *words, *map(str, stamp))).encode())


def load_file(card: ModelCard, asset: Asset) -> bytes:
    """The content of one of the card's files, checked by size and sha256.

    Raises:
        ModelNotFoundError: It is not installed, or cannot be read.
        ChecksumError: Its content is not what the card says.
    """
    places = _places(card, asset)
    for path in places:
        try:
            # The size is compared first, so that a wrong file of any size costs nothing.
            content = path.read_bytes() if path.stat().st_size == asset.bytes else b""
        except OSError as exc:
            raise ModelNotFoundError(
                f"{path} cannot be read ({exc.strerror}); check its permissions."
            ) from exc
        if digest(content) == asset.sha256:
            return content
    if places:
        raise ChecksumError(
            f"{places[-1]} is damaged: its sha256 is not the card's; "
            f"run `edgeinc models pull {card.name}` to fetch it again."
        )
    how = f"run `edgeinc models pull {card.name}`."
    if asset.source is None:
        how = f"it has no public source: set EDGEINC_MODELS to a folder that has it and {how}"
    raise ModelNotFoundError(f"{asset.name} is not installed; {how}")


def load_labels(card: ModelCard) -> tuple[str, ...]:
    """Names of the classes of the network's own classifier, in its order; () where it has none.

    Raises:
        ModelNotFoundError: The file is not installed.
        ChecksumError: Its content is not what the card says.
        CardError: It is not UTF-8 text.
    """
    if card.labels is None:
        return ()
    try:
        text = load_file(card, card.labels).decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise CardError(f"{card.labels.name} is not UTF-8 text; correct it.") from exc
    return tuple(line.strip() for line in text.splitlines())


def load_background(card: ModelCard) -> Background | None:
    """Statistics of embeddings of unrelated pictures; None where the card names none.

    Raises:
        ModelNotFoundError: The file is not installed.
        ChecksumError: Its content is not what the card says.
        CardError: It does not hold such statistics, or those of another layer.
    """
    if card.background is None:
        return None
    # Numpy is not needed to list cards.
    from edgeinc.features import Background

    # As for a cut network: kept under the stamp of the file, with a sha256 of its own.
    place = cache_dir() / "background-2" / stamped(card, card.background)
    if (stored := recall(place)) is not None:
        background = Background.unpack(stored)
    else:
        background = Background.from_bytes(load_file(card, card.background))
        keep(place, background.pack())
    if background.mean.shape != (card.dim,):
        raise CardError(f"{card.background.name} is not for {card.dim} dimensions; make it again.")
    return background
