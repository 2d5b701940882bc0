"""What is said of a device, and of what it lacks."""

from __future__ import annotations

import json
import platform
import shutil
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from edgeinc import __version__
from edgeinc.cards import read_card
from edgeinc.cli import main
from edgeinc.doctor import UNKNOWN, examine, uses
from edgeinc.errors import InputError
from edgeinc.runtimes import available
from edgeinc.weights import find_card, list_cards
from tests.absent import run_without

DOCTOR = "from edgeinc.cli import main; raise SystemExit(main(['--json', 'doctor']))"


def examine_without(
    modules: tuple[str, ...] = (), distributions: tuple[str, ...] = ()
) -> tuple[dict[str, Any], list[str]]:
    done = run_without(DOCTOR, modules=modules, distributions=distributions)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    # ONNX Runtime and its cpuinfo have words of their own where there is no /sys.
    lines = [line for line in done.stderr.splitlines() if "cpuinfo" not in line]
    return json.loads(done.stdout), lines


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
    assert found.uses.keys() == {name for name, here in found.models.items() if here}
    (use,) = found.uses["tiny"]
    assert (use.file, use.runtime, use.devices[0], use.missing) == (
        "tiny.onnx",
        "onnx",
        "cpu",
        None,
    )
    missing = [name for name, here in found.packages.items() if here is None]
    assert len(found.advice) == len(missing) + 2 - len(found.runtimes)
    assert (found.install is None) == (not missing)
    # All of it is JSON.
    assert json.loads(json.dumps(asdict(found)))["models"] == found.models


def test_what_is_missing_comes_with_the_command_that_brings_it() -> None:
    found, lines = examine_without(
        ("ai_edge_litert", "tflite_runtime", "h5py", "onnx", "matplotlib"),
        ("ai-edge-litert", "tflite-runtime", "h5py", "onnx", "matplotlib"),
    )
    assert [runtime["name"] for runtime in found["runtimes"]] == ["onnx"]
    assert found["install"] == "pip install 'edgeinc[litert,hdf5,onnx,plot]'"
    uses = {use["runtime"]: use for use in found["uses"]["pebble"]}
    assert uses["onnx"]["devices"][0] == "cpu"
    assert uses["litert"]["missing"] == "pip install 'edgeinc[litert]'"
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


def test_a_card_that_is_named_by_its_path(tiny_card: Path) -> None:
    tiny = read_card(tiny_card)
    assert tiny.name not in {card.name for card in list_cards()}
    found = examine(card=tiny)
    assert (found.backbone, found.models["tiny"]) == ("tiny", True)
    assert found.uses["tiny"] == uses(tiny, available())
    # It goes before a listed one of its name.
    pebble = replace(find_card("pebble"), files=tiny.files, folder=tiny.folder)
    assert [use.file for use in examine(card=pebble).uses["pebble"]] == ["tiny.onnx"]


@pytest.mark.parametrize("device", [",", "", "onnx", "npu,a=1"])
def test_what_is_no_device(device: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError) as caught:
        examine(device=device)
    assert main(["--device", device, "doctor"]) == 1
    assert capfd.readouterr() == ("", f"edgeinc: {caught.value}\n")


@pytest.mark.parametrize("strict", [[], ["--strict"]])
def test_a_device_that_there_is_not(strict: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """All is listed even so: the right name may be among it."""
    assert main(["--device", "abacus", *strict, "--json", "doctor"]) == 1
    out, err = capfd.readouterr()
    found = json.loads(out)
    assert (found["placement"], found["runtimes"] != []) == (None, True)
    says = "There is no device 'abacus'; choose one that is listed here."
    assert found["advice"][-1] == says
    assert err.splitlines()[-1] == says
    assert "`edgeinc doctor`" not in err
    assert main(["--device", "cudda", *strict, "doctor"]) == 1
    assert (
        "There is no device 'cudda'; did you mean CUDAExecutionProvider?" in capfd.readouterr()[1]
    )


@pytest.mark.parametrize("device", ["libedgetpu.so.1", "ACLExecutionProvider", "npu"])
def test_a_known_device_that_is_not_here(device: str, capfd: pytest.CaptureFixture[str]) -> None:
    """That is what `doctor` is asked, and an answer; it is a failure where it had to be."""
    assert main(["--device", device, "doctor"]) == 0
    assert "The CPU is used instead" in capfd.readouterr()[1]
    assert main(["--device", device, "--strict", "--json", "doctor"]) == 1
    out, err = capfd.readouterr()
    assert json.loads(out)["placement"] is None
    assert "pebble does not run: " in err
    assert main(["--device", "cpu", "--strict", "doctor"]) == 0


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


def test_what_a_card_cannot_use(tiny_card: Path, tmp_path: Path) -> None:
    tiny = read_card(tiny_card)
    kinds = {
        "plain.onnx": ("onnx", None),
        "coral_edgetpu.tflite": ("litert", "libedgetpu.so.1"),
        "chip.hef": ("hailo", "hailo"),
        "odd.x": ("odd", "odd"),
        "cpu.onnx": ("onnx", "cpu"),
    }
    files = tuple(
        replace(tiny.files[0], name=name, runtime=runtime, device=device)
        for name, (runtime, device) in kinds.items()
    )
    for name in list(kinds)[1:]:
        (tmp_path / name).touch()
    found = {
        use.file: use for use in uses(replace(tiny, files=files, folder=tmp_path), available())
    }
    assert found["plain.onnx"].missing == "edgeinc models pull tiny"
    assert found["cpu.onnx"][2:] == (("cpu",), None)
    assert "hailo-all" in str(found["chip.hef"].missing)
    assert "No package here offers" in str(found["odd.x"].missing)
    coral = str(found["coral_edgetpu.tflite"].missing)
    assert "install libedgetpu1-std" in coral or "edgeinc[litert]" in coral
    assert [use.devices for use in found.values() if use.missing is not None] == [()] * 4
