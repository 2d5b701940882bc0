"""Making a card from a network that lies on the disk."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from edgeinc.cache import digest
from edgeinc.cards import (
    Classifier,
    ModelCard,
    ModelFile,
    RuntimeName,
    dump_card,
    parse_card,
)
from edgeinc.catalogue.newcard import NewCard, read_new, settle_new, try_card
from edgeinc.catalogue.placing import path_of, read_network
from edgeinc.catalogue.reading import Preprocessing, checked, ends, read_embedding, read_input
from edgeinc.catalogue.trial import attempt
from edgeinc.classifier import read_rows
from edgeinc.errors import (
    ModelFormatError,
    RuntimeUnavailableError,
    TensorNotFoundError,
)
from edgeinc.runtimes import Inspection, TensorInfo, TensorSpec

__all__ = ["add", "candidates", "make_card"]


def candidates(path: str | Path) -> Inspection:
    """What is in a `.tflite` or `.onnx` file: inputs, outputs, and every possible embedding.

    The file is looked into in a process of its own; see `trial`.

    Raises:
        ModelNotFoundError: There is no such file.
        ModelFormatError: It is no network that can be read, or crashes what reads it; or weights
            in other files cannot be had.
        InputError: `path` is no path.
        RuntimeUnavailableError: A package is not installed; the message names the extra.
    """
    path = path_of(path)
    content, runtime = read_network(path)
    found = attempt("inspect", path.name, content, {"runtime": runtime})
    return Inspection(
        tuple(_spec(plain) for plain in found["inputs"]),
        tuple(_spec(plain) for plain in found["outputs"]),
        tuple(
            TensorInfo(_spec(one["spec"]), one["operator"], one["pooled"])
            for one in found["candidates"]
        ),
    )


def _spec(plain: dict[str, Any]) -> TensorSpec:
    return TensorSpec(**{**plain, "shape": tuple(plain["shape"])})


def add(
    path: str | Path,
    *,
    embedding: str | None = None,
    preprocessing: Preprocessing | None = None,
    licence: str = "unknown",
    title: str | None = None,
    labels: str | Path | None = None,
    nonnegative: bool = False,
    overwrite: bool = False,
) -> ModelCard:
    """Makes a card of a network, tries it, and copies both to where cards are found.

    This process never loads the file: it is read and tried in one of its own, under limits
    of time and memory. Input and quantisation are read from the file. The card's name is the
    file's stem. Where a classifier of quantised rows lies behind the embedding, the card says so
    (`ModelCard.classifier`).

    Args:
        path: A `.tflite` or `.onnx` file. Weights of an `.onnx` file that lie in other files of
            its folder are taken into the copy.
        embedding: The tensor that is the embedding; the deepest pooled one by default.
        preprocessing: By default a quantised input gets the pixels as they are.
        licence: Of the weights.
        title: One line for people.
        labels: A text file that names the classes of the network's own classifier, one a line.
        nonnegative: No value of the embedding is ever below zero, as after ReLU and pooling;
            quantised embeddings tell it themselves.
        overwrite: Replace a model that was added under that name before, or take the place of
            one that ships with edgeinc, which is back once yours is removed.

    Returns:
        The card, with the folder where it lies now.

    Raises:
        ModelNotFoundError: There is no such file.
        ModelFormatError: It is no network with one picture for its input, or it crashes, or
            takes too long or too much memory; or weights in other files cannot be had.
        WeightsError: It gives the same embedding for any picture.
        InputError: Something is given that is no path, text, number, yes or no.
        TensorNotFoundError: There is no such tensor, or none that is pooled to propose.
        CardError: The name is taken, a float input has no normalisation, the labels
            are none or not as many as the network's own classes, or the card cannot be written.
        RuntimeUnavailableError: A package is not installed; the message names the extra.
    """
    wanted = NewCard(embedding, checked(preprocessing), licence, title, nonnegative=nonnegative)
    network = read_new(path, wanted, labels, overwrite=overwrite)
    return settle_new(network, try_card(network))


def make_card(name: str, content: bytes, runtime: RuntimeName, wanted: NewCard) -> ModelCard:
    """The card of a network. This loads it: only for what is trusted, or in a trial.

    Args:
        name: The file's name.
        content: The file.
        runtime: That reads it.
        wanted: What the card is to say.

    Raises:
        EdgeincError: As for `add`.
    """
    entry, end = ends(content, runtime, wanted.embedding)
    spec, tensor = read_input(entry, wanted.preprocessing)
    meaning = read_embedding(end)
    least = {"uint8": 0, "int8": -128}.get(meaning.dtype)
    never = meaning.quantization is not None and meaning.quantization.zero_point == least
    stem, sha256 = Path(name).stem, digest(content)
    file = ModelFile(name, len(content), sha256, None, runtime, tensor, meaning)
    card = ModelCard(
        name=stem,
        title=f"{name}, added from a file" if wanted.title is None else wanted.title,
        licence=wanted.licence,
        homepage=None,
        network=f"{stem}, sha256 {sha256}",
        input=spec,
        layer=end.name,
        dim=math.prod(end.shape),
        nonnegative=wanted.nonnegative or never,
        files=(file,),
        labels=wanted.labels,
        classifier=_classifier(content, file, math.prod(end.shape)),
    )
    # Reading it back holds it to every rule of the schema.
    return parse_card(dump_card(card), origin=f"A card for {name}")


def _classifier(content: bytes, file: ModelFile, dim: int) -> Classifier | None:
    """The network's own classes, None where no rows for them can be taken from it."""
    if file.embedding.quantization is None:
        return None
    try:
        layer = read_rows(content, file)
    except (ModelFormatError, TensorNotFoundError, RuntimeUnavailableError):
        return None
    fits = layer.rows.shape[1] == dim
    return Classifier(len(layer.rows), digest(layer.pack())) if fits else None
