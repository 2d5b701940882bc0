"""Fixtures that several rooms share."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

SIDE = 48
SHARED = Path(os.environ.get("EDGEINC_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real pictures and public weights."""
    if not SHARED.is_dir():
        pytest.skip(f"the shared pictures and models are not at {SHARED}")
    return SHARED


def tiny_weights() -> bytes:
    """A small network with random filters: enough to tell drawn parts apart a little."""
    from onnx import TensorProto, checker, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = {
        "mean": np.full((1, 1, 1, 1), 118, np.float32),
        "w1": (rng.standard_normal((24, 3, 5, 5)) / 400).astype(np.float32),
        "w2": (rng.standard_normal((64, 24, 3, 3)) / 12).astype(np.float32),
    }
    node = helper.make_node
    nodes = [
        node("Cast", ["picture"], ["real"], to=TensorProto.FLOAT),
        node("Sub", ["real", "mean"], ["centred"]),
        node("Transpose", ["centred"], ["planar"], perm=[0, 3, 1, 2]),
        node("Conv", ["planar", "w1"], ["c1"], strides=[2, 2], pads=[2, 2, 2, 2]),
        node("Relu", ["c1"], ["r1"]),
        node("Conv", ["r1", "w2"], ["c2"], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Relu", ["c2"], ["maps"]),
        node("GlobalAveragePool", ["maps"], ["pooled"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("picture", TensorProto.UINT8, [1, SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("pooled", TensorProto.FLOAT, [1, 64, 1, 1])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


CARD = """\
schema: 1
name: tiny
title: Random filters, for tests
licence: Apache-2.0
homepage: https://example.org/tiny
network: tiny
input: {{height: {side}, width: {side}, color: RGB, mean: [0, 0, 0], std: [1, 1, 1], crop: center}}
layer: pooled
dim: 64
nonnegative: true
files:
- name: tiny.onnx
  runtime: onnx
  bytes: {bytes}
  sha256: {sha256}
  input: {{layout: NHWC, dtype: uint8, scale: 1.0, zero_point: 0}}
  embedding: {{tensor: pooled, dtype: float32}}
"""


@pytest.fixture(scope="session")
def tiny_card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The card of a tiny network with its weights beside it."""
    pytest.importorskip("onnx", reason="the tiny network is built with it")
    content = tiny_weights()
    folder = tmp_path_factory.mktemp("cards")
    (folder / "tiny.onnx").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    card = folder / "tiny.yaml"
    card.write_text(CARD.format(side=SIDE, bytes=len(content), sha256=digest), encoding="utf-8")
    return card


def photo(kind: int, seed: int) -> np.ndarray:
    """A picture of a kind of thing that even random filters tell apart: stripes of a colour."""
    # Steps of the golden angle keep colours apart for any number of kinds.
    turn = 2.4 * kind + np.array([0, 2.1, 4.2])
    colour, angle, period = 128 + 120 * np.cos(turn), 2.4 * kind, 4 + 3 * (kind % 3)
    rng = np.random.default_rng((kind, seed))
    y, x = np.mgrid[:60, :64]
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period + rng.uniform(0, 6))
    picture = colour * (0.7 + 0.3 * wave[..., None]) * rng.uniform(0.8, 1.1)
    return np.clip(picture + rng.normal(0, 8, (60, 64, 3)), 0, 255).astype(np.uint8)
