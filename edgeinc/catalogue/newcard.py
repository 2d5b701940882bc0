"""The way from a network's file to its card: what every way of adding begins and ends with."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from edgeinc.cards import Asset, ModelCard, RuntimeName, dump_card, parse_card
from edgeinc.cards.fields import Fields, Node
from edgeinc.catalogue.naming import Labels, check_labels, read_labels
from edgeinc.catalogue.placing import check_free, path_of, read_network, settle_card
from edgeinc.catalogue.reading import Preprocessing
from edgeinc.catalogue.trial import attempt
from edgeinc.devices import brief
from edgeinc.errors import InputError

__all__ = ["NewCard", "NewNetwork", "read_new", "settle_new", "try_card"]


@dataclass(frozen=True, slots=True)
class NewCard:
    """What a card is to say that the network's file does not tell.

    Attributes:
        embedding: The tensor that is the embedding; None for the deepest pooled one.
        preprocessing: Of its input.
        licence: Of the weights.
        title: One line for people; None for one that names the file.
        labels: The file that names the classes of the network's own classifier.
        nonnegative: No value of the embedding is ever below zero.

    Raises:
        InputError: What is to be a text, or yes or no, is something else.
    """

    embedding: str | None = None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    licence: str = "unknown"
    title: str | None = None
    labels: Asset | None = None
    nonnegative: bool = False

    def __post_init__(self) -> None:
        """Holds texts to be texts, and a yes or no to be one: callers may give anything."""
        words: dict[str, object] = {
            "embedding": self.embedding,
            "licence": self.licence,
            "title": self.title,
        }
        for name, given in words.items():
            if given is not None and not isinstance(given, str):
                raise InputError(f"{name}={brief(given)} is no text; give one, or leave it out.")
        never: object = self.nonnegative
        if not isinstance(never, bool):
            raise InputError(
                f"nonnegative={brief(never)} says neither yes nor no; give True or False."
            )

    def plain(self) -> dict[str, Any]:
        """All of it in plain values, as a trial is asked."""
        return asdict(self)

    @classmethod
    def of(cls, plain: dict[str, Any]) -> NewCard:
        """What `plain` gave."""
        labels = plain["labels"]
        parts = {
            "preprocessing": Preprocessing(**plain["preprocessing"]),
            "labels": None if labels is None else Asset(**labels),
        }
        return cls(**{**plain, **parts})


class NewNetwork(NamedTuple):
    """A network that is to be added.

    Attributes:
        path: Its file.
        target: The folder that its card is to have.
        content: The file's content, with all weights in it.
        runtime: That reads it.
        wanted: What its card is to say.
        labels: The names of its classes.
        overwrite: Its card may take the place of another.
    """

    path: Path
    target: Path
    content: bytes
    runtime: RuntimeName
    wanted: NewCard
    labels: Labels
    overwrite: bool


def read_new(
    path: str | Path, wanted: NewCard, labels: str | Path | None, *, overwrite: bool
) -> NewNetwork:
    """Reads a network and its labels, and holds them to all that can be told before a trial.

    Args:
        path: The network's file.
        wanted: What its card is to say, but for the labels.
        labels: Their file.
        overwrite: Its card may take the place of another.

    Raises:
        EdgeincError: As `add`.
    """
    path = path_of(path)
    target = check_free(path, overwrite)
    _check_words(wanted, path.name)
    content, runtime = read_network(path)
    named = read_labels(labels, path)
    wanted = replace(wanted, labels=named.asset)
    return NewNetwork(path, target, content, runtime, wanted, named, overwrite)


def _check_words(wanted: NewCard, name: str) -> None:
    """Holds the words that a caller gave to the rules of the schema.

    Raises:
        CardError: A card cannot say them.
    """
    title = name if wanted.title is None else wanted.title
    words: dict[str, Node] = {"licence": wanted.licence, "title": title}
    fields = Fields(words, f"A card for {name}")
    for key in words:
        fields.text(key)
    if not title.isprintable():
        raise fields.error("title", "must be one line of printable text")


def try_card(network: NewNetwork) -> ModelCard:
    """The card of a network, made and run once in a process of its own.

    Raises:
        EdgeincError: As `add`.
    """
    name = network.path.name
    request = {"runtime": network.runtime, "wanted": network.wanted.plain()}
    text = attempt("make", name, network.content, request)["card"]
    card = parse_card(text, origin=f"A card for {name}")
    check_labels(card, network.labels)
    return card


def settle_new(network: NewNetwork, card: ModelCard) -> ModelCard:
    """Gives network, labels and card their place; returns the card with its folder.

    Raises:
        CardError: They cannot be written; or the name was taken meanwhile.
    """
    text = dump_card(card)
    # Reading it back holds it to every rule of the schema.
    parse_card(text, origin=f"A card for {network.path.name}")
    files = {network.path.name: network.content, f"{card.name}.yaml": text.encode()}
    if network.labels.asset is not None:
        files[network.labels.asset.name] = network.labels.content
    return settle_card(card, files, network.target, overwrite=network.overwrite)
