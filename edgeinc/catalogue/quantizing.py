"""Adding a float network in int8: quantised on a person's own pictures, and held to the float one.

All that loads the network happens in the process of a trial. Pictures are parted into those
that calibrate and those that judge; no picture does both, nor does a copy of it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from numbers import Real
from pathlib import Path

import numpy as np

from edgeinc.cache import digest, user_models_dir
from edgeinc.cards import ModelCard, dump_card, parse_card
from edgeinc.catalogue.attaching import CARD_ROOM, reserved
from edgeinc.catalogue.naming import check_labels, read_labels
from edgeinc.catalogue.placing import (
    check_free,
    check_truth,
    check_words,
    path_of,
    read_network,
    settle_card,
)
from edgeinc.catalogue.reading import Preprocessing, plain
from edgeinc.catalogue.trial import LIMITS, Limits, attempt
from edgeinc.devices import brief
from edgeinc.errors import CardError, InputError, ModelFormatError, WeightsError
from edgeinc.images import list_images

__all__ = ["LEAST_COSINE", "LEAST_PICTURES", "Quantized", "add_quantized"]

LEAST_PICTURES = 40
"""Of a folder: fewer tell neither the range of the activations nor how far they drift."""
MOST_PICTURES = 400
LEAST_COSINE = 0.98
"""The mean that the embeddings must reach, unless a caller says another."""
SHARE = 4
"""One picture of so many is held out."""


@dataclass(frozen=True, slots=True)
class Quantized:
    """A network in int8, and how far it is from the float one.

    Attributes:
        card: The card that was added, with its folder.
        calibrated: Pictures that it was calibrated on.
        held_out: Pictures that it was judged by, none of them among those.
        cosine: Mean cosine of float and int8 embeddings of the pictures held out.
        least: The least of them.
        neighbours: Share of them whose nearest other one is the same in both.
        classes: Share of them whose best class of the network's own is the same in both; None
            where no dense layer is kept.
        float_ms: Median time of one picture, float, one thread on the CPU, milliseconds.
        int8_ms: The same of int8, measured in turn with the other.
        speedup: Median of the ratios of the two.
        float_bytes: Size of the file as it was given.
        int8_bytes: Size of the int8 file, cut at the embedding.
        skipped: A sentence for each file of the folder that was passed over.
    """

    card: ModelCard
    calibrated: int
    held_out: int
    cosine: float
    least: float
    neighbours: float
    classes: float | None
    float_ms: float
    int8_ms: float
    speedup: float
    float_bytes: int
    int8_bytes: int
    skipped: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The measurement in one line."""
        own = "" if self.classes is None else f", {self.classes:.0%} their own class"
        return (
            f"calibrated on {self.calibrated} pictures; on {self.held_out} others the cosine of "
            f"float and int8 embeddings is {self.cosine:.4f} in the mean and {self.least:.4f} at "
            f"least, and {self.neighbours:.0%} keep their nearest neighbour{own}; a picture takes "
            f"{self.int8_ms:.2f} ms instead of {self.float_ms:.2f} (one thread), the file "
            f"{self.int8_bytes / 1e6:.1f} MB instead of {self.float_bytes / 1e6:.1f}"
        )


def add_quantized(
    path: str | Path,
    folder: str | Path,
    *,
    embedding: str | None = None,
    preprocessing: Preprocessing | None = None,
    licence: str = "unknown",
    title: str | None = None,
    labels: str | Path | None = None,
    nonnegative: bool = False,
    overwrite: bool = False,
    least_cosine: float = LEAST_COSINE,
    note: Callable[[str], None] | None = None,
) -> Quantized:
    """Quantises a float network to int8 on a folder of pictures, and adds it as `add` does.

    The network is cut at the embedding first. Of what lies behind it a single dense layer is
    kept, in rows of 8 bits, as the network's own classes. The int8 network is another network
    than the float one: a store that was made with that does not fit it.

    Args:
        path: An `.onnx` file in float32 of which the embedding needs one picture.
        folder: Pictures of what it will see, in it and in all folders below it: 40 at least;
            of more than 400 so many are drawn, always the same.
        embedding: As in `add`, and so are `preprocessing` to `overwrite`.
        preprocessing: Its mean and std must be given.
        licence: Of the weights.
        title: One line for people.
        labels: Names for the classes of the dense layer behind the embedding, one a line.
        nonnegative: No value of the embedding is ever below zero.
        overwrite: Replace a model that was added under that name before.
        least_cosine: Mean cosine of float and int8 embeddings below which nothing is added.
        note: Called with a sentence before the work begins.

    Raises:
        InputError: The folder has fewer than 40 different pictures that can be read, there is
            no room for the work, `least_cosine` is no cosine, or something is given as in `add`.
        ModelFormatError: The network cannot be quantised: not `.onnx`, not float32, quantised
            already, several inputs, open sizes, an opset below 13 that cannot be converted; or
            as in `add`.
        WeightsError: The int8 network drifts further than `least_cosine`, or the float one gives
            the same embedding for all pictures; nothing is added.
        CardError, ModelNotFoundError, TensorNotFoundError, RuntimeUnavailableError: As in `add`.
    """
    path, folder = path_of(path), path_of(folder)
    check_words(embedding=embedding, licence=licence, title=title)
    check_truth(nonnegative=nonnegative)
    if not isinstance(least_cosine, Real) or not 0 <= least_cosine <= 1:
        raise InputError(f"{brief(least_cosine)} is no cosine to reach; give a number from 0 to 1.")
    if path.suffix.lower() == ".tflite":
        raise ModelFormatError(
            f"{path} cannot be quantised here, only .onnx can; export the float network as .onnx, "
            "or add it without --quantize."
        )
    target = check_free(path, overwrite)
    content, runtime = read_network(path)
    named = read_labels(labels, path)
    pictures, skipped = _drawn(folder)
    if note is not None:
        note(f"quantising {path.name} on {len(pictures)} pictures; this takes a while")
    request = {
        "runtime": runtime,
        "embedding": embedding,
        "preprocessing": plain(preprocessing),
        "licence": licence,
        "title": title or f"{path.name} in int8, added from a file",
        "labels": None if named.asset is None else asdict(named.asset),
        "nonnegative": nonnegative,
    }
    asked = {"pictures": pictures, "least": LEAST_PICTURES, "share": SHARE, "named": named.classes}
    # What there is no room for is refused before the work, not after it.
    _take_room(target, len(content))
    found = attempt("quantize", path.name, content, {**request, **asked}, _limits(len(pictures)))
    network = base64.b64decode(found["network"])
    measured = found["measured"]
    if not measured["cosine"] >= least_cosine:
        raise WeightsError(_refusal(path.name, measured, least_cosine))
    request["embedding"] = found["embedding"]
    text = attempt("make", path.name, network, request)["card"]
    card = parse_card(text, origin=f"A card for {path.name}")
    check_labels(card, named)
    done = Quantized(
        card=card,
        float_bytes=len(content),
        int8_bytes=len(network),
        skipped=(*skipped, *found["skipped"]),
        **measured,
    )
    words = f"Made of {path.name} (sha256 {digest(content)}) by {found['tool']}: "
    card = replace(card, notes=f"{words}{done.words}.")
    parse_card(text := dump_card(card), origin=f"A card for {path.name}")
    files = {path.name: network, f"{card.name}.yaml": text.encode()}
    if named.asset is not None:
        files[named.asset.name] = named.content
    return replace(done, card=settle_card(card, files, target, overwrite=overwrite))


def _drawn(folder: str | Path) -> tuple[list[str], list[str]]:
    """Different pictures, at most `MOST_PICTURES`, in an order drawn by chance; always the same.

    Raises:
        InputError: There are too few.
    """
    found = list_images(folder)
    seen: dict[str, str] = {}
    for i in np.random.default_rng(0).permutation(len(found.pictures)):
        one = found.pictures[i]
        try:
            seen.setdefault(digest(one.read_bytes()), str(one.resolve()))
        except OSError as exc:
            found.passed_over.append(f"{one} cannot be read ({exc.strerror}); check it.")
        if len(seen) == MOST_PICTURES:
            break
    if len(seen) < LEAST_PICTURES:
        raise InputError(
            f"{folder} has {len(seen)} different pictures, and quantising needs {LEAST_PICTURES} "
            "at least; add more of what the network will see, hundreds are good."
        )
    return list(seen.values()), found.passed_over


def _limits(pictures: int) -> Limits:
    """A float network sees each picture a few times; a slow one takes seconds for one."""
    seconds = LIMITS.seconds + 10 * pictures
    # It lies there as it was given, cut, made ready, and while it is calibrated.
    cpu_seconds = LIMITS.cpu_seconds + 20 * pictures
    return replace(LIMITS, seconds=seconds, cpu_seconds=cpu_seconds, room=7)


def _take_room(target: Path, size: int) -> None:
    """Takes room for a card and its weights, and gives it back.

    Raises:
        CardError: There is none, or the folder cannot be written.
    """
    try:
        user_models_dir().mkdir(parents=True, exist_ok=True)
        with reserved(target.parent, size + CARD_ROOM):
            pass
    except OSError as exc:
        raise CardError(
            f"The card cannot be written to {target} ({exc.strerror}); make room, or name "
            "another folder with EDGEINC_CACHE."
        ) from exc


def _refusal(name: str, measured: dict[str, float], least_cosine: float) -> str:
    """That a network drifts too far, and what to try."""
    return (
        f"{name} in int8 is too far from what it is in float: on {measured['held_out']} pictures "
        f"held out the cosine of the embeddings is {measured['cosine']:.4f} in the mean, and "
        f"{least_cosine:g} is asked for; nothing was added. Try more pictures "
        "of what it will see, the right --mean and --std, another --embedding, or add the float "
        "network without --quantize."
    )
