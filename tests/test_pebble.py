"""The embedded backbone as it ships: its card, both files, its golden embeddings."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinc.backbone import Backbone
from edgeinc.cards import ModelCard
from edgeinc.features import to_features
from edgeinc.parts import draw_part
from edgeinc.runtimes import installed
from edgeinc.weights import find_card, load_background

LARGEST_WEIGHTS = 3_000_000
LARGEST_BACKGROUND = 1_000_000
GOLDEN_BLOCKS = Path(__file__).parent / "golden" / "blocks.json"
SIDE = 96


@pytest.fixture(scope="module")
def card() -> ModelCard:
    """Its card."""
    return find_card("pebble")


@pytest.fixture(scope="module")
def golden(card: ModelCard) -> list[dict[str, Any]]:
    """Drawn parts and what their embeddings were when the network was made."""
    assert card.folder is not None
    rows: list[dict[str, Any]] = json.loads((card.folder / "pebble.golden.json").read_text())
    return rows


def pictures(golden: list[dict[str, Any]]) -> Iterator[NDArray[np.uint8]]:
    """The parts, drawn again."""
    for row in golden:
        yield draw_part(row["kind"], np.random.default_rng(row["seed"]))


def integers(golden: list[dict[str, Any]]) -> NDArray[np.uint8]:
    """The embeddings that they had."""
    return np.array([list(bytes.fromhex(row["embedding"])) for row in golden], np.uint8)


def cosine(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """The least cosine of two embeddings of one picture."""
    x, y = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in map(np.float64, (a, b)))
    return float((x * y).sum(1).min())


def test_card_and_files_are_small_and_whole(card: ModelCard) -> None:
    assert card.folder is not None
    assert [file.runtime for file in card.files] == ["litert", "onnx"]
    for asset in card.assets:
        data = (card.folder / asset.name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == asset.sha256
        assert len(data) == asset.bytes <= LARGEST_WEIGHTS
    assert card.nonnegative
    assert card.dim <= 512


def test_background_is_there(card: ModelCard) -> None:
    background = load_background(card)
    assert background is not None
    assert card.background is not None
    assert card.background.bytes <= LARGEST_BACKGROUND
    assert background.count >= 20_000
    assert background.mean.shape == (card.dim,)
    assert 0.2 < np.linalg.norm(background.mean) < 1


@pytest.mark.parametrize("runtime", ["litert", "onnx"])
def test_golden_embeddings(card: ModelCard, golden: list[dict[str, Any]], runtime: str) -> None:
    if runtime not in installed():
        pytest.skip(f"no package for {runtime} is installed")
    shown = list(pictures(golden))
    with Backbone.open(card, runtime=runtime, threads=1) as backbone:
        found = backbone.embed(shown)
    expected = integers(golden)
    drawn_alike = [
        hashlib.sha256(picture.tobytes()).hexdigest() == row["picture"]
        for picture, row in zip(shown, golden, strict=True)
    ]
    # Another OpenCV may draw a pixel differently; another processor may round one integer.
    assert cosine(found, expected) > (0.999 if all(drawn_alike) else 0.98)


def blocks(n: int) -> NDArray[np.uint8]:
    """A picture of n x n blocks, of the size that the network takes: no OpenCV has a part in it."""
    colours = np.random.default_rng(n).integers(0, 256, (n, n, 3), np.uint8)
    return colours.repeat(SIDE // n, 0).repeat(SIDE // n, 1)


@pytest.mark.parametrize("runtime", ["litert", "onnx"])
def test_blocks_embed_as_on_other_processors(card: ModelCard, runtime: str) -> None:
    """The file was made on x86-64, where both runtimes give the same integers."""
    if runtime not in installed():
        pytest.skip(f"no package for {runtime} is installed")
    kept = json.loads(GOLDEN_BLOCKS.read_text(encoding="utf-8"))
    with Backbone.open(card, runtime=runtime, threads=1) as backbone:
        found = backbone.embed([blocks(int(n)) for n in kept])
    expected = np.array([list(bytes.fromhex(row)) for row in kept.values()])
    # tflite-runtime 2.14 rounds otherwise, on x86-64 as on Arm.
    old = runtime == "litert" and importlib.util.find_spec("ai_edge_litert") is None
    assert np.abs(found.astype(int) - expected).max() <= (2 if old else 1)


def test_kinds_of_parts_are_told_apart(card: ModelCard, golden: list[dict[str, Any]]) -> None:
    kinds = sorted({row["kind"] for row in golden})
    rng = np.random.default_rng(7)
    with Backbone.open(card, threads=1) as backbone:
        taught = [backbone.embed([draw_part(kind, rng) for _ in range(5)]) for kind in kinds]
        shown = [backbone.embed([draw_part(kind, rng) for _ in range(5)]) for kind in kinds]
    means = np.stack([to_features(rows, nonnegative=True).mean(0) for rows in taught])
    means -= means.mean(0)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    right = [
        (to_features(rows, nonnegative=True) @ means.T).argmax(1) == i
        for i, rows in enumerate(shown)
    ]
    assert np.mean(right) > 2 / len(kinds)
