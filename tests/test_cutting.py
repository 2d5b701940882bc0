"""Cutting a network at a tensor: the same numbers as the uncut one, and nothing behind it."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinc import runtimes
from edgeinc.errors import EdgeincError, ModelFormatError, TensorNotFoundError
from edgeinc.runtimes import cut_onnx, cut_tflite, open_session
from edgeinc.runtimes.base import TensorSpec
from tests import tiny_networks as tiny

pytest.importorskip("ai_edge_litert", reason="cutting .tflite files needs its schema")
onnx = pytest.importorskip("onnx", reason="cutting .onnx files needs it")

SHARED = Path(os.environ.get("EDGEINC_SHARED", Path(__file__).parents[2] / "shared"))
MODELS = SHARED / "models"


def real(name: str) -> bytes:
    """A public model from the shared folder."""
    path = MODELS / name
    if not path.is_file():
        pytest.skip(f"{name} is not in the folder of shared models")
    return path.read_bytes()


def picture(spec: TensorSpec, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if spec.dtype == "float32":
        return rng.normal(size=spec.shape).astype(np.float32)
    limits = np.iinfo(spec.dtype)
    return rng.integers(limits.min, limits.max + 1, spec.shape).astype(spec.dtype)


def tflite_truth(model: bytes, tensor: str, x: np.ndarray) -> np.ndarray:
    """What the uncut network computes at a tensor, by LiteRT's own debugging option."""
    from ai_edge_litert.interpreter import Interpreter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        net = Interpreter(model_content=model, experimental_preserve_all_tensors=True)
    net.allocate_tensors()
    index = next(d["index"] for d in net.get_tensor_details() if d["name"] == tensor)
    net.set_tensor(net.get_input_details()[0]["index"], x)
    net.invoke()
    return net.get_tensor(index)


def onnx_truth(model: bytes, tensor: str, x: np.ndarray) -> np.ndarray:
    """What the uncut network computes at a tensor, by one more output."""
    import onnxruntime

    proto = onnx.load_model_from_string(model)
    if tensor not in [o.name for o in proto.graph.output]:
        proto.graph.output.add(name=tensor)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    return session.run([tensor], {session.get_inputs()[0].name: x})[0]


TRUTH: dict[str, Callable[[bytes, str, np.ndarray], np.ndarray]] = {
    "litert": tflite_truth,
    "onnx": onnx_truth,
}


def agree(model: bytes, runtime: str, tensors: list[str], pictures: int = 2) -> None:
    """Cut at each tensor; the numbers must be those of the uncut network, bit for bit."""
    for tensor in tensors:
        with open_session(model, runtime, output=tensor) as session:
            for seed in range(pictures):
                x = picture(session.input, seed)
                y = session.run(x)
                truth = TRUTH[runtime](model, session.output.name, x)
                assert (y.shape, y.dtype) == (truth.shape, truth.dtype)
                assert truth.min() < truth.max(), f"{tensor}: the picture is too dull"
                np.testing.assert_array_equal(y, truth)


@pytest.mark.parametrize(
    ("make", "runtime"),
    [
        (tiny.tflite_classifier, "litert"),
        (tiny.onnx_classifier, "onnx"),
        (tiny.onnx_float, "onnx"),
        (tiny.onnx_open_batch, "onnx"),
    ],
)
def test_every_tensor_of_a_tiny_network(make: Callable[[], bytes], runtime: str) -> None:
    model = make()
    inspection = runtimes.inspect(model, runtime)
    assert len(inspection.candidates) >= 3
    agree(model, runtime, [c.spec.name for c in inspection.candidates])
    for candidate in inspection.candidates:
        with open_session(model, runtime, output=candidate.spec.name) as session:
            # The batch that a file leaves open is one picture in a session.
            shape = tuple(1 if n == -1 else n for n in candidate.spec.shape)
            assert session.output == replace(candidate.spec, shape=shape)
    assert inspection.proposed is not None
    assert inspection.candidates[0] == inspection.proposed
    assert np.prod(inspection.proposed.spec.shape[1:]) == 4


@pytest.mark.parametrize(
    ("name", "deep"),
    [
        ("mobilenet_v1_0.25_128_quant.tflite", "MobilenetV1/Logits/AvgPool_1a/AvgPool"),
        ("mobilenet_v2_1.0_224_quant.tflite", "MobilenetV2/Logits/AvgPool"),
        ("tf2_mobilenet_v2_1.0_224_ptq.tflite", None),
        ("tf2_mobilenet_v2_1.0_224_ptq.onnx", None),
    ],
)
def test_real_networks(name: str, deep: str | None) -> None:
    model = real(name)
    runtime = "onnx" if name.endswith(".onnx") else "litert"
    inspection = runtimes.inspect(model, runtime)
    assert inspection.proposed is not None
    assert deep in (None, inspection.proposed.spec.name)
    assert inspection.proposed.spec.scale is not None
    inner = [c.spec.name for c in inspection.candidates[1:]]
    agree(model, runtime, [inspection.proposed.spec.name, *inner[:: len(inner) // 3]], 1)
    with open_session(model, runtime, output=inspection.proposed.spec.name) as session:
        assert session.output == inspection.proposed.spec
    cutter = cut_onnx.cut if runtime == "onnx" else cut_tflite.cut
    assert len(cutter(model, inspection.proposed.spec.name)) < 0.72 * len(model)


def test_the_pooled_layer_of_the_float_kind_stays_float() -> None:
    proposed = runtimes.inspect(tiny.onnx_float(), "onnx").proposed
    assert proposed is not None
    assert proposed.spec == TensorSpec("pool", (1, 4), "float32")
    assert proposed.operator == "ReduceMean"


@pytest.mark.parametrize("asked", ["pool", "flat", "flat_q", "flat_dq"])
def test_a_float_tensor_gives_the_integers_that_belong_to_it(asked: str) -> None:
    """`pool` is float; the network flattens it and goes on with `flat_q`."""
    with open_session(tiny.onnx_classifier(), "onnx", output=asked) as session:
        scale = float(np.float32(0.01))
        assert session.output == TensorSpec("flat_q", (1, 4), "uint8", scale, 0)
        assert (session.input.scale, session.input.zero_point) == (1 / 128, 128)


def test_a_float_tensor_without_integers_stays_float() -> None:
    with open_session(tiny.onnx_classifier(), "onnx", output="conv") as session:
        assert session.output == TensorSpec("conv", (1, 4, 3, 3), "float32")


def test_integer_layers_tell_their_quantisation() -> None:
    from onnx import helper

    nodes = [
        helper.make_node(
            "QLinearGlobalAveragePool",
            ["x", "s", "z", "t", "z"],
            ["pool"],
            domain="com.microsoft",
            channels_last=0,
        ),
        helper.make_node("Flatten", ["pool"], ["flat"]),
        helper.make_node("DequantizeLinear", ["flat", "t", "z"], ["y"]),
    ]
    weights = {"s": np.float32(0.5), "t": np.float32(0.25), "z": np.uint8(3)}
    arrays = {name: np.asarray(value) for name, value in weights.items()}
    model = tiny.onnx_file(nodes, [("x", "UINT8", (1, 2, 4, 4))], [("y", "FLOAT", (1, 2))], arrays)
    for asked, name, shape in (("pool", "pool", (1, 2, 1, 1)), ("y", "flat", (1, 2))):
        cut = cut_onnx.cut(model, asked)
        with open_session(cut, "onnx", output=asked) as session:
            assert session.output == TensorSpec(name, shape, "uint8", 0.25, 3)


@pytest.mark.parametrize(
    ("make", "runtime", "asked", "near"),
    [
        (tiny.tflite_classifier, "litert", "Pool", "'pool'"),
        (tiny.tflite_classifier, "litert", "zzz", "'logits'"),
        (tiny.tflite_classifier, "litert", "kernel", "no tensor named 'kernel'"),
        (tiny.tflite_classifier, "litert", "picture", "no tensor named 'picture'"),
        (tiny.onnx_classifier, "onnx", "pol", "'pool'"),
        (tiny.onnx_classifier, "onnx", "zzz", "'answer'"),
        (tiny.onnx_classifier, "onnx", "kernel_dq", "no tensor named 'kernel_dq'"),
        (tiny.onnx_classifier, "onnx", "picture", "no tensor named 'picture'"),
    ],
)
def test_a_tensor_that_is_not_computed(
    make: Callable[[], bytes], runtime: str, asked: str, near: str
) -> None:
    with pytest.raises(TensorNotFoundError, match=near):
        open_session(make(), runtime, output=asked)


def unpacked(model: bytes) -> Any:
    import ai_edge_litert.schema_py_generated as schema

    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(model), 0))


def test_what_stays_in_a_cut_tflite_file() -> None:
    model = tiny.tflite_classifier()
    cut = cut_tflite.cut(model, "pool")
    net = unpacked(cut)
    (graph,) = net.subgraphs
    names = [t.name.decode() for t in graph.tensors]
    assert names == ["picture", "first", "kernel", "bias", "layer", "axes", "pool"]
    assert len(graph.operators) == len(net.operatorCodes) == 3
    assert net.signatureDefs is None
    assert [m.name for m in net.metadata] == [b"min_runtime_version"]
    assert len(net.buffers) == 5  # the empty one, kernel, bias, axes, the least version
    assert net.buffers[0].data is None
    assert len(cut) < len(model)
    assert cut_tflite.cut(cut, "pool") == cut
    assert cut_tflite.cut(model, "pool") == cut


def test_weights_lie_at_multiples_of_sixteen_bytes() -> None:
    cut = cut_tflite.cut(tiny.tflite_classifier(), "layer")
    for weights in (tiny.KERNEL.tobytes(), tiny.BIAS.tobytes()):
        assert cut.count(weights) == 1
        assert cut.index(weights) % 16 == 0


def test_what_stays_in_a_cut_onnx_file() -> None:
    model = tiny.onnx_classifier()
    cut = cut_onnx.cut(model, "pool")
    proto = onnx.load_model_from_string(cut)
    onnx.checker.check_model(proto, full_check=True)
    assert not {"dense", "s_out", "z_out"} & {t.name for t in proto.graph.initializer}
    assert [n.op_type for n in proto.graph.node][-3:] == [
        "GlobalAveragePool",
        "Flatten",
        "QuantizeLinear",
    ]
    assert [o.name for o in proto.graph.output] == ["flat_q"]
    assert cut_onnx.cut(model, "pool") == cut


def test_a_cut_onnx_file_opens_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = cut_onnx.cut(tiny.onnx_classifier(), "pool")
    monkeypatch.setitem(sys.modules, "onnx", None)
    for output in (None, "pool", "flat_q"):
        with open_session(cut, "onnx", output=output) as session:
            assert session.output.name == "flat_q"
            assert session.output.scale == float(np.float32(0.01))


def test_branches_of_a_tflite_network() -> None:
    model = tiny.tflite_branching()
    x = np.array([[1, 2]], np.float32)
    with open_session(model, "litert") as session:
        np.testing.assert_array_equal(session.run(x), 8 * x)
    with open_session(model, "litert", output="doubled") as session:
        np.testing.assert_array_equal(session.run(x), 2 * x)
    assert len(unpacked(cut_tflite.cut(model, "doubled")).subgraphs) == 1
    with pytest.raises(ModelFormatError, match="branches or loops"):
        open_session(model, "litert", output="chosen")


def test_branches_and_functions_of_an_onnx_network() -> None:
    """A branch reads `a` from outside itself; a function is the file's own."""
    from onnx import TensorProto, helper

    double = helper.make_function(
        "ours", "Double", ["p"], ["q"], [helper.make_node("Add", ["p", "p"], ["q"])],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    out = helper.make_tensor_value_info("then", TensorProto.FLOAT, (1, 2))
    branch = helper.make_graph([helper.make_node("Add", ["a", "x"], ["then"])], "t", [], [out])
    nodes = [
        helper.make_node("Double", ["x"], ["a"], domain="ours"),
        helper.make_node("If", ["yes"], ["b"], then_branch=branch, else_branch=branch),
        helper.make_node("Double", ["b"], ["c"], domain="ours"),
        helper.make_node("Neg", ["c"], ["y"]),
    ]
    ends = [("x", "FLOAT", (1, 2))], [("y", "FLOAT", (1, 2))]
    model = tiny.onnx_file(nodes, *ends, {"yes": np.array([True])}, [double])
    x = np.array([[1, 2]], np.float32)
    for tensor, factor in (("a", 2), ("b", 3), ("c", 6)):
        with open_session(model, "onnx", output=tensor) as session:
            np.testing.assert_array_equal(session.run(x), factor * x)


def test_weights_in_another_file_are_refused() -> None:
    proto = onnx.load_model_from_string(tiny.onnx_float())
    kernel = proto.graph.initializer[0]
    kernel.ClearField("raw_data")
    kernel.data_location = onnx.TensorProto.EXTERNAL
    kernel.external_data.add(key="location", value="../weights.bin")
    model = proto.SerializeToString()
    with pytest.raises(ModelFormatError, match="single file"):
        cut_onnx.cut(model, "b")
    with pytest.raises(ModelFormatError):
        open_session(model, "onnx")


def test_nodes_in_a_circle_are_refused() -> None:
    from onnx import helper

    nodes = [
        helper.make_node("Identity", ["b"], ["a"]),
        helper.make_node("Identity", ["a"], ["b"]),
        helper.make_node("Add", ["x", "a"], ["y"]),
    ]
    model = tiny.onnx_file(nodes, [("x", "FLOAT", (1, 2))], [("y", "FLOAT", (1, 2))])
    with pytest.raises(ModelFormatError, match="no earlier node"):
        cut_onnx.cut(model, "a")


@pytest.mark.parametrize(
    ("make", "runtime"), [(tiny.tflite_classifier, "litert"), (tiny.onnx_classifier, "onnx")]
)
def test_mutated_files_give_typed_errors_or_work(make: Callable[[], bytes], runtime: str) -> None:
    model = make()
    rng = np.random.default_rng(11)
    refused = 0
    for _ in range(120):
        mutant = bytearray(model)
        for place in rng.integers(0, len(mutant), 3):
            mutant[place] = rng.integers(0, 256)
        try:
            runtimes.inspect(bytes(mutant), runtime)
            with open_session(bytes(mutant), runtime, output="pool", threads=1) as session:
                session.run(picture(session.input))
        except EdgeincError:
            refused += 1
    assert 0 < refused < 120
