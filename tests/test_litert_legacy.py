"""The legacy path: tflite-runtime 2.14, which cannot cut, in an environment of its own.

python3.11 -m venv legacy && legacy/bin/pip install '.[tflite-legacy]' pytest
legacy/bin/python -m pytest tests/test_litert_legacy.py
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

from edgeinc import runtimes
from edgeinc.errors import ModelFormatError, TensorNotFoundError
from edgeinc.runtimes import cut_tflite, open_session

if importlib.util.find_spec("ai_edge_litert") is not None:
    pytest.skip("ai-edge-litert is installed and goes first", allow_module_level=True)
pytest.importorskip("tflite_runtime", reason="tflite-runtime is not installed")

SHARED = Path(os.environ.get("EDGEINC_SHARED", Path(__file__).parents[2] / "shared"))
MODELS = sorted((SHARED / "models").glob("*.tflite"))
if not MODELS:
    pytest.skip("the folder of shared models is not here", allow_module_level=True)


@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
def test_an_inner_tensor_is_read_from_the_whole_network(path: Path) -> None:
    from tflite_runtime.interpreter import Interpreter

    assert not cut_tflite.can_cut()
    proposed = runtimes.inspect(path, "litert").proposed
    assert proposed is not None
    with open_session(path, "litert", output=proposed.spec.name) as session:
        assert session.output == proposed.spec
        x = np.random.default_rng(0).integers(0, 256, session.input.shape).astype(np.uint8)
        y = session.run(x)
    net = Interpreter(model_path=str(path), experimental_preserve_all_tensors=True)
    net.allocate_tensors()
    net.set_tensor(net.get_input_details()[0]["index"], x)
    net.invoke()
    names = {d["name"]: d["index"] for d in net.get_tensor_details()}
    np.testing.assert_array_equal(y, net.get_tensor(names[proposed.spec.name]))
    assert y.min() < y.max()


def test_what_is_here() -> None:
    assert "litert" in runtimes.installed()
    versions = {info.name: info.version for info in runtimes.available()}
    assert versions["litert"].startswith("tflite-runtime 2.")


def test_errors_are_typed() -> None:
    with pytest.raises(TensorNotFoundError, match="no tensor named"):
        open_session(MODELS[0], "litert", output="nothing")
    content = MODELS[0].read_bytes()
    for bad in (b"", b"no network at all", b"\0" * 400):
        with pytest.raises(ModelFormatError):
            open_session(bad, "litert", output="nothing")
    with open_session(content, "litert", threads=1) as session:
        assert session.device == "CPU"
