"""The frozen records that a model card is read into.

A card is one network. Its files are that network for several runtimes: what is said of the
card (preprocessing, embedding, dimension) holds for each of them, what is said of a file
(layout, dtype, quantisation, tensor name) for that file alone. The file that comes first
is preferred where several can run.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

__all__ = [
    "Asset",
    "Classifier",
    "Color",
    "Crop",
    "DType",
    "EmbeddingTensor",
    "InputSpec",
    "InputTensor",
    "Layout",
    "ModelCard",
    "ModelFile",
    "Quantization",
    "RuntimeName",
]

Color = Literal["RGB", "BGR"]
Crop = Literal["center", "squash"]
Layout = Literal["NHWC", "NCHW"]
DType = Literal["uint8", "int8", "float32"]
RuntimeName: TypeAlias = str
"""`litert`, `onnx`, or a name that `edgeinc.runtimes.offered` knows."""


@dataclass(frozen=True, slots=True)
class Quantization:
    """Affine quantisation of a tensor: `real = scale * (q - zero_point)`."""

    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True)
class InputSpec:
    """How a picture becomes what the network was trained on: `real = (pixel - mean) / std`.

    Attributes:
        height: Pixels.
        width: Pixels.
        color: Order of the three channels.
        mean: Of each channel in that order, in units of the pixel, 0 to 255.
        std: Of each channel in that order, in units of the pixel; positive.
        crop: `center` takes the largest centred part of the input's shape, `squash` the
            whole picture, out of proportion.
    """

    height: int
    width: int
    color: Color
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop: Crop


@dataclass(frozen=True, slots=True)
class InputTensor:
    """A file's input: its layout and what its numbers mean (float32 has no quantisation)."""

    layout: Layout
    dtype: DType
    quantization: Quantization | None


@dataclass(frozen=True, slots=True)
class EmbeddingTensor:
    """A file's embedding: the tensor's name there, and what its numbers mean."""

    tensor: str
    dtype: DType
    quantization: Quantization | None


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that belongs to a card: name, size in bytes, sha256 in hex, and http address."""

    name: str
    bytes: int
    sha256: str
    source: str | None


@dataclass(frozen=True, slots=True)
class Classifier:
    """The network's own classes: the dense layer that its file has behind the embedding.

    Attributes:
        classes: How many.
        sha256: Of the layer's numbers as `runtimes.layer.Layer` packs them, in hex: the same
            from each of the card's files.
    """

    classes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ModelFile(Asset):
    """Weights for one runtime.

    Attributes:
        runtime: That reads them: `litert`, `onnx`, a vendor's, or one that a package offers.
        input: The network's input.
        embedding: Its embedding.
        device: The only device that they are for, as a caller asks for it; None for any.
    """

    runtime: RuntimeName
    input: InputTensor
    embedding: EmbeddingTensor
    device: str | None = None


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A backbone.

    Attributes:
        name: Stem of its weight file.
        title: One line for people.
        licence: SPDX identifier of the weights' licence, or words.
        homepage: Where it comes from, None where that is nowhere.
        network: Architecture and weights, in words that nothing else answers to.
        input: Preprocessing.
        layer: The layer that is the embedding, in words that hold for every file.
        dim: Length of the embedding.
        nonnegative: True when no embedding is ever below zero (after ReLU and pooling).
        files: The weights, the preferred file first.
        labels: Names of the classifier's own classes, one a line.
        classifier: The layer that tells them apart, read from the weights.
        background: Statistics of embeddings of unrelated pictures (`features.Background`).
        notes: What it was trained on, what it is for, its limits.
        folder: Where the card was read from; no part of what the card says.
    """

    name: str
    title: str
    licence: str
    homepage: str | None
    network: str
    input: InputSpec
    layer: str
    dim: int
    nonnegative: bool
    files: tuple[ModelFile, ...]
    labels: Asset | None = None
    classifier: Classifier | None = None
    background: Asset | None = None
    notes: str | None = None
    folder: Path | None = field(default=None, compare=False)

    @property
    def fingerprint(self) -> str:
        """What binds a store to this backbone: sha256 in hex of all that shapes an embedding.

        Network, preprocessing, layer, dimension, and whether it can be below zero, which
        decides how features are made of it; not the files, which are the same network in
        several forms, cut or uncut.
        """
        shape = {"network": self.network, "layer": self.layer, "dim": self.dim}
        sign = {"nonnegative": self.nonnegative}
        text = json.dumps({**shape, **sign, "input": asdict(self.input)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def assets(self) -> tuple[Asset, ...]:
        """Every file that the card names: weights, then labels and background."""
        return (*self.files, *(a for a in (self.labels, self.background) if a is not None))
