"""New networks are tried in a process of its own: whatever it dies of is one sentence."""

from __future__ import annotations

import ast
import errno
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinc.backbone import Backbone
from edgeinc.cache import user_models_dir
from edgeinc.cards import ModelCard, ModelFile
from edgeinc.catalogue import Preprocessing, add, candidates, describe, trial, verify
from edgeinc.engine import Engine
from edgeinc.errors import (
    ChecksumError,
    EdgeincError,
    InputError,
    ModelFormatError,
    RuntimeUnavailableError,
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
        ("foreign", r"failed in its runtime .*\(RuntimeError: what nobody expects\)"),
        ("late", "crashed its runtime by Aborted"),
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


@pytest.mark.skipif(
    not Path("/proc/self").exists(),
    reason="no /proc here, which tells an ended process from one that runs",
)
@pytest.mark.usefixtures("broken")
def test_whoever_stays_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    note = tmp_path / "note"
    # A busy machine takes longer to begin two processes.
    for seconds in (2, 8, 32, 128):
        limits = trial.Limits(seconds=seconds)
        with pytest.raises(ModelFormatError, match=f"took more than {seconds} seconds"):
            trial.attempt("stay", "net.onnx", b"weights", {"note": str(note)}, limits)
        if note.exists() and note.read_text(encoding="utf-8"):
            break
    end = time.monotonic() + 60
    while time.monotonic() < end and is_running(int(note.read_text(encoding="utf-8"))):
        time.sleep(0.01)
    assert not is_running(int(note.read_text(encoding="utf-8")))


def is_running(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return False
    # Ended, and not yet waited for by whoever has inherited it.
    return "zombie" not in status


@pytest.mark.usefixtures("broken")
def test_a_trial_has_a_folder_and_a_cache_of_its_own() -> None:
    answer = trial.attempt("surroundings", "net.onnx", b"weights", {})
    assert answer["names"] == ["net.onnx", "request.json", "said.txt"]
    assert Path(answer["cache"]).is_relative_to(tempfile.gettempdir())
    assert answer["weights"] == "weights"


def test_an_empty_entry_of_the_path_is_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at the prompt, where edgeinc may lie in that folder alone."""
    (tmp_path / "stand_in.py").write_text("import os; os.abort()", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    monkeypatch.setattr(trial, "CHILD", "stand_in")
    with pytest.raises(ModelFormatError, match="crashed its runtime by Aborted"):
        trial.attempt("any", "net.onnx", b"weights", {})


@pytest.mark.usefixtures("broken")
def test_an_answer_names_only_errors_of_ours() -> None:
    with pytest.raises(EdgeincError) as caught:
        trial.attempt("odd", "net.onnx", b"weights", {})
    assert type(caught.value) is EdgeincError


@pytest.mark.parametrize("python", ["absent", "", None])
def test_no_process_can_be_started(python: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    # A program that embeds Python may not know of one.
    monkeypatch.setattr(sys, "executable", python)
    with pytest.raises(RuntimeUnavailableError, match="cannot be started here"):
        trial.attempt("inspect", "net.onnx", b"weights", {"runtime": "onnx"})


def test_limits_follow_the_size_of_the_weights_and_the_machine() -> None:
    limits = trial.Limits(memory=100, memory_per_byte=3)
    assert limits.memory_for(7) == 121
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert limits.memory_for(1 << 60) == machine


@pytest.mark.usefixtures("broken")
def test_limits_that_a_trial_is_told() -> None:
    limits = trial.Limits(memory=100 << 20, memory_per_byte=3, written=5)
    asked = trial.attempt("asked", "net.onnx", b"weights", {}, limits)
    assert (asked["memory"], asked["written"]) == ((100 << 20) + 21, 28)


def test_no_room_for_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def full(stream: Any, room: int) -> None:
        asked.append(room)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(trial, "reserve", full)
    limits = trial.Limits(room=7)
    with pytest.raises(InputError, match=r"no room to try net.onnx in; make some in .*TMPDIR"):
        trial.attempt("inspect", "net.onnx", b"weights", {"runtime": "onnx"}, limits)
    assert asked == [7 * 7 + (1 << 20)]
    assert not list(Path(tempfile.gettempdir()).iterdir())


@pytest.mark.parametrize("how", ["garbage", "foreign", "odd", "killed"])
@pytest.mark.usefixtures("broken")
def test_a_disk_that_fills_meanwhile(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is said then, it says nothing of the network."""
    usage = shutil.disk_usage(tempfile.gettempdir())
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=4096))
    with pytest.raises(InputError, match=r"no room to try net\.onnx in"):
        trial.attempt(how, "net.onnx", b"weights", {})
    # An answer is an answer.
    assert trial.attempt("asked", "net.onnx", b"weights", {})["name"] == "net.onnx"


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
    monkeypatch.setattr(opening, "_cut", never)
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
