"""Names for a network's own classes: a text file with one a line."""

from __future__ import annotations

from pathlib import Path

from edgeinc.cache import digest
from edgeinc.cards import Asset, ModelCard
from edgeinc.catalogue.placing import path_of
from edgeinc.errors import CardError

__all__ = ["check_labels", "read_labels"]


def read_labels(labels: str | Path | None, network: Path) -> tuple[Asset | None, bytes]:
    """What a card says of a file of labels, and its content; None and nothing without one.

    Raises:
        CardError: It cannot be read, is not UTF-8, or has the name of another file of the card.
        InputError: It is no path.
    """
    if labels is None:
        return None, b""
    path = path_of(labels)
    if path.name in (network.name, f"{network.stem}.yaml"):
        raise CardError(f"{path} has the name of the network or of its card; rename it.")
    try:
        content = path.read_text(encoding="utf-8").encode()
    except OSError as exc:
        raise CardError(f"{path} cannot be read ({exc.strerror}); check it.") from exc
    except UnicodeDecodeError as exc:
        raise CardError(f"{path} is not UTF-8 text; save it as UTF-8.") from exc
    return Asset(path.name, len(content), digest(content), None), content


def check_labels(card: ModelCard, content: bytes) -> None:
    """Holds the labels of a card to the classes of its network.

    Raises:
        CardError: There are more or fewer.
    """
    if card.labels is None or card.classifier is None:
        return
    named = len(content.decode().splitlines())
    if named != card.classifier.classes:
        raise CardError(
            f"{card.labels.name} names {named} classes and the network has "
            f"{card.classifier.classes}; give one line for each."
        )
