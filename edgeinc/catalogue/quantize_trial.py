"""Quantising a network and measuring how far it drifts: the part that loads it, in a trial."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeinc.backbone import Backbone
from edgeinc.cards import ModelCard
from edgeinc.catalogue.adding import make_card
from edgeinc.catalogue.drift import cosines, nearest, varies
from edgeinc.catalogue.naming import check_count
from edgeinc.catalogue.newcard import NewCard
from edgeinc.catalogue.reading import proposed
from edgeinc.classifier import OwnClasses
from edgeinc.errors import ImageError, InferenceError, InputError, ModelFormatError, WeightsError
from edgeinc.images import Preparation, read_image
from edgeinc.runtimes import available
from edgeinc.runtimes.layer import Layer
from edgeinc.runtimes.layer_onnx import Dense, dense_behind, with_layer
from edgeinc.runtimes.quantize_onnx import prepared, quantized

__all__ = ["quantize_and_measure"]

ROUNDS = 30
# Of the largest number: what another order of the same sums makes of float32.
ROUNDING = 1e-4


def quantize_and_measure(
    name: str,
    wanted: NewCard,
    *,
    named: int,
    pictures: Sequence[str],
    least: int,
    share: int,
) -> dict[str, Any]:
    """Quantises the network in the working folder. This loads it: only in a trial.

    Args:
        name: Its file.
        wanted: What its card is to say.
        named: How many labels there are.
        pictures: Paths, in the order in which they are to be taken.
        least: How many pictures must be readable.
        share: One of so many judges, the others calibrate.

    Returns:
        `network` in base64; `embedding`, the tensor's name; `measured`, see
        `quantizing.Quantized`; `skipped`, a sentence a picture; `tool`, its name and release.

    Raises:
        EdgeincError: As `quantizing.add_quantized`.
    """
    content = Path(name).read_bytes()
    tensor = proposed(content, "onnx") if wanted.embedding is None else wanted.embedding
    wanted = replace(wanted, embedding=tensor)
    ready = prepared(content, tensor)
    card = replace(make_card(name, content, "onnx", wanted), folder=Path())
    file = card.files[0]
    dense = _dense(content, tensor, card.dim)
    if wanted.labels is not None and dense is not None:
        check_count(wanted.labels.name, named, len(dense.rows))
    shown, skipped = _readable(pictures, max(card.input.height, card.input.width))
    if len(shown) < least:
        raise InputError(
            f"{len(shown)} of the pictures can be read, and quantising needs {least} at least; add "
            f"more of what the network will see.{' For instance: ' + skipped[0] if skipped else ''}"
        )
    judges, calibrating = shown[::share], [p for i, p in enumerate(shown) if i % share]
    held = _embedded(card, judges)
    if not varies(held):
        raise WeightsError(
            f"{name} gives the same embedding {tensor!r} for {len(judges)} different pictures, "
            "which tells nothing of them; name another --embedding, give the right --mean and "
            "--std, or export the trained network again."
        )

    def made(folder: str, network: bytes) -> ModelCard:
        """A card of a network in a folder of its own: any file's name is free there."""
        Path(folder).mkdir()
        (Path(folder) / name).write_bytes(network)
        return replace(make_card(name, network, "onnx", wanted), folder=Path(folder))

    again = _embedded(made("ready", ready), judges[:1])
    if not np.allclose(again, held[:1], atol=ROUNDING * float(np.abs(held[:1]).max()), rtol=0):
        raise ModelFormatError(
            f"{name} computes something else after it was brought to the opset that quantising "
            "needs; export it with opset 13 or later."
        )
    prepare = Preparation(card.input, layout=file.input.layout, dtype="float32")
    inputs = (prepare(read_image(path)) for path in calibrating)
    scratch = Path("scratch")
    scratch.mkdir()
    whole = quantized(ready, tensor, inputs, scratch=scratch)
    step = make_card(name, whole, "onnx", wanted).files[0].embedding.quantization
    own = None if step is None or dense is None else _own(dense, step.scale)
    if own is not None:
        whole = with_layer(whole, own.layer)
    small = made("int8", whole)
    again = _embedded(small, judges)
    if not varies(again):
        raise WeightsError(
            f"{name} in int8 gives the same embedding {tensor!r} for {len(judges)} different "
            "pictures, and in float it does not; name another --embedding, or add the float "
            "network without --quantize."
        )
    measured = _measured(held, again, None if own is None else own.agreement(held, again))
    measured |= _times(card, small)
    (version,) = (info.version for info in available() if info.name == "onnx")
    return {
        "network": base64.b64encode(whole).decode(),
        "embedding": tensor,
        "measured": {"calibrated": len(calibrating), "held_out": len(judges), **measured},
        "skipped": skipped,
        "tool": f"ONNX Runtime {version}",
    }


def _readable(pictures: Sequence[str], side: int) -> tuple[list[str], list[str]]:
    """The pictures that can be decoded, and a sentence for each of the others."""
    shown, skipped = [], []
    for path in pictures:
        try:
            read_image(path, least=side)
        except ImageError as exc:
            skipped.append(str(exc))
        else:
            shown.append(path)
    return shown, skipped


class _Own(NamedTuple):
    """The dense layer behind the embedding: in floats, and as it is kept, with the scale of `q`."""

    dense: Dense
    layer: Layer
    step: float

    def agreement(self, x: NDArray[np.float32], y: NDArray[np.float32]) -> float:
        """Share of pictures whose best class is the same, of float embeddings and of int8."""
        theirs = (x @ self.dense.rows.T + self.dense.bias).argmax(axis=1)
        own = OwnClasses(self.layer, ())
        ours = [int(own.logits(np.rint(row / self.step)).argmax()) for row in y]
        return float((theirs == np.array(ours)).mean())


def _dense(content: bytes, tensor: str, dim: int) -> Dense | None:
    """The single dense layer that lies behind the embedding; None where there is none."""
    try:
        dense = dense_behind(content, tensor)
    except ModelFormatError:
        return None
    return dense if dense.rows.shape[1] == dim else None


def _own(dense: Dense, step: float) -> _Own | None:
    """The network's own classes; None where they cannot be kept in rows of 8 bits."""
    try:
        return _Own(dense, dense.rounded(step), step)
    except ModelFormatError:
        return None


def _measured(
    x: NDArray[np.float32], y: NDArray[np.float32], classes: float | None
) -> dict[str, float | None]:
    """How far float and int8 are apart."""
    alike = cosines(x, y)
    return {
        "cosine": float(alike.mean()),
        "least": float(alike.min()),
        "neighbours": float((nearest(x) == nearest(y)).mean()),
        "classes": classes,
    }


def _times(whole: ModelCard, small: ModelCard) -> dict[str, float | None]:
    """How fast both are."""
    frame = _frame(whole)
    with Backbone.open(whole, threads=1) as a, Backbone.open(small, threads=1) as b:
        times = np.array(list(_turns(a, b, frame)))
    return {
        "float_ms": 1000 * float(np.median(times[:, 0])),
        "int8_ms": 1000 * float(np.median(times[:, 1])),
        "speedup": float(np.median(times[:, 0] / times[:, 1])),
    }


def _embedded(card: ModelCard, pictures: Sequence[str]) -> NDArray[np.float32]:
    """The real values of each picture's embedding, `(n, dim)`.

    Raises:
        InferenceError: They are no numbers.
    """
    with Backbone.open(card, threads=1) as backbone:
        rows = np.stack([backbone.activations(picture).reshape(-1) for picture in pictures])
    if not np.isfinite(rows).all():
        raise InferenceError(
            "The network put out NaN or infinity; give the right --mean and --std, or export the "
            "trained network again."
        )
    return rows


def _frame(card: ModelCard) -> NDArray[np.uint8]:
    """A picture of the network's own size: what is timed is the network."""
    shape = (card.input.height, card.input.width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def _turns(a: Backbone, b: Backbone, frame: NDArray[np.uint8]) -> Iterator[tuple[float, float]]:
    """Seconds of each, in turn, so that a drift of the machine's speed meets both."""
    for turn in range(ROUNDS + 3):
        pair = (a, b) if turn % 2 == 0 else (b, a)
        spent = {}
        for backbone in pair:
            start = time.perf_counter()
            backbone.embed([frame])
            spent[backbone] = time.perf_counter() - start
        if turn >= 3:
            yield spent[a], spent[b]
