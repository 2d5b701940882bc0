"""Adding a float network in int8: quantised on a person's own pictures, and held to the float one.

All that loads the network happens in the process of a trial. Pictures are parted into those
that calibrate and those that judge; no picture does both, nor does a copy of it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any

from edgeinc.cache import digest, user_models_dir
from edgeinc.cards import ModelCard
from edgeinc.catalogue.attaching import CARD_ROOM, reserved
from edgeinc.catalogue.drawing import shuffled
from edgeinc.catalogue.newcard import NewCard, NewNetwork, read_new, settle_new, try_card
from edgeinc.catalogue.placing import ordinary, path_of, writing
from edgeinc.catalogue.reading import Preprocessing, checked
from edgeinc.catalogue.trial import LIMITS, Limits, attempt
from edgeinc.devices import brief
from edgeinc.errors import InputError, ModelFormatError, WeightsError
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
        InferenceError: The float network gives what is no number.
        CardError, ModelNotFoundError, TensorNotFoundError, RuntimeUnavailableError: As in `add`.
    """
    path, folder = path_of(path), path_of(folder)
    wanted = NewCard(embedding, checked(preprocessing), licence, title, nonnegative=nonnegative)
    if not isinstance(least_cosine, Real) or not 0 <= least_cosine <= 1:
        raise InputError(f"{brief(least_cosine)} is no cosine to reach; give a number from 0 to 1.")
    if path.suffix.lower() == ".tflite":
        raise ModelFormatError(
            f"{path} cannot be quantised here, only .onnx can; export the float network as .onnx, "
            "or add it without --quantize."
        )
    if title is None:
        wanted = replace(wanted, title=f"{path.name} in int8, added from a file")
    network = read_new(path, wanted, labels, overwrite=overwrite)
    pictures, skipped = _drawn(folder)
    if note is not None:
        note(f"quantising {path.name} on {len(pictures)} pictures; this takes a while")
    # What there is no room for is refused before the work, not after it.
    with writing(network.target):
        user_models_dir().mkdir(parents=True, exist_ok=True)
        with reserved(network.target.parent, len(network.content) + CARD_ROOM):
            pass
    found = _quantized(network, pictures)
    measured = found["measured"]
    if not measured["cosine"] >= least_cosine:
        raise WeightsError(_refusal(path.name, measured, least_cosine))
    small = network._replace(
        content=base64.b64decode(found["network"]),
        wanted=replace(network.wanted, embedding=found["embedding"]),
    )
    done = Quantized(
        card=try_card(small),
        float_bytes=len(network.content),
        int8_bytes=len(small.content),
        skipped=(*skipped, *found["skipped"]),
        **measured,
    )
    words = f"Made of {path.name} (sha256 {digest(network.content)}) by {found['tool']}: "
    card = replace(done.card, notes=f"{words}{done.words}.")
    return replace(done, card=settle_new(small, card))


def _quantized(network: NewNetwork, pictures: list[str]) -> dict[str, Any]:
    """What a trial makes of a network; see `quantize_and_measure`."""
    request = {
        "wanted": network.wanted.plain(),
        "named": network.labels.classes,
        "pictures": pictures,
        "least": LEAST_PICTURES,
        "share": SHARE,
    }
    limits = _limits(len(pictures))
    return attempt("quantize", network.path.name, network.content, request, limits)


def _drawn(folder: str | Path) -> tuple[list[str], list[str]]:
    """Different pictures, at most `MOST_PICTURES`, in an order drawn by chance; always the same.

    Raises:
        InputError: There are too few.
    """
    found = list_images(folder)
    seen: dict[str, str] = {}
    for one in shuffled(found.pictures):
        try:
            seen.setdefault(digest(ordinary(one).read_bytes()), str(one.resolve()))
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


def _refusal(name: str, measured: dict[str, float], least_cosine: float) -> str:
    """That a network drifts too far, and what to try."""
    # So many digits that the one is seen to be less than the other.
    texts = (f"{measured['cosine']:.{digits}f}" for digits in range(4, 17))
    cosine = next((text for text in texts if float(text) < least_cosine), "nan")
    return (
        f"{name} in int8 is too far from what it is in float: on {measured['held_out']} pictures "
        f"held out the cosine of the embeddings is {cosine} in the mean, and "
        f"{least_cosine:g} is asked for; nothing was added. Try more pictures "
        "of what it will see, the right --mean and --std, another --embedding, or add the float "
        "network without --quantize."
    )
