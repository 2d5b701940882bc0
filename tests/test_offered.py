"""Runtimes that other packages offer, and the vendors' that come with edgeinc.

The chips of the latter are stand-ins, in `tests/vendors`, that behave as the published
interfaces say: see docs/runtimes.md for what that leaves untested.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinc import Engine, runtimes
from edgeinc.backbone import Backbone
from edgeinc.cards import ModelCard, dump_card, parse_card, read_card
from edgeinc.catalogue import add, describe, verify
from edgeinc.classifier import read_rows
from edgeinc.devices import Device
from edgeinc.doctor import examine
from edgeinc.errors import (
    CardError,
    DeviceError,
    DeviceNotFoundError,
    DeviceRefusedError,
    InferenceError,
    InputError,
    ModelFormatError,
    RuntimeUnavailableError,
    TensorNotFoundError,
)
from edgeinc.runtimes import offered, open_session
from tests.absent import ROOT, before_others
from tests.conftest import photo

EXAMPLE = ROOT / "examples" / "runtime_package"
VENDORS = Path(__file__).parent / "vendors"
SIDE, DIM = 16, 12
CARD = """\
schema: 1
name: {name}
title: Means
licence: Apache-2.0
network: means of rows
input: {{height: 16, width: 16, color: RGB, mean: [0, 0, 0], std: [1, 1, 1], crop: squash}}
layer: mean
dim: 12
nonnegative: true
files:
- name: {name}{suffix}
  runtime: {runtime}
  bytes: {bytes}
  sha256: {sha256}
  input: {{layout: NHWC, dtype: uint8, scale: 1.0, zero_point: 0}}
  embedding: {{tensor: means, dtype: {dtype}}}
"""


def write_card(folder: Path, runtime: str, suffix: str, content: bytes, dtype: str) -> Path:
    (folder / f"means{suffix}").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    said = {"bytes": len(content), "sha256": digest, "dtype": dtype}
    text = CARD.format(name="means", runtime=runtime, suffix=suffix, **said)
    (folder / "means.yaml").write_text(text, encoding="utf-8")
    return folder / "means.yaml"


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str) -> ModuleType:
    """A vendor's stand-in where its package would be, as new; gone when the test ends."""
    monkeypatch.syspath_prepend(VENDORS)
    package = name.split(".")[0]
    found = importlib.import_module(name)
    for module in [m for m in sys.modules if m.split(".")[0] == package]:
        monkeypatch.setitem(sys.modules, module, sys.modules.pop(module))
    return found


# --- A package of somebody else's, really installed


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The worked example, built and installed by pip into a folder of its own."""
    for module in ("pip", "hatchling"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module}, which installs the example, is not here")
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    how = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(folder)]
    done = subprocess.run([*pip, *how, str(EXAMPLE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (folder / "edgeinc_numpy").is_dir()
    return folder


def test_the_worked_example_as_an_installed_package(site: Path, tmp_path: Path) -> None:
    env = {**os.environ, "EDGEINC_CACHE": str(tmp_path / "cache")}
    env["PYTHONPATH"] = before_others(site)

    def run(*words: object) -> str:
        command = [sys.executable, *map(str, words)]
        done = subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(EXAMPLE / "make_model.py", "filters")
    for kind in range(3):
        (tmp_path / "photos" / f"kind {kind}").mkdir(parents=True)
        for seed in range(4):
            name = tmp_path / "photos" / f"kind {kind}" / f"{seed}.png"
            assert cv2.imwrite(str(name), photo(kind, seed))
    shell = ("-m", "edgeinc", "--json", "--backbone", "filters/filters.yaml", "--store", "s.db")
    found = json.loads(run(*shell, "doctor"))
    here = {one["name"]: one for one in found["runtimes"]}
    assert here["numpy"] == {"name": "numpy", "version": np.__version__, "devices": ["CPU"]}
    assert json.loads(run(*shell, "enroll", "--from", "photos"))["added"] == 12
    found = json.loads(run(*shell, "models", "verify", "filters/filters.yaml"))
    assert found["ok"], found
    (row,) = json.loads(run(*shell, "--threads", "1", "bench", "--seconds", "0.1"))["rows"]
    assert (row["runtime"], row["device"], row["placement"]["nodes"]) == ("numpy", "CPU", 1.0)
    assert cv2.imwrite(str(tmp_path / "new.png"), photo(1, 99))
    answer = json.loads(run(*shell, "--device", "numpy", "--strict", "predict", "new.png"))
    assert (answer["label"], answer["device"]) == ("kind 1", "CPU")
    # Its weights are an .npz file, as statistics are.
    for seed in range(100):
        name = tmp_path / "photos" / f"{seed}.png"
        assert cv2.imwrite(str(name), photo(seed % 7, seed)[:48, :48])
    done = json.loads(
        run("-m", "edgeinc", "--json", "models", "background", "filters/filters.yaml", "photos")
    )
    assert done["count"] == 112
    assert read_card(tmp_path / "filters" / "filters.yaml").background is not None


def test_the_worked_example_holds_to_the_contract(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(site)
    subprocess.run([sys.executable, EXAMPLE / "make_model.py", tmp_path], check=True)
    card = read_card(tmp_path / "filters.yaml")
    assert "numpy" in offered.names()
    assert "numpy" in runtimes.installed()
    with Backbone.open(card) as backbone:
        assert (backbone.runtime, backbone.device, backbone.dim) == ("numpy", "CPU", 64)
        first = backbone.embed([photo(0, 0)])
        many, _ = backbone.embed_many([photo(0, 0)] * 20)
        assert all(np.array_equal(row, first[0]) for row in many)
    with pytest.raises(InputError, match="no options"):
        Backbone.open(card, device="numpy,fast=1")
    # A card may give its device another name; the options reach the runtime all the same.
    with pytest.raises(InputError, match="no options"):
        Backbone.open(replace(card, files=(replace(card.files[0], device="chip0,fast=1"),)))
    with pytest.raises(TensorNotFoundError, match="No file can be cut at 'layer0'"):
        Backbone.open(card, tensor="layer0")
    content = (tmp_path / "filters.npz").read_bytes()
    with pytest.raises(InputError, match="give `ends`"):
        open_session(content, "numpy")
    for wrong in (b"no network", content[:-100]):
        (tmp_path / "filters.npz").write_bytes(wrong)
        text = (tmp_path / "filters.yaml").read_text(encoding="utf-8")
        digest = hashlib.sha256(wrong).hexdigest()
        text = text.replace(card.files[0].sha256, digest)
        text = text.replace(f"bytes: {len(content)}", f"bytes: {len(wrong)}")
        with pytest.raises(ModelFormatError, match="make it again"):
            Backbone.open(parse_card(text, tmp_path))


# --- Packages that are broken

BROKEN = {
    "missing": ("gone_module:Runtime", "", "does not load.*gone_module"),
    "nothing": ("half_made:Nothing", "", "does not load"),
    "stray": ("half_made:stray", "stray = 3", "is 3, no subclass"),
    "abstract": (
        "half_made:Bare",
        "from edgeinc.runtimes import Runtime\n"
        "class Bare(Runtime):\n    name, suffix, install = 'abstract', '.x', 'wait'",
        "does not load.*abstract",
    ),
    "renamed": (
        "half_made:Other",
        "from edgeinc.runtimes import Runtime\n"
        "class Other(Runtime):\n    name, suffix, install = 'other', '.x', 'wait'",
        "calls itself 'other'",
    ),
    "falls": (
        "half_made:X",
        "raise ZeroDivisionError('at import')",
        "ZeroDivisionError: at import",
    ),
}


@pytest.fixture
def half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes a package with an entry point, as pip leaves it, and puts it on the path."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(name: str, value: str, code: str, package: str = "half-made") -> None:
        info = tmp_path / f"{package.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[edgeinc.runtimes]\n{name} = {value}\n")
        (tmp_path / "half_made.py").write_text(code + "\n")
        importlib.invalidate_caches()

    yield make
    sys.modules.pop("half_made", None)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_package_is_named(name: str, half_made: Any, tmp_path: Path) -> None:
    value, code, words = BROKEN[name]
    half_made(name, value, code)
    with pytest.raises(RuntimeUnavailableError, match="half-made.*" + words):
        offered.find(name)
    # It harms nobody else.
    _, problems = offered.survey()
    assert [one for one in problems if "half-made" in one] == [*problems]
    assert len(problems) == 1
    assert name not in runtimes.installed()
    card = read_card(write_card(tmp_path, name, ".x", b"x", "float32"))
    with pytest.raises(RuntimeUnavailableError, match="half-made"):
        Backbone.open(card)


def test_names_that_are_taken(half_made: Any) -> None:
    half_made("onnx", "half_made:X", "")
    assert "offers a runtime 'onnx'" in offered.survey()[1][0]
    half_made("twice", "half_made:X", "", "first")
    half_made("twice", "half_made:X", "", "second")
    with pytest.raises(RuntimeUnavailableError, match="offered by first and second"):
        offered.find("twice")


LATE = """
from edgeinc.runtimes import Runtime, RuntimeInfo
class Late(Runtime):
    name, suffix, install = "late", ".x", "wait"
    def installed(self):
        return True
    def info(self):
        raise KeyError("no driver")
    def open(self, content, **more):
        RETURN
"""


def test_a_package_that_fails_when_it_is_used(half_made: Any, tmp_path: Path) -> None:
    half_made("late", "half_made:Late", LATE.replace("RETURN", "return content[9]"))
    assert "KeyError" in offered.survey()[1][0]
    card = read_card(write_card(tmp_path, "late", ".x", b"x", "float32"))
    with pytest.raises(ModelFormatError, match=r"'late' failed .IndexError.*update its package"):
        Backbone.open(card)
    sys.modules.pop("half_made")
    (tmp_path / "half_made.py").write_text(LATE.replace("RETURN", "return 1.0  # no session"))
    importlib.invalidate_caches()
    with pytest.raises(ModelFormatError, match="opened no edgeinc"):
        Backbone.open(card)


OWN_ERRORS = """
import numpy as np
from edgeinc.devices import Placement
from edgeinc.runtimes import Runtime, RuntimeInfo, Session

class VendorError(Exception):
    pass

def at(place):
    if place == "PLACE":
        raise VendorError("the chip is hot")

at("import")

class Running(Session):
    def _run(self, array):
        at("run")
        return ANSWER

    def _release(self):
        at("release")

class Own(Runtime):
    name, suffix, install = "own", ".x", "wait"

    def __init__(self):
        at("making")

    def installed(self):
        at("installed")
        return True

    def info(self):
        at("info")
        return RuntimeInfo("own", "1", ())

    def open(self, content, *, input, output, **more):
        at("open")
        return Running("own", Placement("own", "own", 1.0, 1.0, ()), input, output)
"""


def own_errors(place: str, answer: str = "np.zeros((1, 12), np.float32)") -> str:
    return OWN_ERRORS.replace("PLACE", place).replace("ANSWER", answer)


@pytest.mark.parametrize(
    ("place", "raised"),
    [
        ("import", RuntimeUnavailableError),
        ("making", RuntimeUnavailableError),
        ("installed", ModelFormatError),
        ("open", ModelFormatError),
        ("run", InferenceError),
    ],
)
def test_a_package_with_errors_of_its_own(
    half_made: Any, tmp_path: Path, place: str, raised: type[Exception]
) -> None:
    half_made("own", "half_made:Own", own_errors(place))
    card = read_card(write_card(tmp_path, "own", ".x", b"x", "float32"))
    with pytest.raises(raised, match=r"'own'.*VendorError: the chip is hot"):
        Backbone.open(card).embed([photo(0, 0)])


@pytest.mark.parametrize(("place", "raised"), [("open", ModelFormatError), ("run", InferenceError)])
def test_a_package_that_runs_out_of_memory(
    half_made: Any, tmp_path: Path, place: str, raised: type[Exception]
) -> None:
    code = own_errors(place).replace('VendorError("the chip is hot")', "MemoryError")
    half_made("own", "half_made:Own", code)
    card = read_card(write_card(tmp_path, "own", ".x", b"x", "float32"))
    with pytest.raises(raised, match=r"^The runtime 'own' ran out of memory; free some, or choo"):
        Backbone.open(card).embed([photo(0, 0)])


@pytest.mark.parametrize(
    ("begins", "says"),
    [
        ("pass", "its session has no placement"),
        (
            "super().__init__(name, placement, input, output); self.output = (1, 12)",
            "its session has no output",
        ),
        ("super().__init__(name, 'own', input, output)", "AttributeError"),
    ],
)
def test_a_session_that_does_not_begin_as_one(
    half_made: Any, tmp_path: Path, begins: str, says: str
) -> None:
    code = own_errors("nowhere").replace(
        "class Running(Session):",
        "class Running(Session):\n"
        f"    def __init__(self, name, placement, input, output):\n        {begins}\n",
    )
    half_made("own", "half_made:Own", code)
    card = read_card(write_card(tmp_path, "own", ".x", b"x", "float32"))
    with pytest.raises(ModelFormatError, match=f"'own' failed .*{says}.*update its package"):
        Backbone.open(card)


def test_errors_of_its_own_do_not_keep_doctor_from_the_rest(half_made: Any) -> None:
    half_made("own", "half_made:Own", own_errors("info"))
    assert any("VendorError: the chip is hot" in line for line in examine().advice)


def test_a_package_that_fails_at_the_end(half_made: Any, tmp_path: Path) -> None:
    half_made("own", "half_made:Own", own_errors("release"))
    card = read_card(write_card(tmp_path, "own", ".x", b"x", "float32"))
    backbone = Backbone.open(card)
    assert backbone.embed([photo(0, 0)]).shape == (1, DIM)
    with pytest.warns(RuntimeWarning, match="VendorError: the chip is hot"):
        backbone.close()


@pytest.mark.parametrize("answer", ["np.zeros((1, 3), np.float32)", "np.zeros((1, 12))", "None"])
def test_a_package_that_gives_something_else(half_made: Any, tmp_path: Path, answer: str) -> None:
    half_made("own", "half_made:Own", own_errors("nowhere", answer))
    card = read_card(write_card(tmp_path, "own", ".x", b"x", "float32"))
    with pytest.raises(InferenceError, match=r"'own' gave .*, not float32 of shape \(1, 12\)"):
        Backbone.open(card).embed([photo(0, 0)])


def test_doctor_asks_each_runtime_once(half_made: Any) -> None:
    told = "asked.append(1)\n        return RuntimeInfo('late', '1', ())"
    half_made(
        "late", "half_made:Late", "asked = []" + LATE.replace('raise KeyError("no driver")', told)
    )
    found = examine()
    assert "late" in {one.name for one in found.runtimes}
    # Looking for chips may take long, and may not be done by two at a time.
    assert sys.modules["half_made"].asked == [1]


def test_a_runtime_that_nothing_offers(tmp_path: Path) -> None:
    card = read_card(write_card(tmp_path, "tflite", ".tflite", b"x", "float32"))
    with pytest.raises(RuntimeUnavailableError, match="No package here offers the runtime"):
        Backbone.open(card)
    with pytest.raises(CardError, match="runtime must be a name"):
        read_card(write_card(tmp_path, "TF Lite", ".tflite", b"x", "float32"))


# --- Hailo


def hef(**changes: Any) -> bytes:
    entry = {"name": "means/input_layer1", "shape": [SIDE, SIDE, 3], "quant": [[1.0, 0.0]]}
    end = {"name": "means/avgpool1", "shape": [1, 1, DIM], "quant": [[1.5, 0.0]]}
    said = {"chip": "hailo8", "inputs": [entry], "outputs": [end], **changes}
    return json.dumps(said).encode()


QUANTIZED = "uint8, scale: 1.5, zero_point: 0"


@pytest.fixture
def hailo(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return stand_in(monkeypatch, "hailo_platform")


def rows_of(picture: np.ndarray) -> np.ndarray:
    """What the stand-ins compute of a picture of the network's size."""
    rgb = picture[:, :, ::-1].astype(np.float64)
    return np.concatenate([part.mean(axis=(0, 1)) for part in np.array_split(rgb, 4, axis=0)])


def test_hailo_runs_a_card(hailo: ModuleType, tmp_path: Path) -> None:
    path = write_card(tmp_path, "hailo", ".hef", hef(), QUANTIZED)
    card = read_card(path)
    assert card.files[0].device == "hailo"
    assert parse_card(dump_card(card)) == card
    picture = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    with Backbone.open(card) as backbone:
        assert (backbone.runtime, backbone.device) == ("hailo", "hailo")
        assert backbone.placement.asked == "auto"
        assert backbone.placement.nodes is None
        row = backbone.embed([picture])
        assert row.dtype == np.uint8
        np.testing.assert_array_equal(row[0], np.rint(rows_of(picture) / 1.5))
        np.testing.assert_array_equal(backbone.embed([picture]), row)
    assert hailo.log == ["open 0000:01:00.0 SHARED", "let go", "release"]
    with Engine.open(tmp_path / "s.db", backbone=path, device="npu", strict=True) as engine:
        for kind in range(2):
            engine.enroll(f"kind {kind}", [photo(kind, seed) for seed in range(4)])
        answer = engine.predict(photo(1, 9))
        assert (answer.label, answer.device) == ("kind 1", "hailo")
        assert answer.placement.asked == "npu"


def test_hailo_in_floats_and_by_its_options(hailo: ModuleType, tmp_path: Path) -> None:
    card = read_card(write_card(tmp_path, "hailo", ".hef", hef(), "float32"))
    hailo.chips.append("0000:02:00.0")
    with Backbone.open(card, device="hailo,device_id=0000:02:00.0") as backbone:
        picture = np.full((SIDE, SIDE, 3), 40, np.uint8)
        np.testing.assert_allclose(backbone.activations(picture), 40.0)
    with Backbone.open(card, device="hailo,group_id=line 3"):
        pass
    assert [one for one in hailo.log if one.startswith("open")] == [
        "open 0000:02:00.0 UNIQUE",
        "open 0000:01:00.0 line 3",
    ]
    for wrong in ("hailo,speed=9", "hailo,device_id=a,group_id=b"):
        with pytest.raises(InputError, match="hailo"):
            Backbone.open(card, device=wrong)


def test_what_hailo_refuses(hailo: ModuleType, tmp_path: Path) -> None:
    def opened(content: bytes, dtype: str = QUANTIZED) -> Backbone:
        card = read_card(write_card(tmp_path, "hailo", ".hef", content, dtype))
        return Backbone.open(card, device="npu", strict=True)

    with pytest.raises(DeviceRefusedError, match=r"NOT_COMPATIBLE.*compile it"):
        opened(hef(chip="hailo15"))
    with pytest.raises(DeviceRefusedError, match="INVALID_HEF"):
        opened(b"no file of Hailo's")
    ends = json.loads(hef())["outputs"]
    with pytest.raises(ModelFormatError, match="2 outputs"):
        opened(hef(outputs=ends * 2))
    with pytest.raises(ModelFormatError, match="2 scales"):
        opened(hef(outputs=[{**ends[0], "quant": [[1.5, 0], [1.0, 0]]}]))
    with pytest.raises(ModelFormatError, match="not int8"):
        opened(hef(), "int8, scale: 1.5, zero_point: 0")
    with pytest.raises(CardError, match=r"scale 1.5.*correct the card"):
        opened(hef(), "uint8, scale: 2.5, zero_point: 0")
    with opened(hef()) as backbone:
        hailo.chips.clear()
        with pytest.raises(InferenceError, match="HAILO_TIMEOUT"):
            backbone.embed([photo(0, 0)])
    with pytest.raises(DeviceNotFoundError, match="No Hailo chip starts"):
        opened(hef())
    assert hailo.log.count("release") == sum(one.startswith("open") for one in hailo.log)
    assert offered.find("hailo").info().devices == ()
    hailo.driver = False
    assert offered.find("hailo").info().devices == ()
    assert offered.survey()[1] == ()


def test_hailo_that_is_not_installed(tmp_path: Path) -> None:
    if importlib.util.find_spec("hailo_platform") is not None:
        pytest.skip("HailoRT is installed")
    card = read_card(write_card(tmp_path, "hailo", ".hef", hef(), QUANTIZED))
    for device in ("auto", "npu", "hailo", "cpu"):
        with pytest.raises((RuntimeUnavailableError, DeviceError), match="hailo"):
            Backbone.open(card, device=device, strict=True)
    with pytest.raises(RuntimeUnavailableError, match="apt install hailo-all"):
        Backbone.open(card, device="hailo")


def test_a_chip_s_file_that_cannot_be_used_is_not_said_to_be_lacking(
    tiny_card: Path, tmp_path: Path
) -> None:
    """The CPU does it, and the warning says what an error would: what the file lacks."""
    if importlib.util.find_spec("hailo_platform") is not None:
        pytest.skip("HailoRT is installed")
    tiny = read_card(tiny_card)
    (tmp_path / "tiny.hef").write_bytes(hef())
    (tmp_path / "tiny.onnx").write_bytes((tiny_card.parent / "tiny.onnx").read_bytes())
    chip = replace(tiny.files[0], name="tiny.hef", runtime="hailo", device="hailo")
    chip = replace(chip, bytes=len(hef()), sha256=hashlib.sha256(hef()).hexdigest())
    card = replace(tiny, files=(chip, *tiny.files), folder=tmp_path)
    with pytest.raises(RuntimeUnavailableError) as caught:
        Backbone.open(card, device="hailo", strict=True)
    says = str(caught.value)
    assert says.startswith("The runtime 'hailo' is not installed; install")
    with pytest.warns(RuntimeWarning) as warned, Backbone.open(card, device="hailo") as backbone:
        assert backbone.device == "CPUExecutionProvider"
    assert [str(one.message) for one in warned] == [f"{says} The CPU is used instead."]


def test_a_chip_s_file_in_lists_and_for_base_classes(tmp_path: Path) -> None:
    if importlib.util.find_spec("hailo_platform") is not None:
        pytest.skip("HailoRT is installed")
    card = read_card(write_card(tmp_path, "hailo", ".hef", hef(), QUANTIZED))
    listed = describe(card)
    assert (listed.runtime, listed.installed) == ("hailo", True)
    assert "apt install hailo-all" in str(listed.missing)
    checked = verify(card)
    assert not checked.ok
    assert "hailo-all" in checked.advice
    with pytest.raises(ModelFormatError, match="is for hailo: its classifier"):
        read_rows(hef(), card.files[0])
    with pytest.raises(ModelFormatError, match="a vendor's chip in a card by hand"):
        add(tmp_path / "means.hef")


# --- Rockchip


@pytest.fixture
def rknn(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return stand_in(monkeypatch, "rknnlite.api")


def rknn_card(folder: Path, content: bytes = b"RKNN rk3588", dtype: str = "float32") -> ModelCard:
    return read_card(write_card(folder, "rknn", ".rknn", content, dtype))


def test_rockchip_runs_a_card(
    rknn: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    card = rknn_card(tmp_path)
    picture = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    with Backbone.open(card, device="rknn,core_mask=0_1_2", strict=True) as backbone:
        assert (backbone.runtime, backbone.device) == ("rknn", "rknn")
        np.testing.assert_allclose(backbone.activations(picture), rows_of(picture), rtol=1e-5)
    with Backbone.open(card, device="npu"):
        pass
    assert rknn.log == ["start 7", "release", "start None", "release"]
    assert capfd.readouterr() == ("", "")


def test_what_rockchip_refuses(rknn: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(DeviceRefusedError, match=r"take this file.*Invalid RKNN format"):
        Backbone.open(rknn_card(tmp_path, b"other"), device="npu", strict=True)
    with pytest.raises(DeviceNotFoundError, match=r"rknpu driver.*for this chip"):
        Backbone.open(rknn_card(tmp_path, b"RKNN rk3566"), device="npu", strict=True)
    with pytest.raises(ModelFormatError, match="float32 for the embedding"):
        Backbone.open(rknn_card(tmp_path, dtype=QUANTIZED))
    with pytest.raises(InputError, match="core_mask=0, 0_1_2, 1, AUTO"):
        Backbone.open(rknn_card(tmp_path), device="rknn,core_mask=9")
    with Backbone.open(rknn_card(tmp_path)) as backbone:
        rknn.driver = False
        with pytest.raises(InferenceError, match="The NPU gave nothing"):
            backbone.embed([photo(0, 0)])
    assert offered.find("rknn").info().version == "rknn-toolkit-lite2 of unknown version"


# --- Beside the card's other files


def test_a_chip_that_is_here_goes_first_and_the_cpu_does_it_otherwise(
    hailo: ModuleType, tiny_card: Path, tmp_path: Path
) -> None:
    shape = {"shape": [48, 48, 3], "name": "x", "quant": [[1.0, 0.0]]}
    content = hef(inputs=[shape], outputs=[{**shape, "shape": [12]}])
    (tmp_path / "tiny.hef").write_bytes(content)
    (tmp_path / "tiny.onnx").write_bytes((tiny_card.parent / "tiny.onnx").read_bytes())
    text = tiny_card.read_text(encoding="utf-8").replace("dim: 64", "dim: 12")
    first, second = text.split("files:\n")
    ours = second.replace("tiny.onnx", "tiny.hef").replace("runtime: onnx", "runtime: hailo")
    size = (tmp_path / "tiny.onnx").stat().st_size
    digest = hashlib.sha256((tmp_path / "tiny.onnx").read_bytes()).hexdigest()
    ours = ours.replace(str(size), str(len(content)))
    ours = ours.replace(digest, hashlib.sha256(content).hexdigest())
    card = parse_card(f"{first}files:\n{second}{ours}", tmp_path)
    with Backbone.open(card) as backbone:
        assert backbone.device == "hailo"
    hailo.chips.clear()
    # The other file has 64 numbers, so that it is seen to be taken.
    with pytest.raises(CardError, match=r"tiny.onnx.*64"):
        Backbone.open(card)
    with pytest.warns(RuntimeWarning, match="No Hailo chip starts"), pytest.raises(CardError):
        Backbone.open(card, device="npu")
    with pytest.raises(DeviceNotFoundError, match="No Hailo chip starts"):
        Backbone.open(card, device=Device("hailo"), strict=True)
