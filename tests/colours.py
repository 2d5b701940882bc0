"""A classifier of five colours: small enough to be built on the spot, and it really knows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgeinc.cache import digest
from edgeinc.cards import Asset, ModelCard, dump_card, read_card
from edgeinc.catalogue.adding import make_card
from edgeinc.catalogue.newcard import NewCard
from tests.tiny_networks import TfliteBuilder, make

NAMES = ("red", "green", "blue", "white", "black")
# Of mean red, green and blue, 0 to 255: for each class what speaks for it.
ROWS = np.array([[2, -1, -1], [-1, 2, -1], [-1, -1, 2], [1, 1, 1], [-1, -1, -1]]) * 30
BIAS = np.array([0, 0, 0, -9000, 9000])
SIDE = 8


def network(*, kind: str = "uint8", layers: int = 1, activation: int = 0, last: str = "") -> bytes:
    """Picture -> mean colour `pool` -> dense layer -> logits.

    Args:
        kind: Of the numbers: `uint8` has one zero point for all rows, `int8` a scale for each.
        layers: Dense layers; only of one can the rows be taken for a classifier's.
        activation: Of the last layer, as the schema counts them.
        last: An operator behind the logits.
    """
    net = TfliteBuilder()
    schema = net.schema
    least = 0 if kind == "uint8" else -128
    picture = net.tensor("picture", (1, SIDE, SIDE, 3), kind, quantization=(1.0, least))
    axes = net.tensor("axes", (2,), "int32", data=np.array([1, 2], np.int32))
    at = net.tensor("pool", (1, 1, 1, 3), kind, quantization=(1.0, least))
    net.operator("MEAN", [picture, axes], [at], make(schema.ReducerOptionsT, keepDims=True), 2)
    for layer in range(layers):
        rows = ROWS if layer == 0 else np.eye(5, dtype=int) * 30
        zero = 100 if kind == "uint8" else 0
        numbers = (rows + zero).astype(kind)
        kernel = net.tensor(
            f"k{layer}", rows.shape, kind, quantization=(0.0005, zero), data=numbers
        )
        if kind == "int8":
            parameters = net.graph.tensors[kernel].quantization
            parameters.scale = np.linspace(0.0004, 0.0006, 5).astype(np.float32)
            parameters.zeroPoint = np.zeros(5, np.int64)
        shift = net.tensor(
            f"b{layer}", (5,), "int32", quantization=(0.0005, 0), data=BIAS.astype(np.int32)
        )
        logits = net.tensor(f"logits{layer}", (1, 5), kind, quantization=(0.1, least + 128))
        options = make(schema.FullyConnectedOptionsT, fusedActivationFunction=activation)
        net.operator("FULLY_CONNECTED", [at, kernel, shift], [logits], options, 4)
        at = logits
    if last:
        answer = net.tensor("answer", (1, 5), kind, quantization=(1 / 256, least))
        options = make(schema.SoftmaxOptionsT, beta=1.0) if last == "SOFTMAX" else None
        net.operator(last, [at], [answer], options)
        at = answer
    return net.build([picture], [at])


def colour_card(folder: Path, content: bytes | None = None, names: Any = NAMES) -> ModelCard:
    """The card of such a network, read from a folder where all its files lie."""
    content = network() if content is None else content
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{name}\n" for name in names).encode()
    (folder / "colours.tflite").write_bytes(content)
    (folder / "colours.txt").write_bytes(lines)
    card = make_card(
        "colours.tflite",
        content,
        "litert",
        NewCard(
            embedding="pool",
            licence="Apache-2.0",
            labels=Asset("colours.txt", len(lines), digest(lines), None) if names else None,
            nonnegative=True,
        ),
    )
    (folder / "colours.yaml").write_text(dump_card(card), encoding="utf-8")
    return read_card(folder / "colours.yaml")


def paint(red: int, green: int, blue: int, seed: int = 0) -> np.ndarray:
    """A picture of one colour, a little uneven: BGR, as OpenCV has it."""
    noise = np.random.default_rng(seed).normal(0, 4, (SIDE, SIDE, 3))
    return np.clip(np.array([blue, green, red]) + noise, 0, 255).astype(np.uint8)
