"""What is said of a device, and of what it lacks."""

from __future__ import annotations

import json
import platform
import shutil
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from edgeinc import __version__
from edgeinc.doctor import UNKNOWN, examine
from edgeinc.runtimes import available
from edgeinc.weights import list_cards
from tests.absent import run_without

DOCTOR = "from edgeinc.cli import main; raise SystemExit(main(['--json', 'doctor']))"


def examine_without(
    modules: tuple[str, ...] = (), distributions: tuple[str, ...] = ()
) -> tuple[dict[str, Any], list[str]]:
    done = run_without(DOCTOR, modules=modules, distributions=distributions)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    return json.loads(done.stdout), done.stderr.splitlines()


def test_what_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_card: Path) -> None:
    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path))
    shutil.copytree(tiny_card.parent, tmp_path / "models" / "tiny")
    bare = tmp_path / "models" / "bare"
    bare.mkdir()
    text = tiny_card.read_text(encoding="utf-8").replace("tiny", "bare")
    (bare / "bare.yaml").write_text(text, encoding="utf-8")
    found = examine()
    assert found.edgeinc == __version__
    assert found.python == platform.python_version()
    assert found.machine.startswith(platform.machine())
    assert found.cores >= 1
    assert found.memory is None or found.memory > 2**20
    assert found.runtimes == available()
    assert all(runtime.devices for runtime in found.runtimes)
    assert found.packages["numpy"] == version("numpy")
    assert set(found.models) == {card.name for card in list_cards()}
    assert (found.models["tiny"], found.models["bare"]) == (True, False)
    assert found.cache == str(tmp_path)
    missing = [name for name, here in found.packages.items() if here is None]
    assert len(found.advice) == len(missing) + 2 - len(found.runtimes)
    # All of it is JSON.
    assert json.loads(json.dumps(asdict(found)))["models"] == found.models


def test_what_is_missing_comes_with_the_command_that_brings_it() -> None:
    found, lines = examine_without(
        ("ai_edge_litert", "tflite_runtime", "h5py", "onnx", "matplotlib"),
        ("ai-edge-litert", "tflite-runtime", "h5py", "onnx", "matplotlib"),
    )
    assert [runtime["name"] for runtime in found["runtimes"]] == ["onnx"]
    assert {name for name, here in found["packages"].items() if here is None} == {
        "h5py",
        "onnx",
        "matplotlib",
    }
    assert (
        found["advice"]
        == lines
        == [
            "LiteRT is missing; install it with: pip install 'edgeinc[litert]'",
            "h5py is missing; install it with: pip install 'edgeinc[hdf5]'",
            "onnx is missing; install it with: pip install 'edgeinc[onnx]'",
            "matplotlib is missing; install it with: pip install 'edgeinc[plot]'",
        ]
    )


def test_core_packages_that_were_left_out() -> None:
    """As with `pip install --no-deps`, for a system's own cv2."""
    found, lines = examine_without(
        ("onnxruntime", "cv2"), ("onnxruntime", "opencv-python-headless", "opencv-python")
    )
    assert "onnx" not in {runtime["name"] for runtime in found["runtimes"]}
    assert found["packages"]["opencv"] is None
    assert "ONNX Runtime is missing; install it with: pip install onnxruntime" in lines
    assert "opencv is missing; install it with: pip install opencv-python-headless" in lines


def test_a_system_s_own_cv2_counts() -> None:
    names = [f"opencv-{a}python{b}" for a in ("", "contrib-") for b in ("", "-headless")]
    found, lines = examine_without(distributions=tuple(names))
    assert found["packages"]["opencv"] == UNKNOWN
    assert not any("opencv" in line for line in lines)
