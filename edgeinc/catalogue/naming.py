"""Names for a network's own classes: a text file with one a line."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from edgeinc.cache import digest
from edgeinc.cards import Asset, ModelCard, is_file_name
from edgeinc.catalogue.placing import ordinary, path_of
from edgeinc.classifier import clean_names
from edgeinc.devices import brief
from edgeinc.errors import CardError

__all__ = ["Labels", "check_count", "check_labels", "read_labels"]


class Labels(NamedTuple):
    """A file of labels.

    Attributes:
        asset: What a card says of it; None without one.
        content: As it is kept: UTF-8 without a mark of it, and lines as on Linux.
        classes: How many it names.
    """

    asset: Asset | None
    content: bytes
    classes: int


def read_labels(labels: str | Path | None, network: Path) -> Labels:
    """Reads a file of labels, and holds it to what reads it later.

    Raises:
        CardError: It cannot be read, is not UTF-8, has a line that is no label, or has a name
            that no card can give, or that of another file of the card.
        InputError: It is no path.
    """
    if labels is None:
        return Labels(None, b"", 0)
    path = path_of(labels)
    if not is_file_name(path.name):
        raise CardError(
            f"A card names its labels' file, and cannot name one {brief(path.name)}; rename it to "
            "letters, digits and ._+-, a letter or digit first."
        )
    if path.name in (network.name, f"{network.stem}.yaml"):
        raise CardError(f"{path} has the name of the network or of its card; rename it.")
    try:
        # Editors of Windows begin UTF-8 with a mark.
        text = ordinary(path).read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise CardError(f"{path} cannot be read ({exc.strerror}); check it.") from exc
    except UnicodeDecodeError as exc:
        raise CardError(f"{path} is not UTF-8 text; save it as UTF-8.") from exc
    names = clean_names(text.splitlines(), path.name)
    content = text.encode()
    return Labels(Asset(path.name, len(content), digest(content), None), content, len(names))


def check_labels(card: ModelCard, labels: Labels) -> None:
    """Holds the labels of a card to the classes of its network.

    Raises:
        CardError: There are more or fewer.
    """
    if labels.asset is not None and card.classifier is not None:
        check_count(labels.asset.name, labels.classes, card.classifier.classes)


def check_count(name: str, named: int, classes: int) -> None:
    """Holds the number of labels in a file to the number of a network's classes.

    Raises:
        CardError: There are more or fewer.
    """
    if named != classes:
        raise CardError(
            f"{name} names {named} classes and the network has {classes}; give one line for each."
        )
