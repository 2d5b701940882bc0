"""Speed of backbones: which ways there are, what is said of them, which one is recommended."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinc.backbone import Backbone
from edgeinc.bench import BenchReport, BenchRow, bench, run
from edgeinc.bench.plan import ways
from edgeinc.bench.report import best_of
from edgeinc.cards import ModelCard, ModelFile, read_card
from edgeinc.cli import main
from edgeinc.devices import Device, Placement
from edgeinc.errors import (
    DeviceError,
    DeviceNotFoundError,
    InferenceError,
    InputError,
    ModelNotFoundError,
    RuntimeUnavailableError,
)
from edgeinc.machine import energy, peak
from edgeinc.plot import plot_bench
from edgeinc.runtimes import installed
from edgeinc.runtimes.around import devices_here
from edgeinc.runtimes.base import physical_cores
from edgeinc.weights import find_card
from tests.absent import ROOT, before_others, run_without

SHORT = 0.01
CPU = "CPUExecutionProvider"


@pytest.fixture
def card(tiny_card: Path) -> ModelCard:
    """The tiny network, with a file for LiteRT that is not here."""
    tiny = read_card(tiny_card)
    file: ModelFile = replace(tiny.files[0], name="tiny.tflite", runtime="litert")
    return replace(tiny, files=(file, *tiny.files))


def row(p50: float, threads: int, memory: int | None = None, device: str = "CPU") -> BenchRow:
    placement = Placement("cpu", device)
    times = p50, 2 * p50, 1
    return BenchRow("net", "litert", device, placement, threads, *times, memory, None, "cpu")


def test_a_row_for_each_number_of_threads(card: ModelCard) -> None:
    steps: list[tuple[int, int]] = []
    report = bench(card, seconds=SHORT, device="cpu", progress=lambda *step: steps.append(step))
    counts = [row.threads for row in report.rows]
    assert counts == sorted(set(counts))
    assert {1, physical_cores()} <= set(counts)
    assert steps == [(i + 1, len(counts)) for i in range(len(counts))]
    for row in report.rows:
        # LiteRT may be installed; its weights are not.
        assert (row.model, row.runtime, row.device) == ("tiny", "onnx", CPU)
        assert 0 < row.p50_ms <= row.p95_ms
        assert row.per_second > 0
        # A process with Python, numpy, OpenCV and a runtime takes tens of megabytes.
        assert (row.memory is None) == (peak() is None)
        assert row.memory is None or 2**24 < row.memory < 2**32
        assert (row.joules is None) == bool(energy().problem)
    assert report.skipped == ()
    assert report.recommended in report.rows


def test_threads_and_device_that_were_asked_for(card: ModelCard) -> None:
    report = bench(card, seconds=SHORT, threads=3, device=CPU, strict=True)
    assert [(row.threads, row.device, row.placement.asked) for row in report.rows] == [
        (3, CPU, CPU)
    ]
    # It is the first file that is here.
    assert report.recommended.options == "--device cpu --threads 3"
    with pytest.raises(DeviceError, match="NoSuchExecutionProvider"):
        bench(card, seconds=SHORT, device="NoSuchExecutionProvider", strict=True)
    with pytest.raises(InputError, match="no model"):
        bench([])


def test_a_device_that_falls_back_is_told_once(card: ModelCard) -> None:
    with pytest.warns(RuntimeWarning, match="The CPU is used") as told:
        report = bench(card, seconds=SHORT, device="NoSuchExecutionProvider", threads=1)
    assert len(told) == 1
    assert [(row.device, row.placement.asked) for row in report.rows] == [
        (CPU, "NoSuchExecutionProvider")
    ]


def test_weights_that_are_not_here(card: ModelCard, tmp_path: Path) -> None:
    bare = replace(card, folder=tmp_path)
    with pytest.raises(ModelNotFoundError, match="models pull tiny"):
        bench(bare, seconds=SHORT)
    # Beside another model it is passed over, and named.
    report = bench([bare, card], seconds=SHORT, device="cpu", threads=1)
    assert [row.model for row in report.rows] == ["tiny"]
    assert [one.model for one in report.skipped] == ["tiny"]
    assert "models pull" in report.skipped[0].why


@pytest.fixture
def crashing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a package of a runtime that ends the process in which it is opened."""
    info = tmp_path / "crashing-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: crashing\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edgeinc.runtimes]\ncrash = crashing:Crash\n")
    (tmp_path / "crashing.py").write_text(
        "import os, signal\n"
        "from edgeinc.runtimes import Runtime, RuntimeInfo\n"
        "class Crash(Runtime):\n"
        "    name, suffix, install = 'crash', '.x', 'wait'\n"
        "    def installed(self):\n        return True\n"
        "    def info(self):\n        return RuntimeInfo('crash', '1', ())\n"
        "    def open(self, content, **more):\n        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_way_that_crashes_takes_nothing_with_it(card: ModelCard, crashing: Path) -> None:
    for name in ("tiny.x", "tiny.onnx"):
        shutil.copy(Path(str(card.folder)) / "tiny.onnx", crashing / name)
    plain = card.files[1]
    own = replace(plain, name="tiny.x", runtime="crash", device="crash")
    alone = replace(card, files=(own,), folder=crashing)
    with pytest.raises(InferenceError, match="crash on crash was ended from outside; free memory"):
        bench(alone, seconds=SHORT)
    both = replace(alone, files=(own, plain))
    crash, *rest = ways(both, Device("auto"), 1, devices_here)
    assert (crash.runtime, crash.device.name) == ("crash", "crash")
    report = bench(both, seconds=SHORT, threads=1)
    assert "crash" in [one.runtime for one in report.skipped]
    assert CPU in [row.device for row in report.rows]
    assert len(report.rows) + len(report.skipped) == 1 + len(rest)


@pytest.mark.parametrize(
    ("instead", "says"),
    [
        ("os.abort()", r"crash on crash crashed by Aborted( \(.*\))?; verify the model"),
        ("os._exit(0)", "crash on crash ended without an answer; verify the model"),
        ("os._exit(3)", "crash on crash failed with status 3; verify the model"),
        ("__import__('time').sleep(600)", "crash on crash took more than 3.02 seconds; verify"),
    ],
)
def test_every_death_of_a_way_is_one_sentence(
    instead: str, says: str, card: ModelCard, crashing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = crashing / "crashing.py"
    module.write_text(module.read_text().replace("os.kill(os.getpid(), signal.SIGKILL)", instead))
    if "sleep" in instead:
        monkeypatch.setattr(run, "PATIENCE", 3.0)
    shutil.copy(Path(str(card.folder)) / "tiny.onnx", crashing / "tiny.x")
    own = replace(card.files[1], name="tiny.x", runtime="crash", device="crash")
    with pytest.raises(InferenceError, match=f"^{says}") as caught:
        bench(replace(card, files=(own,), folder=crashing), seconds=SHORT)
    assert "\n" not in str(caught.value)


def test_no_process_can_be_started(card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", None)
    with pytest.raises(RuntimeUnavailableError, match=r"^onnx on cpu .*cannot be started here"):
        bench(card, seconds=SHORT, device="cpu", threads=1)


def test_modules_where_it_is_called_are_not_loaded(
    card: ModelCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    Path("numpy.py").write_text("raise SystemExit('this is no module')", encoding="utf-8")
    (row,) = bench(card, seconds=SHORT, device="cpu", threads=1).rows
    assert row.runtime == "onnx"


def test_a_model_by_its_name_or_path(tiny_card: Path) -> None:
    for given, name in ((tiny_card, "tiny"), ("pebble", "pebble"), ([str(tiny_card)], "tiny")):
        report = bench(given, seconds=SHORT, device="cpu", threads=1)
        assert {row.model for row in report.rows} == {name}
    with pytest.raises(ModelNotFoundError, match="did you mean pebble"):
        bench("peble")
    for wrong in (None, 3, [b"pebble"]):
        with pytest.raises(InputError, match="is no model; give a card, or a model's name"):
            bench(wrong)


def test_every_device_that_is_here(card: ModelCard) -> None:
    plan = ways(card, Device("auto"), None, devices_here)
    assert {way.runtime for way in plan} == {"onnx"}
    assert plan[0].device == Device("cpu")
    assert len(set(plan)) == len(plan)


def test_what_is_recommended() -> None:
    assert best_of([row(10, 1), row(5, 2), row(5.2, 4)]).threads == 2
    # Two threads that gain less than a tenth are not worth having.
    assert best_of([row(5.2, 1), row(5, 2)]).threads == 1
    assert best_of([row(5, 1, 200), row(5.1, 1, 100)]).memory == 100
    rows = (
        row(5, 2),
        replace(row(7, 1), chosen="/a b/libx.so,k=$v"),
        replace(row(7, 1), chosen=None),
    )
    assert [one.options for one in rows] == [
        "--device cpu --threads 2",
        "--device '/a b/libx.so,k=$v' --threads 1",
        None,
    ]
    report = BenchReport(rows, (), {"net": rows[0]}, "")
    assert report.recommended is rows[0]


def test_a_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    rows = (row(5, 2), row(7, 1))
    report = BenchReport(rows, (), {"net": rows[0]}, "")
    plot_bench(report, tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="cannot be written"):
        plot_bench(report, tmp_path / "no folder" / "bench.png")


def test_a_runtime_that_is_not_installed(tiny_card: Path, tmp_path: Path) -> None:
    done = run_without(
        "from edgeinc.cli import main; raise SystemExit(main(sys.argv[1:]))",
        *("--store", tmp_path / "s.db", "--backbone", tiny_card, "bench"),
        modules=("onnxruntime",),
        distributions=("onnxruntime",),
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "onnxruntime" in done.stderr
    assert "pip install" in done.stderr


def test_every_card_runtime_and_thread_in_the_shell(
    tiny_card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from edgeinc.cli import cli

    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path))
    shutil.copytree(tiny_card.parent, tmp_path / "models" / "tiny")
    store = ["--store", str(tmp_path / "s.db"), "--device", "cpu", "--threads", "1"]
    done = CliRunner().invoke(cli, [*store, "--json", "bench", "--seconds", "0.1"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert {row["model"] for row in found["rows"]} == {"pebble", "tiny"}
    assert {row["runtime"] for row in found["rows"]} == set(installed())
    assert found["recommended"]["model"] == "pebble"
    assert sum(row["best"] for row in found["rows"]) == 2
    assert found["recommended"]["options"].startswith("--backbone pebble --device ")


def test_a_table_and_a_plot_in_the_shell(tiny_card: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    from click.testing import CliRunner

    from edgeinc.cli import cli

    picture = str(tmp_path / "b.png")
    store = ["--store", str(tmp_path / "s.db"), "--device", "cpu", "--threads", "1"]
    words = ["--backbone", str(tiny_card), "bench", "--seconds", "0.1", "--plot", picture]
    done = CliRunner().invoke(cli, [*store, *words])
    assert done.exit_code == 0, done.output
    header, *lines = done.stdout.splitlines()
    assert header.split()[:3] == ["model", "runtime", "threads"]
    assert [line.split()[0] for line in lines if line.startswith("*")] == ["*"]
    assert lines[-1].startswith(f"for tiny here: edgeinc --backbone {tiny_card} ")
    assert Path(picture).is_file()


@pytest.mark.parametrize(
    "device", ["auto", "npu", "libcut.so", "nosuch.so", "CUDAExecutionProvider"]
)
def test_the_recommended_line_runs_what_was_measured(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "libcut.so"
    cut.write_bytes(b"\x7fELF\x02\x01\x01")
    device = device.replace("libcut.so", str(cut))
    monkeypatch.chdir(tmp_path)
    words = ["bench", "--backbone", "pebble", "--device", device]
    assert main([*words, "--threads", "1", "--seconds", "0.1", "--json"]) == 0
    rows = json.loads(capfd.readouterr().out)["rows"]
    assert {row["runtime"] for row in rows} <= set(installed())
    cv2.imwrite("a.png", np.zeros((40, 40, 3), np.uint8))
    for row in rows:
        assert main([*shlex.split(row["options"]), "predict", "a.png", "--json"]) == 0
        out, err = capfd.readouterr()
        again = json.loads(out)
        assert again["device"] == row["device"]
        assert again["placement"] == row["placement"] | {"asked": again["placement"]["asked"]}
        assert err == ""


def test_a_card_that_its_name_does_not_find(
    tiny_card: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path / "cache"))
    shutil.copytree(tiny_card.parent, "my cards")
    words = ["bench", "--device", "cpu", "--threads", "1", "--seconds", "0.1"]
    for given in (Path("my cards") / "tiny.yaml", Path("tiny")):
        assert main([*words, "--backbone", str(given)]) == 0
        best = capfd.readouterr().out.splitlines()[-1]
        line = best.removeprefix("for tiny here: edgeinc ")
        assert shlex.split(line)[:2] == ["--backbone", str(given)]
        assert main([*shlex.split(line), "classes"]) == 0
        # Once it is added, its name finds it.
        shutil.copytree(tiny_card.parent, "cache/models/tiny", dirs_exist_ok=True)


def test_a_file_that_no_option_chooses() -> None:
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    pebble = find_card("pebble")
    turned = replace(pebble, files=pebble.files[::-1])
    rows = bench(turned, seconds=SHORT, device="cpu", threads=1).rows
    assert {row.runtime: row.chosen for row in rows} == {"onnx": "cpu", "litert": None}


def test_why_a_device_runs_no_part(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    pebble = find_card("pebble")
    plain = next(file for file in pebble.files if file.runtime == "litert")
    own = replace(plain, name="own.tflite", device="libedgetpu.so.1")
    for file in (plain, own):
        shutil.copy(Path(str(pebble.folder)) / plain.name, tmp_path / file.name)
    both = replace(pebble, files=(plain, own), background=None, folder=tmp_path)
    report = bench(both, seconds=SHORT, threads=1)
    (coral,) = [one for one in report.skipped if one.device == "libedgetpu.so.1"]
    assert "(Coral Edge TPU) is not here; install libedgetpu1-std" in coral.why
    # On a device that was asked for the fallback is measured, and told of once.
    with pytest.warns(RuntimeWarning, match="libedgetpu1-std") as told:
        bench(both, seconds=SHORT, threads=1, device="libedgetpu.so.1")
    assert len(told) == 1


def test_every_runtime_says_why_a_device_is_of_no_use() -> None:
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    with pytest.raises(DeviceNotFoundError) as predicting:
        Backbone.open("pebble", device="gpu", strict=True)
    with pytest.raises(DeviceNotFoundError) as measuring:
        bench(["pebble", "pebble"], seconds=SHORT, device="gpu", strict=True, threads=1)
    assert str(measuring.value) == str(predicting.value)
    assert str(measuring.value).count("finds no GPU here") == 2


def test_a_file_that_is_for_the_cpu_by_its_provider_s_name(card: ModelCard) -> None:
    file = replace(card.files[1], device=CPU)
    own = replace(card, files=(file,))
    for device in ("auto", "cpu", CPU):
        report = bench(own, seconds=SHORT, threads=1, device=device)
        assert {row.device for row in report.rows} == {CPU}
        assert report.skipped == ()
    with (
        pytest.warns(RuntimeWarning, match=r"no file for npu.*The CPU is used instead"),
        Backbone.open(own, device="npu") as backbone,
    ):
        assert backbone.device == CPU


def test_only_files_that_a_device_reads_are_measured_there(card: ModelCard) -> None:
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    pebble = find_card("pebble")
    for name, runtime in (
        ("libx.so", "litert"),
        ("CUDAExecutionProvider", "onnx"),
        ("hailo", None),
    ):
        (way,) = ways(pebble, Device(name), 1, devices_here)
        assert (way.runtime, way.device) == (runtime, Device(name))
    assert {way.runtime for way in ways(pebble, Device("npu"), 1, devices_here)} == {
        "litert",
        "onnx",
    }


def test_a_runtime_that_is_missing_is_named_once(card: ModelCard) -> None:
    chip = replace(card.files[1], name="tiny.hef", runtime="hailo", device="hailo")
    report = bench([card, replace(card, files=(chip,))], seconds=SHORT)
    assert [(one.runtime, one.device) for one in report.skipped] == [("hailo", "auto")]


def test_a_library_that_crashes_when_it_is_loaded(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("there is no C compiler to build a library with")
    source = tmp_path / "crash.c"
    source.write_text(
        "#include <stdlib.h>\n__attribute__((constructor)) static void begin(void) { abort(); }\n"
    )
    library = tmp_path / "libvx_delegate.so"
    subprocess.run([compiler, "-shared", "-fPIC", source, "-o", library], check=True)
    words = ["bench", "--backbone", "pebble", "--threads", "1", "--seconds", "0.1", "--json"]
    paths = {"LD_LIBRARY_PATH": before_others(tmp_path, "LD_LIBRARY_PATH")}
    done = subprocess.run(
        [sys.executable, "-m", "edgeinc", "--store", tmp_path / "s.db", *words],
        cwd=ROOT,
        env={**os.environ, **paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {(row["runtime"], row["device"]) for row in found["rows"]} >= {("litert", "CPU")}
    assert done.stderr.count("looking for devices of litert crashed by Aborted") == 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"threads": 0}, "0 threads"),
        ({"threads": "2"}, "no number of threads"),
        ({"threads": True}, "no number of threads"),
        ({"threads": 1.5}, "no number of threads"),
        ({"strict": "yes"}, "give True or False"),
        ({"seconds": 0}, "no time to measure"),
        ({"seconds": float("inf")}, "no time to measure"),
        ({"seconds": float("nan")}, "no time to measure"),
        ({"seconds": "2"}, "no time to measure"),
        ({"device": 3}, "no device"),
    ],
)
def test_settings_that_are_of_no_use(card: ModelCard, wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        bench(card, **{"seconds": SHORT, **wrong})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--threads", ("0", "-1", "1.5", "two", "9" * 30)),
        ("--seconds", ("0", "nan", "inf", "long")),
    ],
)
def test_numbers_of_no_use_in_the_shell(
    option: str, values: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    for value in values:
        assert main(["bench", option, value]) in (1, 2)
        out, err = capfd.readouterr()
        assert out == ""
        assert err.splitlines()[-1].startswith(("Error: Invalid value for", "edgeinc: "))


def test_every_runtime_that_has_weights(shared: Path) -> None:
    if len(installed()) < 2:
        pytest.skip("only one runtime is installed")
    network = replace(find_card("tf2_mobilenet_v2_1.0_224_ptq"), folder=shared / "models")
    rows = bench(network, seconds=SHORT, device="cpu", threads=1).rows
    assert [(row.runtime, row.device) for row in rows] == [("litert", "CPU"), ("onnx", CPU)]


def test_a_card_that_no_runtime_is_here_for(card: ModelCard) -> None:
    own = replace(card.files[1], runtime="nosuch", device="nosuch")
    with pytest.raises(RuntimeUnavailableError, match="No package here offers"):
        bench(replace(card, files=(own,)), seconds=SHORT)
