"""Backbones: from pictures to canonical integers, on real networks and on functions."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgeinc.backbone import Backbone, to_integers, unit_length
from edgeinc.cards import InputSpec, Quantization
from edgeinc.errors import (
    CardError,
    ChecksumError,
    DeviceError,
    ImageError,
    InferenceError,
    InputError,
    ModelNotFoundError,
    TensorNotFoundError,
)
from edgeinc.weights import find_card, weights_dir
from tests.absent import run_without

SHARED = Path(os.environ.get("EDGEINC_SHARED", Path(__file__).parents[2] / "shared")) / "models"
SMALL = "mobilenet_v1_0.25_128_quant"
V2 = "tf2_mobilenet_v2_1.0_224_ptq"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds the weights of every public card."""
    if not SHARED.is_dir():
        pytest.skip("the public weights are not here; EDGEINC_SHARED names their folder's parent")
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def install(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    monkeypatch.setenv("EDGEINC_CACHE", str(cache))

    def install(name: str) -> Path:
        card = find_card(name)
        folder = weights_dir(card)
        folder.mkdir(parents=True, exist_ok=True)
        for file in card.files:
            (folder / file.name).write_bytes((SHARED / file.name).read_bytes())
        return folder

    return install


def pictures(n: int, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Smooth random pictures, so that a resize or a codec does not change them much."""
    rng = np.random.default_rng(seed)
    coarse = [rng.integers(0, 256, (6, 8, 3), np.uint8) for _ in range(n)]
    return [cv2.resize(c, (320, 240), interpolation=cv2.INTER_CUBIC) for c in coarse]


def mean_color(x: NDArray[Any]) -> NDArray[Any]:
    return x.mean(axis=(1, 2)).astype(np.float32)


# -- integers ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "zero_point", "nonnegative", "expected"),
    [
        (np.uint8, 0, True, np.uint8),
        (np.int8, -128, True, np.uint8),
        (np.uint8, 3, True, np.uint8),
        (np.int8, 5, True, np.uint8),
        (np.uint8, 128, False, np.int16),
        (np.int8, 0, False, np.int16),
        (np.int8, -128, False, np.int16),
    ],
)
def test_quantised_outputs_become_distances_from_zero(
    dtype: type, zero_point: int, nonnegative: bool, expected: type
) -> None:
    info = np.iinfo(dtype)
    every = np.arange(info.min, info.max + 1).astype(dtype)
    found = to_integers(every.reshape(1, 16, 16), Quantization(0.5, zero_point), nonnegative)
    truth = every.astype(int) - zero_point
    assert found.dtype == expected
    assert found.tolist() == (np.maximum(truth, 0) if nonnegative else truth).tolist()


@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=50))
@settings(max_examples=80)
def test_float_outputs_become_fixed_point(values: list[float]) -> None:
    x = np.array(values, np.float32)
    found = to_integers(x, None, False).astype(float)
    most = np.abs(x).max()
    assert np.abs(found).max() == (32767 if most > 0 else 0)
    assert np.abs(found * float(most) / 32767 - x).max() <= float(most) / 32767 * 0.5001
    # A power of two changes no mantissa, so the integers stay the same.
    assert to_integers(x * np.float32(4), None, False).tolist() == found.tolist()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_network_that_puts_out_nonsense_is_an_error(bad: float) -> None:
    with pytest.raises(InferenceError, match="NaN or infinity"):
        to_integers(np.array([1.0, bad], np.float32), None, False)


def test_unit_length() -> None:
    rows = unit_length(np.array([[3, 4], [0, 0], [-32767, 0]], np.int16))
    assert rows.dtype == np.float32
    assert rows.tolist() == [[np.float32(0.6), np.float32(0.8)], [0, 0], [-1, 0]]


# -- functions -----------------------------------------------------------------------


def test_a_function_is_a_backbone() -> None:
    backbone = Backbone.from_function(mean_color, name="mean", size=(4, 6), dim=3, nonnegative=True)
    assert (backbone.dim, backbone.runtime, backbone.device) == (3, "function", "mean")
    assert (backbone.least, backbone.dtype) == (6, np.int16)
    blue = np.zeros((40, 60, 3), np.uint8)
    blue[:, :, 0] = 200
    assert backbone.embed([blue, blue]).tolist() == [[32767, 0, 0]] * 2
    assert backbone.embed([]).shape == (0, 3)
    assert backbone.to_float(backbone.embed([blue])).tolist() == [[1.0, 0.0, 0.0]]
    assert backbone.activations(blue).tolist() == [200, 0, 0]
    assert len(backbone.file_sha256) == 64


def test_functions_of_other_names_and_sizes_are_other_backbones() -> None:
    made = [
        Backbone.from_function(mean_color, name=name, size=size, dim=3).card.fingerprint
        for name, size in [("a", (4, 4)), ("b", (4, 4)), ("a", (4, 5)), ("a", (4, 4))]
    ]
    assert len(set(made)) == 3
    assert made[0] == made[3]


def test_functions_that_are_no_backbone() -> None:
    with pytest.raises(InputError, match="name"):
        Backbone.from_function(mean_color, name=" ", size=(4, 4), dim=3)
    with pytest.raises(InputError, match="gives 3 numbers, not 4"):
        Backbone.from_function(mean_color, name="mean", size=(4, 4), dim=4)
    with pytest.raises(InputError, match="int32"):
        Backbone.from_function(lambda x: x.astype(np.int32), name="wide", size=(4, 4), dim=48)


def test_many_pictures_keep_their_order_and_report_what_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    with Backbone.from_function(mean_color, name="mean", size=(4, 4), dim=3) as backbone:
        given = [*pictures(3), tmp_path / "bad.jpg"]
        rows, warnings = backbone.embed_many(given, skip_unreadable=True)
        assert [row is None for row in rows] == [False, False, False, True]
        assert len(warnings) == 1
        assert "bad.jpg" in warnings[0]
        assert np.array_equal(np.array(rows[:3]), backbone.embed(given[:3]))
        with pytest.raises(ImageError, match=r"bad\.jpg"):
            backbone.embed_many(given)


# -- networks ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "runtime", "dim"), [(SMALL, "litert", 256), (V2, "litert", 1280), (V2, "onnx", 1280)]
)
def test_public_cards_open_and_embed(
    install: Callable[[str], Path], name: str, runtime: str, dim: int
) -> None:
    install(name)
    with Backbone.open(name, runtime=runtime) as backbone:
        assert (backbone.dim, backbone.runtime, backbone.shape) == (dim, runtime, (dim,))
        given = pictures(2)
        found = backbone.embed(given)
        assert (found.shape, found.dtype) == ((2, dim), np.uint8)
        assert backbone.dtype == found.dtype
        assert np.array_equal(found, backbone.embed(given))
        assert not np.array_equal(found[0], found[1])
        assert np.allclose(np.linalg.norm(backbone.to_float(found), axis=1), 1)
        # The layer's real values are the integers times the scale.
        scale = find_card(name).files[0].embedding.quantization
        assert scale is not None
        assert np.allclose(backbone.activations(given[0]), found[0] * np.float32(scale.scale))


def test_both_files_of_a_card_are_the_same_network(install: Callable[[str], Path]) -> None:
    install(V2)
    with Backbone.open(V2) as first, Backbone.open(V2, runtime="onnx") as second:
        assert first.runtime == "litert"
        assert first.card.fingerprint == second.card.fingerprint
        a, b = (np.stack(body.to_float(body.embed(pictures(4)))) for body in (first, second))
    assert (a * b).sum(axis=1).min() > 0.99


def test_many_pictures_at_once_are_the_same_integers(
    install: Callable[[str], Path], tmp_path: Path
) -> None:
    install(SMALL)
    paths = []
    for i, picture in enumerate(pictures(20)):
        paths.append(tmp_path / f"{i}.png")
        cv2.imwrite(str(paths[-1]), picture)
    paths.insert(7, tmp_path / "missing.png")
    with Backbone.open(SMALL, threads=2) as backbone:
        rows, warnings = backbone.embed_many(paths, skip_unreadable=True)
        assert rows.pop(7) is None
        assert len(warnings) == 1
        del paths[7]
        assert np.array_equal(np.array(rows), backbone.embed(paths))
        with pytest.raises(ImageError, match=r"missing\.png"):
            backbone.embed_many([*paths, tmp_path / "missing.png"])
    with pytest.raises(InferenceError, match="closed"):
        backbone.embed_many(paths)


def test_the_cut_network_is_cached_and_checked(install: Callable[[str], Path], cache: Path) -> None:
    install(SMALL)
    shutil.rmtree(cache / "cut", ignore_errors=True)
    picture = pictures(1)
    with Backbone.open(SMALL) as backbone:
        before = backbone.embed(picture)
    kept = {path: path.read_bytes() for path in (cache / "cut").iterdir()}
    assert kept
    for path in kept:
        # Damaged in the middle: it would load and run, and only the sha256 tells.
        blob = bytearray(kept[path])
        blob[len(blob) // 2] ^= 255
        path.write_bytes(blob)
    with Backbone.open(SMALL) as backbone:
        assert np.array_equal(backbone.embed(picture), before)
    assert {path: path.read_bytes() for path in kept} == kept


def test_a_cache_that_cannot_be_written_costs_time_only(
    install: Callable[[str], Path], cache: Path
) -> None:
    install(SMALL)
    card = replace(find_card(SMALL), folder=weights_dir(find_card(SMALL)))
    with pytest.MonkeyPatch.context() as patch:
        (cache / "file").write_bytes(b"")
        patch.setenv("EDGEINC_CACHE", str(cache / "file" / "below"))
        with Backbone.open(card) as backbone:
            assert backbone.embed(pictures(1)).shape == (1, 256)


def test_any_layer(install: Callable[[str], Path]) -> None:
    install(SMALL)
    inner = (
        "MobilenetV1/MobilenetV1/Conv2d_13_pointwise/Relu6;"
        "MobilenetV1/MobilenetV1/Conv2d_13_pointwise/add_fold;"
        "MobilenetV1/MobilenetV1/Conv2d_13_pointwise/Conv2D_Fold;"
        "MobilenetV1/MobilenetV1/Conv2d_13_pointwise/BatchNorm_Fold/bias"
    )
    with Backbone.open(SMALL) as whole, Backbone.open(SMALL, tensor=inner) as backbone:
        assert backbone.shape == (4, 4, 256)
        assert backbone.dim == 4 * 4 * 256
        assert backbone.card.fingerprint != whole.card.fingerprint
        picture = pictures(1)[0]
        pooled = backbone.activations(picture).mean(axis=(0, 1))
        # The network pools integers, and rounds once more.
        assert np.abs(pooled - whole.activations(picture)).max() < 0.03
    with pytest.raises(TensorNotFoundError, match="AvgPool"):
        Backbone.open(SMALL, tensor="MobilenetV1/Logits/AvgPool")


def test_weights_that_are_missing_or_damaged(install: Callable[[str], Path]) -> None:
    folder = install(SMALL)
    path = folder / f"{SMALL}.tflite"
    sound = path.read_bytes()
    path.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    with pytest.raises(ChecksumError, match="models pull"):
        Backbone.open(SMALL)
    path.unlink()
    with pytest.raises(ModelNotFoundError, match=f"edgeinc models pull {SMALL}"):
        Backbone.open(SMALL)


def test_one_file_of_a_card_is_enough(install: Callable[[str], Path]) -> None:
    folder = install(V2)
    (folder / f"{V2}.tflite").unlink()
    with Backbone.open(V2) as backbone:
        assert backbone.file_name == f"{V2}.onnx"


def test_a_device_of_another_runtime(install: Callable[[str], Path]) -> None:
    install(SMALL)
    folder = install(V2)
    device = "CPUExecutionProvider"
    with Backbone.open(V2, device=device) as backbone:
        assert (backbone.runtime, backbone.device) == ("onnx", device)
    with pytest.warns(RuntimeWarning, match=rf"no \.onnx file, which {device} needs"):
        backbone = Backbone.open(SMALL, device=device)
    with backbone:
        assert (backbone.runtime, backbone.device) == ("litert", "CPU")
    with pytest.raises(DeviceError, match="choose another model or device"):
        Backbone.open(SMALL, device=device, strict=True)
    (folder / f"{V2}.onnx").unlink()
    with pytest.warns(RuntimeWarning, match=rf"^{V2}\.onnx is not installed.* used instead\.$"):
        Backbone.open(V2, device=device).close()
    with pytest.raises(ModelNotFoundError, match=rf"{V2}\.onnx is not installed"):
        Backbone.open(V2, device=device, strict=True)
    with pytest.raises(DeviceError, match=r"needs the \.onnx file"):
        Backbone.open(V2, runtime="litert", device=device, strict=True)


CORE = """
from edgeinc.catalogue import describe, verify
from edgeinc.weights import find_card
from edgeinc.backbone import Backbone
from edgeinc.errors import RuntimeUnavailableError

card = find_card(sys.argv[1])
print(describe(card).runtime, describe(card).missing)
found = verify(card)
print(found.ok, found.advice)
try:
    print(Backbone.open(card).file_name)
except RuntimeUnavailableError as exc:
    print(exc)
"""


def test_a_core_install_names_every_way_out(
    install: Callable[[str], Path], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (SMALL, V2):
        install(name)
    (tmp_path / "weights").symlink_to(cache / "weights")
    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path))
    without = ("ai_edge_litert", "tflite_runtime", "onnx")
    both = r"LiteRT .*edgeinc\[litert\]'.* onnx.*edgeinc\[onnx\]'"
    for name, ways in ((SMALL, r"LiteRT .*edgeinc\[litert\]'"), (V2, both)):
        done = run_without(CORE, name, modules=without)
        assert done.returncode == 0, done.stderr
        listed, verified, opened = done.stdout.splitlines()
        assert re.match(f"litert .*{ways}", listed)
        assert re.match(f"False {ways}", verified)
        assert re.search(ways, opened)
    # What was cut before needs no package for cutting any more.
    Backbone.open(V2, runtime="onnx").close()
    done = run_without(CORE, V2, modules=without)
    assert done.stdout.splitlines()[::2] == ["onnx None", f"{V2}.onnx"], done.stderr


def test_the_embedded_network_runs_in_a_core_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path))
    done = run_without(CORE, "pebble", modules=("ai_edge_litert", "tflite_runtime", "onnx"))
    lines = done.stdout.splitlines()
    assert lines[::2] == ["onnx None", "pebble.onnx"], done.stderr
    assert lines[1].startswith("True")


def test_a_card_that_does_not_fit_its_weights(install: Callable[[str], Path]) -> None:
    install(SMALL)
    card = find_card(SMALL)
    file = card.files[0]
    spec = InputSpec(127, 128, "RGB", card.input.mean, card.input.std, "center")
    wrong = [
        replace(card, dim=255),
        replace(card, input=spec),
        replace(card, files=(replace(file, input=replace(file.input, dtype="int8")),)),
        replace(card, files=(replace(file, input=replace(file.input, layout="NCHW")),)),
        replace(
            card,
            files=(
                replace(
                    file,
                    embedding=replace(file.embedding, quantization=Quantization(0.02, 1)),
                ),
            ),
        ),
    ]
    for changed in wrong:
        with pytest.raises(CardError, match="correct the card"):
            Backbone.open(changed)
    with pytest.raises(CardError, match="no file for runtime 'onnx'"):
        Backbone.open(card, runtime="onnx")
    with pytest.raises(ModelNotFoundError, match=SMALL):
        Backbone.open("mobilenet_v1_0.25_128")
