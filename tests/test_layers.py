"""Taking a classifier's rows out of a network: they give the network's own logits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeinc.backbone import Backbone
from edgeinc.cache import digest
from edgeinc.catalogue import add, pull, verify
from edgeinc.classifier import OwnClasses, load_classifier, make_rows, read_rows
from edgeinc.errors import CardError, EdgeincError, ModelFormatError, TensorNotFoundError
from edgeinc.runtimes import layer_onnx, layer_tflite, open_session
from edgeinc.runtimes.layer import Layer
from edgeinc.weights import find_card, list_cards, load_labels
from tests import tiny_networks as tiny
from tests.colours import NAMES, ROWS, colour_card, network

pytest.importorskip("ai_edge_litert", reason="rows of .tflite classifiers are read with its schema")
pytest.importorskip("onnx", reason="rows of .onnx classifiers are read with it")

Read = Callable[[bytes, str], Layer]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("model", "read", "runtime", "tensor", "step"),
    [
        (tiny.tflite_classifier, layer_tflite.layer_behind, "litert", "pool", 0.03),
        (tiny.onnx_classifier, layer_onnx.layer_behind, "onnx", "pool", 0.03),
    ],
)
def test_rows_give_the_networks_logits(
    model: Callable[[], bytes], read: Read, runtime: str, tensor: str, step: float
) -> None:
    content = model()
    own = OwnClasses(read(content, tensor), "abc")
    with (
        open_session(content, runtime, output=tensor) as cut,
        open_session(content, runtime, output="logits") as whole,
    ):
        zero, inside = 0, 0
        for seed in range(20):
            rng = np.random.default_rng(seed)
            x = rng.integers(0, 256, cut.input.shape).astype(np.uint8)
            q = cut.run(x).astype(np.int16).reshape(-1) - (cut.output.zero_point or 0)
            out = whole.run(x).reshape(-1)
            assert whole.output.zero_point is not None
            theirs = (out.astype(float) - whole.output.zero_point) * step
            limits = np.iinfo(out.dtype)
            sound = (out > limits.min) & (out < limits.max)
            np.testing.assert_allclose(own.logits(q)[sound], theirs[sound], atol=step / 2 + 1e-6)
            zero, inside = zero + len(out), inside + int(sound.sum())
        assert inside > zero / 2


def test_rows_are_as_they_were_written() -> None:
    layer = layer_tflite.layer_behind(network(last="SOFTMAX"), "pool")
    np.testing.assert_array_equal(layer.rows.astype(int) - layer.zero, ROWS)
    assert layer.rows.dtype == np.int8
    assert layer.scale.shape == (5,)
    each = layer_tflite.layer_behind(network(kind="int8"), "pool")
    np.testing.assert_array_equal(each.rows, ROWS)
    assert len(set(each.scale.tolist())) == 5


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (lambda: network(layers=2), "FULLY_CONNECTED lies there"),
        (lambda: network(activation=1), "activation"),
        (lambda: network(layers=0), "only output"),
        (lambda: network(last="LOGISTIC"), "LOGISTIC lies there"),
    ],
)
def test_what_is_no_classifier_is_told(content: Callable[[], bytes], why: str) -> None:
    with pytest.raises(ModelFormatError, match=why):
        layer_tflite.layer_behind(content(), "pool")


def test_float_networks_have_no_rows() -> None:
    with pytest.raises(ModelFormatError, match="floats"):
        layer_onnx.layer_behind(tiny.onnx_float(), "pool")


@pytest.mark.parametrize("read", [layer_tflite.layer_behind, layer_onnx.layer_behind])
def test_cut_off_files_are_errors_of_ours(read: Read) -> None:
    content = network() if read is layer_tflite.layer_behind else tiny.onnx_classifier()
    with pytest.raises(TensorNotFoundError):
        read(content, "nothing")
    for size in range(0, len(content) - 64, 97):
        with pytest.raises(EdgeincError):
            read(content[:size], "pool")


def test_damaged_files_are_errors_of_ours() -> None:
    """Of `.onnx`; damaged `.tflite` files may crash LiteRT, and are tried in another process."""
    content = tiny.onnx_classifier()
    rng = np.random.default_rng(5)
    caught = 0
    for _ in range(300):
        damaged = bytearray(content)
        for at in rng.integers(0, len(damaged), 3):
            damaged[at] = rng.integers(0, 256)
        try:
            layer = layer_onnx.layer_behind(bytes(damaged), "pool")
        except EdgeincError:
            caught += 1
        else:
            # Only a checksum tells these from the right ones; they are sound all the same.
            assert np.isfinite(layer.scale).all()
            assert layer.bias.shape == layer.scale.shape == layer.rows.shape[:1]
    assert 20 < caught < 300


def test_packed_rows_are_read_strictly() -> None:
    layer = layer_tflite.layer_behind(network(), "pool")
    packed = layer.pack()
    assert Layer.unpack(packed).pack() == packed
    for wrong in (b"", packed[:-1], packed + b"\0", b"x" + packed[1:], b"\0" * len(packed)):
        with pytest.raises(ModelFormatError):
            Layer.unpack(wrong)
    # More classes than any file holds.
    huge = bytearray(packed)
    huge[8:12] = (2**32 - 1).to_bytes(4, "little")
    with pytest.raises(ModelFormatError):
        Layer.unpack(bytes(huge))


@pytest.mark.parametrize(
    ("weights", "scale"),
    [
        (np.ones((1, 3), np.int8), np.ones(1)),
        (np.ones((3, 0), np.int8), np.ones(1)),
        (np.ones((3, 3), np.int16), np.ones(1)),
        (np.ones((3, 3), np.int8), np.ones(2)),
        (np.ones((3, 3), np.int8), np.zeros(1)),
        (np.ones((3, 3), np.int8), np.array([1.0, np.nan, 1.0])),
        (np.ones((3, 3), np.int8), np.array([np.inf])),
    ],
)
def test_parts_must_fit(weights: np.ndarray, scale: np.ndarray) -> None:
    with pytest.raises(ModelFormatError):
        Layer.of(weights, 0, np.zeros(3, np.int32), scale)


def test_a_model_that_is_added_gets_its_classes(tmp_path: Path) -> None:
    colour_card(tmp_path / "from")
    weights, names = tmp_path / "from" / "colours.tflite", tmp_path / "from" / "colours.txt"
    card = add(weights, labels=names)
    assert card.classifier is not None
    assert card.classifier.classes == 5
    assert load_classifier(card, weights.name).labels == NAMES
    assert verify("colours").ok
    # A card that means other rows cannot be used.
    path = tmp_path / "cache" / "models" / "colours" / "colours.yaml"
    path.write_text(path.read_text().replace(card.classifier.sha256, "0" * 64))
    assert not verify("colours").ok
    names.write_text("one\ntwo\n")
    with pytest.raises(CardError, match="names 2 classes and the network has 5"):
        add(weights, labels=names, overwrite=True)


def test_a_model_without_a_classifier_is_added_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "two.tflite").write_bytes(network(layers=2))
    assert add(tmp_path / "two.tflite").classifier is None


def test_public_networks(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows in the shared weights are those that the cards mean, from every file of a card."""
    monkeypatch.setenv("EDGEINC_MODELS", str(shared / "models"))
    with_classes = [card for card in list_cards() if card.classifier is not None]
    assert len(with_classes) == 6
    for card in with_classes:
        for file in card.files:
            layer = read_rows((shared / "models" / file.name).read_bytes(), file)
            assert card.classifier is not None
            assert digest(layer.pack()) == card.classifier.sha256
            assert layer.rows.shape == (card.classifier.classes, card.dim)


def test_a_public_network_agrees_with_itself(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEINC_MODELS", str(shared / "models"))
    pulled = pull("mobilenet_v1_0.25_128_quant")
    assert (pulled.classes, pulled.without) == (1001, None)
    card = find_card("mobilenet_v1_0.25_128_quant")
    assert len(load_labels(card)) == len(make_rows(card).rows)
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (9, 9, 3)).astype(np.uint8) for _ in range(3)]
    step = 0.13083284
    with (
        Backbone.open(card, threads=1) as cut,
        Backbone.open(card, threads=1, tensor="MobilenetV1/Logits/SpatialSqueeze1") as whole,
    ):
        own = load_classifier(card, cut.file_name)
        for picture in pictures:
            theirs = whole.embed([picture])[0] * step
            # Half a step, and what its own fixed-point factor is off, which differs by processor.
            logits = own.logits(cut.embed([picture])[0])
            np.testing.assert_allclose(logits, theirs, atol=0.51 * step)


@pytest.mark.parametrize("kind", ["MatMul", "Gemm", "Conv"])
def test_rows_of_float_networks(kind: str) -> None:
    """In 8 bits, a scale each: logits within what that rounds off."""
    from onnx import helper

    rng = np.random.default_rng(4)
    rows = rng.normal(size=(6, 8)) * rng.uniform(0.01, 3, size=(6, 1))
    rows[5] = 0
    bias = rng.normal(size=6)
    shaped = {"MatMul": rows.T, "Gemm": rows, "Conv": rows[:, :, None, None]}[kind]
    weights = {"w": shaped.astype(np.float32), "b": bias.astype(np.float32)}
    given = {"MatMul": {}, "Gemm": {"transB": 1}, "Conv": {}}[kind]
    inputs = ["pool", "w"] if kind == "MatMul" else ["pool", "w", "b"]
    nodes = [helper.make_node("ReduceMean", ["x"], ["pool"], axes=[2, 3], keepdims=kind == "Conv")]
    nodes.append(helper.make_node(kind, inputs, ["dense"], **given))
    if kind == "MatMul":
        nodes.append(helper.make_node("Add", ["dense", "b"], ["logits"]))
    nodes.append(helper.make_node("Softmax", [nodes[-1].output[0]], ["y"]))
    ends = ("x", "FLOAT", (1, 8, 4, 4)), ("y", "FLOAT", (1, 6))
    content = tiny.onnx_file(nodes, [ends[0]], [ends[1]], weights)
    dense = layer_onnx.dense_behind(content, "pool")
    np.testing.assert_allclose(dense.rows, rows, rtol=1e-6)
    np.testing.assert_allclose(dense.bias, bias, rtol=1e-6)
    q = rng.integers(0, 256, 8)
    own = OwnClasses(dense.rounded(0.02), "abcdef")
    most = np.abs(rows).max(axis=1) / 127 / 2 * 0.02 * q.sum() + np.abs(rows).max(axis=1) * 0.02
    assert (np.abs(own.logits(q) - (rows @ (0.02 * q) + bias)) <= most + 0.01).all()
    with pytest.raises(ModelFormatError, match="embedding is of floats"):
        layer_onnx.layer_behind(content, "pool")
