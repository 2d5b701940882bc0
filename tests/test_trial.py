"""New networks are tried in a process of its own: whatever it dies of is one sentence."""

from __future__ import annotations

import ast
import errno
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeinc.backbone import Backbone
from edgeinc.cache import user_models_dir
from edgeinc.cards import ModelCard, ModelFile
from edgeinc.catalogue import Preprocessing, add, candidates, compare, describe, trial, verify
from edgeinc.children import Bounds, asking
from edgeinc.cli import main
from edgeinc.engine import Engine
from edgeinc.errors import (
    ChecksumError,
    EdgeincError,
    ModelFormatError,
    NoRoomError,
)
from edgeinc.weights import load_file
from tests import tiny_networks as tiny
from tests.absent import ROOT

onnx = pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Everything that these tests leave lies in their own folder, the trials' folders too."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "CHILD", "tests.broken_child")
    monkeypatch.syspath_prepend(str(ROOT))


def endless() -> bytes:
    """The float network, and behind its pooled layer a loop of 2^62 rounds."""
    from onnx import TensorProto, helper

    node = helper.make_node
    values = [
        helper.make_tensor_value_info(name, kind, shape)
        for name, kind, shape in (
            ("round", TensorProto.INT64, ()),
            ("on", TensorProto.BOOL, ()),
            ("a", TensorProto.FLOAT, (1, 3)),
            ("b", TensorProto.FLOAT, (1, 3)),
            ("on_out", TensorProto.BOOL, ()),
        )
    ]
    steps = [node("Sin", ["a"], ["b"]), node("Identity", ["on"], ["on_out"])]
    body = helper.make_graph(steps, "body", values[:3], [values[4], values[3]])
    nodes = [
        node("ReduceMean", ["x"], ["mean"], axes=[2, 3], keepdims=0),
        node("Loop", ["rounds", "go", "mean"], ["pool"], body=body),
    ]
    weights = {"rounds": np.array(2**62), "go": np.array(True)}
    ends = ("x", "FLOAT", (1, 3, 8, 8)), ("pool", "FLOAT", (1, 3))
    return tiny.onnx_file(nodes, [ends[0]], [ends[1]], weights)


def greedy() -> bytes:
    """A network of a few bytes whose second layer takes 1.5 GiB."""
    from onnx import helper

    nodes = [
        helper.make_node("Tile", ["x", "often"], ["many"]),
        helper.make_node("ReduceMean", ["many"], ["pool"], axes=[2, 3], keepdims=0),
    ]
    weights = {"often": np.array([1, 1, 1 << 10, 1 << 11])}
    ends = ("x", "FLOAT", (1, 3, 8, 8)), ("pool", "FLOAT", (1, 3))
    return tiny.onnx_file(nodes, [ends[0]], [ends[1]], weights)


def crashing() -> bytes:
    """A step of zero, on which kernels of LiteRT 2.3 crash."""
    net = tiny.TfliteBuilder()
    picture = net.tensor("picture", (1, 8, 8, 3), "uint8", quantization=(0.0, 128))
    first = net.tensor("first", (1, 8, 8, 3), "int8", quantization=(1 / 128, 0))
    axes = net.tensor("axes", (2,), "int32", data=np.array([1, 2], np.int32))
    pool = net.tensor("pool", (1, 1, 1, 3), "int8", quantization=(0.02, -128))
    net.operator("QUANTIZE", [picture], [first], net.schema.QuantizeOptionsT())
    options = tiny.make(net.schema.ReducerOptionsT, keepDims=True)
    net.operator("MEAN", [first, axes], [pool], options, version=2)
    return net.build([picture], [pool])


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("segfault", "crashed its runtime by Segmentation fault"),
        # The last line is an emulator's own where one runs the tests.
        ("abort", r"by Aborted .*tried \((terminate called: no memory\[0m|qemu: .*)\); do not use"),
        ("foreign", r"failed in its runtime .*\(RuntimeError: what nobody expects\); do not use"),
        ("short", r"needed more than [0-9]+ MiB of memory when it was tried; do not use it"),
        ("killed", r"was ended from outside when it was tried; free memory, and try again"),
        ("garbage", "failed in its runtime when it was tried; do not use it"),
    ],
)
@pytest.mark.usefixtures("broken")
def test_every_death_is_one_sentence(how: str, says: str) -> None:
    with pytest.raises(ModelFormatError, match=rf"^net\.onnx .*{says}") as caught:
        trial.attempt(how, "net.onnx", b"weights", {})
    assert "\n" not in str(caught.value)
    assert not list(Path(tempfile.gettempdir()).iterdir())


def test_weights_are_no_module_whatever_their_name(tmp_path: Path) -> None:
    """The process that tries them looks for numpy, and not among them."""
    card = add(plain_file(tmp_path / "net.onnx", tiny.onnx_classifier()))
    told = tmp_path / "told"
    content = f"open({str(told)!r}, 'w')".encode()
    plain_file(tmp_path / "numpy.py", content)
    sha256 = hashlib.sha256(content).hexdigest()
    file = replace(card.files[0], name="numpy.py", bytes=len(content), sha256=sha256)
    named = replace(card, name="numpy", files=(file,), folder=tmp_path)
    (check,) = verify(named).checks
    assert check.ok is False
    assert "is no .onnx network" in check.message
    assert not told.exists()


def test_limits_follow_the_size_of_the_weights_and_the_machine() -> None:
    limits = trial.Limits(memory=100, memory_per_byte=3)
    assert limits.memory_for(7) == 121
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert limits.memory_for(1 << 60) == machine


def test_limits_that_a_trial_is_given() -> None:
    limits = trial.Limits(6.0, 9, memory=100 << 20, memory_per_byte=3, written=5, room=7)
    assert limits.bounds(7) == Bounds(6.0, 9, (100 << 20) + 21, 28, 49)
    assert limits.bounds(1).written == 5


def plain_file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_network_that_crashes_litert(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="the extra `litert` is not installed")
    path = plain_file(tmp_path / "net.tflite", crashing())
    with pytest.raises(ModelFormatError, match=r"crashed its runtime|makes no sense"):
        add(path, preprocessing=Preprocessing([0], [1]))
    assert not user_models_dir().exists()


def test_a_network_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = plain_file(tmp_path / "net.onnx", endless())
    assert candidates(path).outputs[0].shape == (1, 3)
    monkeypatch.setattr(trial, "LIMITS", trial.Limits(seconds=5))
    with pytest.raises(ModelFormatError, match="took more than 5 seconds"):
        add(path, embedding="pool", preprocessing=Preprocessing([0], [1]))
    assert not user_models_dir().exists()


def test_a_network_that_takes_all_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import resource; resource.setrlimit(resource.RLIMIT_DATA, (64 << 20, 64 << 20))"
    taken = subprocess.run([sys.executable, "-c", f"{script}; bytearray(1 << 28)"], check=False)
    if sys.platform != "linux" or not taken.returncode:
        pytest.skip("no limit of memory is kept here")
    path = plain_file(tmp_path / "net.onnx", greedy())
    monkeypatch.setattr(trial, "LIMITS", trial.Limits(memory=600 << 20))
    with pytest.raises(EdgeincError, match=r"memory|alloc"):
        add(path, preprocessing=Preprocessing([0], [1]))
    assert not user_models_dir().exists()


def test_verify_tells_of_a_crash_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(plain_file(tmp_path / "net.onnx", tiny.onnx_classifier()))
    monkeypatch.setattr(trial, "CHILD", "tests.broken_child")
    monkeypatch.syspath_prepend(str(ROOT))
    found = verify("net")
    assert not found.ok
    assert [check.ok for check in found.checks] == [False]
    assert "do not use it" in found.checks[0].message


def test_a_full_disk_says_nothing_of_a_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(stream: object, room: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(asking, "reserve", full)
    with pytest.raises(NoRoomError, match="no room for trying pebble"):
        verify("pebble")
    with pytest.raises(NoRoomError):
        compare("pebble")
    assert main(["models", "verify", "pebble"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"edgeinc: There is no room for [^;]*; make some in .*TMPDIR\.\n", err)


# -- weights are loaded only after their sha256 matched --------------------------------


@pytest.fixture
def touched(tmp_path: Path) -> ModelCard:
    """A card whose weights are another, sound network of the same length."""
    card = add(plain_file(tmp_path / "net.onnx", tiny.onnx_classifier()))
    with Backbone.open(card) as backbone:  # what is kept in the cache must not be used either
        assert backbone.dim == 4
    assert card.folder is not None
    weights = card.folder / "net.onnx"
    content = weights.read_bytes()
    other = content.replace(b"pool", b"poul")
    assert len(other) == len(content)
    weights.write_bytes(other)
    os.utime(weights, ns=(1, 1))
    return card


@pytest.mark.parametrize("way", ["card", "name", "path", "another tensor", "engine", "file"])
def test_touched_weights_are_not_loaded(
    touched: ModelCard, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeinc.backbone import opening

    def never(*_: object, **__: object) -> None:
        raise AssertionError("weights were opened before their sha256 was compared")

    monkeypatch.setattr(opening, "open_session", never)
    monkeypatch.setattr(opening, "cut", never)
    assert touched.folder is not None
    ways = {
        "card": lambda: Backbone.open(touched),
        "name": lambda: Backbone.open("net"),
        "path": lambda: Backbone.open(touched.folder / "net.yaml"),
        "another tensor": lambda: Backbone.open("net", tensor="logits"),
        "engine": lambda: Engine.open(tmp_path / "s.db", backbone="net"),
        "file": lambda: load_file(touched, touched.files[0]),
    }
    with pytest.raises(ChecksumError, match="sha256"):
        ways[way]()


def test_touched_weights_are_not_even_tried(
    touched: ModelCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a trial was started")

    monkeypatch.setattr("edgeinc.catalogue.verifying.attempt", never)
    (check,) = verify(touched).checks
    assert (check.ok, "sha256" in check.message) == (False, True)
    assert describe(touched).installed


def test_who_loads_networks() -> None:
    """Only `backbone` does, behind the sha256, and what runs in the process of a trial."""
    loading = {"open_session", "inspect", "open_litert", "open_onnx", "make_card", "run_card"}
    found = set()
    for path in (ROOT / "edgeinc").rglob("*.py"):
        if "runtimes" not in path.parts:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom):
                    named = loading & {alias.name for alias in node.names}
                    found |= {(path.relative_to(ROOT / "edgeinc").as_posix(), n) for n in named}
    assert found == {
        ("backbone/opening.py", "open_session"),
        ("catalogue/child.py", "inspect"),
        ("catalogue/child.py", "make_card"),
        ("catalogue/child.py", "run_card"),
        ("catalogue/quantize_trial.py", "make_card"),
        ("catalogue/reading.py", "inspect"),
        ("catalogue/reading.py", "open_session"),
    }


def test_a_card_of_many_files_tries_each(touched: ModelCard) -> None:
    again = replace(touched.files[0], name="second.onnx")
    assert isinstance(again, ModelFile)
    found = verify(replace(touched, files=(*touched.files, again)))
    assert [check.ok for check in found.checks] == [False, None]
