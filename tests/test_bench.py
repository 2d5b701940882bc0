"""Speed of backbones: which ways there are, what is said of them, which one is recommended."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edgeinc.bench import BenchReport, BenchRow, bench
from edgeinc.bench.plan import ways
from edgeinc.bench.report import best_of
from edgeinc.cards import ModelCard, ModelFile, read_card
from edgeinc.devices import Device, Placement
from edgeinc.errors import (
    DeviceError,
    InferenceError,
    InputError,
    ModelNotFoundError,
    RuntimeUnavailableError,
)
from edgeinc.machine import energy, peak
from edgeinc.plot import plot_bench
from edgeinc.runtimes import installed
from edgeinc.runtimes.base import physical_cores
from edgeinc.weights import find_card
from tests.absent import run_without

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
    return BenchRow("net", "litert", device, placement, threads, p50, 2 * p50, 1, memory, None)


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
    assert report.recommended.options == f"--backbone tiny --device {CPU} --threads 3"
    with pytest.raises(InputError, match="0 threads"):
        bench(card, seconds=SHORT, threads=0)
    with pytest.raises(DeviceError, match="NoSuchExecutionProvider"):
        bench(card, seconds=SHORT, device="NoSuchExecutionProvider", strict=True)
    with pytest.raises(InputError, match="no model"):
        bench([])


def test_a_device_that_falls_back_is_told_once(card: ModelCard) -> None:
    with pytest.warns(RuntimeWarning, match="the CPU is used") as told:
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


def test_a_way_that_crashes_takes_nothing_with_it(
    card: ModelCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A package of a runtime that ends the process in which it is opened.
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
    for name in ("tiny.x", "tiny.onnx"):
        shutil.copy(Path(str(card.folder)) / "tiny.onnx", tmp_path / name)
    plain = card.files[1]
    own = replace(plain, name="tiny.x", runtime="crash", device="crash")
    alone = replace(card, files=(own,), folder=tmp_path)
    with pytest.raises(InferenceError, match="crash on crash crashed by Killed"):
        bench(alone, seconds=SHORT)
    both = replace(alone, files=(own, plain))
    crash, *rest = ways(both, Device("auto"), 1)
    assert (crash.runtime, crash.device.name) == ("crash", "crash")
    report = bench(both, seconds=SHORT, threads=1)
    assert "crash" in [one.runtime for one in report.skipped]
    assert CPU in [row.device for row in report.rows]
    assert len(report.rows) + len(report.skipped) == 1 + len(rest)


def test_every_device_that_is_here(card: ModelCard) -> None:
    plan = ways(card, Device("auto"), None)
    assert {way.runtime for way in plan} == {"onnx"}
    assert plan[0].device == Device("cpu")
    assert len(set(plan)) == len(plan)


def test_what_is_recommended() -> None:
    assert best_of([row(10, 1), row(5, 2), row(5.2, 4)]).threads == 2
    # Two threads that gain less than a tenth are not worth having.
    assert best_of([row(5.2, 1), row(5, 2)]).threads == 1
    assert best_of([row(5, 1, 200), row(5.1, 1, 100)]).memory == 100
    rows = (row(5, 2), row(7, 1, device=CPU))
    assert rows[0].options == "--backbone net --device cpu --threads 2"
    assert rows[1].options == f"--backbone net --device {CPU} --threads 1"
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
    assert lines[-1].startswith("for tiny here: edgeinc --backbone tiny ")
    assert Path(picture).is_file()


def test_every_runtime_that_has_weights(shared: Path) -> None:
    if len(installed()) < 2:
        pytest.skip("only one runtime is installed")
    network = replace(find_card("tf2_mobilenet_v2_1.0_224_ptq"), folder=shared / "models")
    rows = bench(network, seconds=SHORT, device="cpu", threads=1).rows
    assert [(row.runtime, row.device) for row in rows] == [("litert", "CPU"), ("onnx", CPU)]


def test_a_card_that_no_runtime_is_here_for(card: ModelCard) -> None:
    own = replace(card.files[1], runtime="nosuch", device="nosuch")
    with pytest.raises(RuntimeUnavailableError, match="no package here offers"):
        bench(replace(card, files=(own,)), seconds=SHORT)
