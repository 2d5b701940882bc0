"""A card's own classes: the rows come from its weights, once, and are kept in the cache."""

from __future__ import annotations

from collections.abc import Iterable

from edgeinc.cache import cache_dir, digest, keep, recall
from edgeinc.cards import Classifier, ModelCard, ModelFile
from edgeinc.classifier.own import OwnClasses
from edgeinc.errors import CardError, LabelError, ModelFormatError
from edgeinc.runtimes import RUNTIMES, layer_behind
from edgeinc.runtimes.layer import Layer
from edgeinc.store import clean_label
from edgeinc.weights import installed_path, load_file, load_labels

__all__ = ["clean_names", "load_classifier", "make_rows", "read_rows"]


def load_classifier(card: ModelCard, file_name: str) -> OwnClasses:
    """The classes that a card's network knows of its own, with their rows.

    Args:
        card: The card.
        file_name: Of its weights, the file in use.

    Raises:
        CardError: The card has no classifier, or no names for its classes, or another one than
            its weights; or the weights in use give floats, whose scale is not kept.
        ModelNotFoundError, ChecksumError: The weights, or the names, are not as the card says.
        ModelFormatError, TensorNotFoundError: The rows cannot be read from them.
        RuntimeUnavailableError: What reads them is not installed.
    """
    if card.classifier is None:
        raise CardError(
            f"{card.name} has no classes of its own that could be kept; leave base classes out, "
            "or choose a model whose card has a classifier."
        )
    if all(f.name != file_name or f.embedding.quantization is None for f in card.files):
        raise CardError(
            f"{file_name} gives its embedding in floats, whose scale is not kept; use quantised "
            f"weights of {card.name} for its own classes."
        )
    labels = _names(card, card.classifier)
    return OwnClasses(make_rows(card, file_name), labels)


def make_rows(card: ModelCard, file_name: str | None = None) -> Layer:
    """The rows of a card's classifier: from the cache, else from weights that are here.

    Args:
        card: It has a classifier.
        file_name: Of the weights to read; the first that are here by default.

    Raises:
        As `load_classifier`.
    """
    said = card.classifier
    if said is None:
        raise CardError(f"The card of {card.name} has no classifier; nothing can be read for it.")
    place = cache_dir() / "classifiers" / said.sha256
    stored = recall(place)
    if stored is not None and digest(stored) == said.sha256:
        return Layer.unpack(stored)
    # Of what a vendor's compiler has written nothing can be read.
    files = [file for file in card.files if file.runtime in RUNTIMES] or list(card.files)
    here = [file for file in files if installed_path(card, file) is not None]
    file = next((f for f in here if f.name == file_name), (here or files)[0])
    layer = read_rows(load_file(card, file), file)
    packed = layer.pack()
    if digest(packed) != said.sha256 or layer.rows.shape != (said.classes, card.dim):
        raise CardError(
            f"The classifier in {file.name} is not the one that the card of {card.name} means; "
            "correct `classifier` in the card, or take it out."
        )
    keep(place, packed)
    return layer


def read_rows(content: bytes, file: ModelFile) -> Layer:
    """The classifier's layer, from the content of a card's weights.

    Raises:
        ModelFormatError, TensorNotFoundError: There is none that could be read.
        RuntimeUnavailableError: What reads it is not installed.
    """
    if file.runtime not in RUNTIMES:
        raise ModelFormatError(
            f"{file.name} is for {file.runtime}: its classifier cannot be read; give the card of "
            "the network a .tflite or .onnx file too."
        )
    return layer_behind(content, file.runtime, file.embedding.tensor)


def _names(card: ModelCard, said: Classifier) -> list[str]:
    """The names of the classes, written as labels are."""
    lines = load_labels(card)
    if len(lines) != said.classes:
        raise CardError(
            f"The card of {card.name} names {len(lines)} classes and its classifier has "
            f"{said.classes}; give it `labels` with one line for each."
        )
    return clean_names(lines, card.labels.name if card.labels else "labels")


def clean_names(lines: Iterable[str], name: str) -> list[str]:
    """The lines of a file of labels, written as labels are.

    Args:
        lines: One a class.
        name: Of the file, for the error.

    Raises:
        CardError: One of them is no label.
    """
    try:
        return [clean_label(line) for line in lines]
    except LabelError as exc:
        raise CardError(f"{name} has a line that is no label; correct it. {exc}") from exc
