"""Speed of a backbone: which rows there are, and what they say ran."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgeinc.bench import bench
from edgeinc.cards import ModelCard, ModelFile, read_card
from edgeinc.errors import DeviceError, InputError, ModelNotFoundError
from edgeinc.runtimes import installed
from edgeinc.runtimes.base import physical_cores
from edgeinc.weights import find_card
from tests.absent import run_without

SHORT = 0.01


@pytest.fixture
def card(tiny_card: Path) -> ModelCard:
    """The tiny network, with a file for LiteRT that is not here."""
    tiny = read_card(tiny_card)
    file: ModelFile = replace(tiny.files[0], name="tiny.tflite", runtime="litert")
    return replace(tiny, files=(file, *tiny.files))


def test_a_row_for_one_thread_and_one_for_all_cores(card: ModelCard) -> None:
    steps: list[tuple[int, int]] = []
    rows = bench(card, seconds=SHORT, progress=lambda *step: steps.append(step))
    counts = sorted({1, physical_cores()})
    assert [row.threads for row in rows] == counts
    assert steps == [(i + 1, len(counts)) for i in range(len(counts))]
    for row in rows:
        # LiteRT may be installed; its weights are not.
        assert (row.model, row.runtime, row.device) == ("tiny", "onnx", "CPUExecutionProvider")
        assert 0 < row.p50_ms <= row.p95_ms
        assert row.per_second > 0


def test_threads_and_device_that_were_asked_for(card: ModelCard) -> None:
    rows = bench(card, seconds=SHORT, threads=3, device="CPUExecutionProvider", strict=True)
    assert [(row.threads, row.device) for row in rows] == [(3, "CPUExecutionProvider")]
    with pytest.raises(InputError, match="0 threads"):
        bench(card, seconds=SHORT, threads=0)
    with pytest.raises(DeviceError, match="NoSuchExecutionProvider"):
        bench(card, seconds=SHORT, device="NoSuchExecutionProvider", strict=True)


def test_weights_that_are_not_here(card: ModelCard, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="models pull tiny"):
        bench(replace(card, folder=tmp_path), seconds=SHORT)


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


def test_every_runtime_that_has_weights(shared: Path) -> None:
    if len(installed()) < 2:
        pytest.skip("only one runtime is installed")
    network = replace(find_card("tf2_mobilenet_v2_1.0_224_ptq"), folder=shared / "models")
    rows = bench(network, seconds=SHORT, threads=1)
    assert [(row.runtime, row.device) for row in rows] == [
        ("litert", "CPU"),
        ("onnx", "CPUExecutionProvider"),
    ]
