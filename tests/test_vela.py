"""Arm's compiler for Ethos-U NPUs takes all of the embedded backbone: `make test-accelerators`."""

from __future__ import annotations

import csv
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

NETWORK = Path(__file__).parents[1] / "models" / "pebble" / "pebble.tflite"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ethosu") is None, reason="ethos-u-vela is not installed"
)


# Cycles as docs/devices.md has them, of vela 5.2; another release may estimate otherwise.
@pytest.mark.parametrize(
    ("accelerator", "cycles", "hertz"),
    [("ethos-u55-128", 3_438_231, 500e6), ("ethos-u65-256", 1_332_063, 1e9)],
)
def test_all_of_the_embedded_backbone_is_for_the_npu(
    accelerator: str, cycles: int, hertz: float, tmp_path: Path
) -> None:
    words = [sys.executable, "-m", "ethosu.vela", NETWORK]
    options = ["--accelerator-config", accelerator, "--output-dir", tmp_path]
    done = subprocess.run([*words, *options], capture_output=True, text=True, check=True)
    counts = dict(re.findall(r"^(CPU|NPU) operators = (\d+ \(.*%\))$", done.stdout, re.M))
    assert counts == {"CPU": "0 (0.0%)", "NPU": "28 (100.0%)"}
    (summary,) = tmp_path.glob("*.csv")
    with summary.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["core_clock"]) == hertz
    assert int(row["cycles_total"]) == pytest.approx(cycles, rel=0.1)
    # Nothing but the NPU's own operator is in what it wrote.
    (compiled,) = tmp_path.glob("*.tflite")
    assert operators(compiled.read_bytes()) == [b"ethos-u"]


def operators(content: bytes) -> list[bytes | None]:
    """Of the only graph in a `.tflite` file: their own names, None for TFLite's operators."""
    from ethosu.vela.tflite.Model import Model

    model = Model.GetRootAs(content)
    assert model.SubgraphsLength() == 1
    graph = model.Subgraphs(0)
    steps = (graph.Operators(i).OpcodeIndex() for i in range(graph.OperatorsLength()))
    return [model.OperatorCodes(step).CustomCode() for step in steps]
