"""Providers of ONNX Runtime whose packages are large: `make test-accelerators`.

Each needs an environment of its own; where its package is not installed, its tests are skipped.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeinc import Backbone
from edgeinc.bench import bench
from edgeinc.cache import digest
from edgeinc.doctor import uses
from edgeinc.errors import (
    DeviceError,
    DeviceLibraryError,
    DeviceNotFoundError,
    DeviceRefusedError,
    InputError,
)
from edgeinc.runtimes import available, open_session
from edgeinc.weights import find_card
from tests import tiny_networks as tiny
from tests.absent import run_without
from tests.conftest import photo

pytest.importorskip("onnx", reason="the tiny networks are built with it")
ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

QNN = "QNNExecutionProvider"
HTP = f"{QNN},backend_type=htp"
OPENVINO = "OpenVINOExecutionProvider"
PICTURES = [photo(kind, seed) for kind in range(8) for seed in range(3)]

needs_qnn = pytest.mark.skipif(
    importlib.util.find_spec("onnxruntime_qnn") is None or platform.machine() != "x86_64",
    reason="onnxruntime-qnn with its simulation for x86-64 is not installed",
)
needs_openvino = pytest.mark.skipif(
    OPENVINO not in ort.get_available_providers(), reason="onnxruntime-openvino is not installed"
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path))
    return tmp_path / "compiled"


def cosines(device: str) -> np.ndarray:
    """Of the embedded backbone's embeddings on the device, all of it, and on the CPU."""
    card = find_card("pebble")
    with (
        Backbone.open(card, runtime="onnx", device=device, strict=True) as there,
        Backbone.open(card, runtime="onnx", device="cpu") as here,
    ):
        assert there.placement == (device, device.split(",")[0], 1.0, 1.0, ())
        a, b = there.embed(PICTURES).astype(float), here.embed(PICTURES).astype(float)
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@needs_qnn
def test_qualcomms_simulated_npu_runs_all_of_the_embedded_backbone(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert cosines(HTP).min() >= 0.995
    assert capfd.readouterr() == ("", "")


@needs_qnn
def test_what_qualcomms_provider_compiled_is_kept(cache: Path) -> None:
    model = (Path(__file__).parents[1] / "models" / "pebble" / "pebble.onnx").read_bytes()

    def run(device: str = HTP) -> bytes:
        with open_session(model, "onnx", device=device, strict=True) as session:
            assert session.placement.nodes == 1.0
            shape, dtype = session.input.shape, session.input.dtype
            numbers = np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
            return session.run(numbers).tobytes()

    first = run()
    (kept,) = cache.iterdir()
    content = kept.read_bytes()
    head, blob = content[64:].split(b"\n", 1)
    assert content[:64] == digest(content[64:]).encode()
    assert len(json.loads(head)[0]) > 100
    assert b"EPContext" in blob
    stamp = kept.stat().st_mtime_ns
    assert run() == first
    assert kept.stat().st_mtime_ns == stamp
    # Damaged, or whole and yet no network: it is compiled again.
    for bad in (content[:-1], digest(head + b"\nno network").encode() + head + b"\nno network"):
        kept.write_bytes(bad)
        assert run() == first
        assert kept.read_bytes()[64:].startswith(head)
        assert len(kept.read_bytes()) > len(content) // 2
    assert run(f"{HTP},htp_performance_mode=burst") == first
    assert len(list(cache.iterdir())) == 2


@needs_qnn
def test_operators_that_qualcomms_provider_leaves_are_named() -> None:
    model = tiny.named(tiny.onnx_odd())
    with pytest.raises(DeviceRefusedError, match="NonZero") as caught:
        open_session(model, "onnx", device=HTP, strict=True)
    assert any("NonZero" in name for name in caught.value.operators)
    session = open_session(model, "onnx", device=HTP)
    asked, ran, nodes, macs, left = session.placement
    assert (asked, ran, macs) == (HTP, f"{QNN}+CPUExecutionProvider", 1.0)
    assert nodes is not None
    assert 0 < nodes < 1
    assert left == caught.value.operators


@needs_qnn
def test_what_an_older_onnxruntime_tells(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    # Releases before 1.24 have no such call, and tell by a profile of one run.
    name = "get_provider_graph_assignment_info"
    owner = next(kind for kind in ort.InferenceSession.__mro__ if name in vars(kind))
    monkeypatch.delattr(owner, name)
    assert cosines(HTP).min() >= 0.995
    assert not cache.exists()
    model = tiny.named(tiny.onnx_odd())
    with pytest.raises(DeviceRefusedError, match="NonZero") as caught:
        open_session(model, "onnx", device=HTP, strict=True)
    session = open_session(model, "onnx", device=HTP)
    assert session.placement[:4] == (HTP, f"{QNN}+CPUExecutionProvider", None, None)
    assert session.placement.left == caught.value.operators
    with pytest.raises(DeviceRefusedError, match="took no part"):
        open_session(model, "onnx", device="AzureExecutionProvider", strict=True)


@needs_qnn
def test_questions_that_qualcomms_provider_does_not_answer() -> None:
    model = tiny.onnx_classifier()
    for device, kind, says in (
        (f"{QNN},backend_path=/nowhere.so", DeviceLibraryError, r"/nowhere\.so .* is not here"),
        (f"{QNN},backend_path=libNowhere.so", DeviceRefusedError, "took no part"),
        (f"{QNN},hardware=npu", DeviceNotFoundError, "knows no npu here"),
        ("npu", DeviceNotFoundError, "finds no NPU"),
        (
            f"{QNN},htp_performance_mode=burst",
            DeviceRefusedError,
            r"network \(Could not determine default backend path for device\); name its chip: "
            r"`QNNExecutionProvider,backend_type=htp,htp_performance_mode=burst`\.$",
        ),
        (f"{QNN},backend_type=nonsense", InputError, "give cpu, genie, gpu, htp"),
        (f"{HTP},vtcm_mb=abc", InputError, "give a whole number"),
    ):
        with pytest.raises(kind, match=says):
            open_session(model, "onnx", device=device, strict=True)
    # It passes over options that it does not know, without a word.
    with pytest.warns(RuntimeWarning, match="did you mean htp_performance_mode"):
        open_session(model, "onnx", device=f"{HTP},htp_perf_mode=burst")


@needs_qnn
def test_the_example_in_the_documentation() -> None:
    text = (Path(__file__).parents[1] / "docs" / "devices.md").read_text(encoding="utf-8")
    device = text.split('device="', 1)[1].split('"', 1)[0]
    assert device.startswith(QNN)
    with open_session(tiny.onnx_classifier(), "onnx", device=device, strict=True) as session:
        assert session.device == QNN


@needs_qnn
def test_auto_leaves_a_simulation_alone() -> None:
    with Backbone.open("pebble") as backbone:
        assert backbone.device in ("CPU", "CPUExecutionProvider")


@needs_openvino
def test_openvino_runs_all_of_the_embedded_backbone(capfd: pytest.CaptureFixture[str]) -> None:
    device = f"{OPENVINO},device_type=CPU"
    assert cosines(device).min() >= 0.995
    # What it compiles for the CPU does not load again: that is noted, and it runs all the same.
    assert cosines(device).min() >= 0.995
    assert capfd.readouterr() == ("", "")


@needs_openvino
@pytest.mark.parametrize(
    ("device", "says"),
    [
        (f"{OPENVINO},device_type=NPU", "does not start.*NPU is not available"),
        (f"{OPENVINO},nonsense=1", "Invalid OpenVINO EP option: nonsense"),
        ("npu", "NPU is not available"),
    ],
)
def test_openvino_says_why_it_does_not_start(
    device: str, says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    if Path("/dev/accel/accel0").exists():
        pytest.skip("there is an NPU here")
    model = tiny.onnx_classifier()
    for strict in (True, False):
        with pytest.raises(DeviceError, match=says):
            open_session(model, "onnx", device=device, strict=strict)
    with pytest.warns(RuntimeWarning, match=says):
        backbone = Backbone.open("pebble", runtime="onnx", device=device)
    with backbone:
        assert backbone.placement == (device, "CPUExecutionProvider", 1.0, 1.0, ())
    assert capfd.readouterr() == ("", "")


@needs_qnn
def test_the_simulated_npu_is_listed_and_measured() -> None:
    card = find_card("pebble")
    found = {use.runtime: use for use in uses(card, available())}
    assert HTP in found["onnx"].devices
    report = bench(card, seconds=0.01, threads=1)
    rows = [row for row in report.rows if row.device == QNN]
    assert [(row.placement.asked, row.placement.nodes, row.threads) for row in rows] == [
        (HTP, 1.0, 1)
    ]
    assert "CPUExecutionProvider" in [row.device for row in report.rows]


BY_LIBRARY = """
from dataclasses import replace
from edgeinc.doctor import uses
from edgeinc.runtimes import available
from edgeinc.weights import find_card
card = find_card("pebble")
(file,) = (file for file in card.files if file.runtime == "onnx")
card = replace(card, files=(replace(file, device=sys.argv[1]),))
print(uses(card, available())[0].missing)
"""


@needs_qnn
def test_doctor_sees_a_plugin_that_only_the_card_names() -> None:
    package = importlib.import_module("onnxruntime_qnn")
    said = []
    for library in (package.get_library_path(), "/nowhere/libqnn.so"):
        device = f"{QNN},library={library},backend_type=htp"
        done = run_without(BY_LIBRARY, device, modules=("onnxruntime_qnn",))
        said.append(done.stdout.splitlines()[-1])
    assert said[0] == "None"
    assert "/nowhere/libqnn.so" in said[1]


def test_a_package_for_an_npu_is_expected_where_it_is() -> None:
    code = "from edgeinc.runtimes import expects_npu; print(expects_npu('onnx'))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    there = importlib.util.find_spec("onnxruntime_qnn") is not None
    there = there or OPENVINO in ort.get_available_providers()
    assert found.stdout.split() == [str(there)]
