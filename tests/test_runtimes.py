"""One contract for every runtime, and what each of them promises besides."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeinc import runtimes
from edgeinc.errors import (
    DeviceError,
    InferenceError,
    InputError,
    ModelFormatError,
    RuntimeUnavailableError,
)
from edgeinc.runtimes import FunctionSession, Session, open_session
from edgeinc.runtimes.base import physical_cores
from edgeinc.runtimes.chatter import without_chatter
from edgeinc.runtimes.onnx import OnnxSession
from tests import tiny_networks as tiny

pytest.importorskip("ai_edge_litert", reason="the tiny networks are built with its schema")
pytest.importorskip("onnx", reason="the tiny networks are built with it")

NAMES = ("onnx", "litert", "function")
FILES = ("onnx", "litert")
RESHAPE: dict[str, Callable[[str], bytes]] = {
    "onnx": tiny.onnx_reshape,
    "litert": tiny.tflite_reshape,
}
GATHER = {"onnx": tiny.onnx_gather, "litert": tiny.tflite_gather}
TWO = {"onnx": tiny.onnx_two, "litert": tiny.tflite_two}
CLASSIFIER = {"onnx": tiny.onnx_classifier, "litert": tiny.tflite_classifier}
CPU = {"onnx": "CPUExecutionProvider", "litert": "CPU"}


def reshaping(name: str, dtype: str) -> Session:
    """A session that turns (1, 4, 4, 3) into (1, 48) and changes no number."""
    if name == "function":
        return FunctionSession(lambda x: x.reshape(1, 48), (1, 4, 4, 3), dtype)
    return open_session(RESHAPE[name](dtype), name)


def numbers(dtype: str, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-100, 100, (1, 4, 4, 3)).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "float16", "float32"])
@pytest.mark.parametrize("name", NAMES)
def test_numbers_come_out_as_they_went_in(name: str, dtype: str) -> None:
    x = numbers(dtype)
    before = x.copy()
    with reshaping(name, dtype) as session:
        y = session.run(x)
        assert session.runtime == name
        assert session.input.shape == (1, 4, 4, 3)
        assert session.input.dtype == dtype
        assert session.output.shape == y.shape == (1, 48)
        assert session.output.dtype == y.dtype.name == dtype
    np.testing.assert_array_equal(y, x.reshape(1, 48))
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("name", NAMES)
def test_a_result_is_the_callers_own(name: str) -> None:
    with reshaping(name, "uint8") as session:
        x = numbers("uint8", 1)
        first = session.run(x)
        kept = first.copy()
        session.run(numbers("uint8", 2))
        np.testing.assert_array_equal(first, kept)
        first[:] = 0
        np.testing.assert_array_equal(x, numbers("uint8", 1))
        np.testing.assert_array_equal(session.run(x), kept)


@pytest.mark.parametrize("name", NAMES)
def test_any_memory_layout_is_taken(name: str) -> None:
    x = numbers("float32")
    frozen = x.copy()
    frozen.setflags(write=False)
    padded = np.zeros((1, 8, 4, 3), np.float32)
    padded[:, ::2] = x
    with reshaping(name, "float32") as session:
        for same in (frozen, padded[:, ::2], np.asfortranarray(x)):
            np.testing.assert_array_equal(session.run(same), x.reshape(1, 48))


@pytest.mark.parametrize("name", NAMES)
def test_an_array_that_does_not_fit_is_refused(name: str) -> None:
    with reshaping(name, "uint8") as session:
        for wrong in (np.zeros((1, 4, 4, 4), np.uint8), np.zeros((1, 4, 4, 3), np.int8)):
            with pytest.raises(InputError, match="takes uint8 of shape"):
                session.run(wrong)
        session.run(numbers("uint8"))


@pytest.mark.parametrize("name", NAMES)
def test_a_closed_session_says_so(name: str) -> None:
    session = reshaping(name, "uint8")
    session.close()
    session.close()
    with pytest.raises(InferenceError, match="closed"):
        session.run(numbers("uint8"))


@pytest.mark.parametrize("name", NAMES)
def test_threads_may_share_a_session(name: str) -> None:
    wrong: list[int] = []
    with reshaping(name, "int16") as session:

        def work(seed: int) -> None:
            x = numbers("int16", seed)
            for _ in range(50):
                if not np.array_equal(session.run(x), x.reshape(1, 48)):
                    wrong.append(seed)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


@pytest.mark.parametrize("name", NAMES)
def test_a_failing_run_is_an_inference_error(name: str) -> None:
    x = np.full((1, 4), 9, np.int32)
    if name == "function":
        session: Session = FunctionSession(
            lambda x: np.zeros(4 if x.any() else 3, np.float32), (1, 4), "int32"
        )
    else:
        session = open_session(GATHER[name](), name)
    with session:
        with pytest.raises(InferenceError) as caught:
            session.run(x)
        assert name == "function" or caught.value.__cause__ is not None
        session.run(np.zeros_like(x))


@pytest.mark.parametrize("name", FILES)
def test_a_path_and_its_content_are_one_model(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(RESHAPE[name]("uint8"))
    with open_session(path, name, threads=1) as session:
        assert session.device == CPU[name]
        np.testing.assert_array_equal(
            session.run(numbers("uint8")), numbers("uint8").reshape(1, 48)
        )
    with pytest.raises(ModelFormatError, match="cannot be read"):
        open_session(tmp_path / "missing", name)


@pytest.mark.parametrize("name", FILES)
def test_quantisation_of_the_input_is_known(name: str) -> None:
    inspection = runtimes.inspect(CLASSIFIER[name](), name)
    (picture,) = inspection.inputs
    assert (picture.name, picture.shape, picture.dtype) == ("picture", (1, 8, 8, 3), "uint8")
    assert (picture.scale, picture.zero_point) == (1 / 128, 128)


@pytest.mark.parametrize("name", FILES)
def test_a_device_that_is_not_here(name: str) -> None:
    model = RESHAPE[name]("uint8")
    device = {"onnx": "NowhereExecutionProvider", "litert": "libnowhere.so.1"}[name]
    for strict in (True, False):
        with pytest.raises(DeviceError, match=device):
            open_session(model, name, device=device, strict=strict)


def test_a_provider_that_takes_nothing_is_not_reported() -> None:
    import onnxruntime

    device = "AzureExecutionProvider"
    if device not in onnxruntime.get_available_providers():
        pytest.skip(f"this build of ONNX Runtime has no {device}")
    model = tiny.onnx_classifier()
    for strict in (True, False):
        with pytest.raises(DeviceError, match=f"{device} took no part"):
            open_session(model, "onnx", device=device, strict=strict)


def test_a_library_that_is_no_delegate() -> None:
    if sys.platform != "linux":
        pytest.skip("the library is named as on Linux")
    model = tiny.tflite_classifier()
    with pytest.raises(DeviceError, match="no LiteRT delegate"):
        open_session(model, "litert", device="libm.so.6", strict=True)


DELEGATE = """
#include <stddef.h>
#include <stdlib.h>
typedef struct { void *data; int (*prepare)(void *, void *); void *rest[5]; } Delegate;
static int prepare(void *context, void *delegate) { return PREPARE; }
void *tflite_plugin_create_delegate(char **keys, char **values, size_t n,
                                    void (*report)(const char *)) {
    if (PREPARE < 0) { report("no chip found"); return NULL; }
    Delegate *delegate = calloc(1, sizeof(Delegate));
    delegate->prepare = prepare;
    return delegate;
}
void tflite_plugin_destroy_delegate(void *delegate) { free(delegate); }
"""


@pytest.mark.parametrize(
    ("prepare", "says"),
    [(0, "took no part"), (1, "refused the network"), (-1, "does not start.*no chip found")],
)
def test_a_delegate_that_does_not_run_the_network(prepare: int, says: str, tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler to build a delegate with")
    source, library = tmp_path / "delegate.c", tmp_path / "libdelegate.so"
    source.write_text(DELEGATE)
    command = [compiler, "-shared", "-fPIC", f"-DPREPARE={prepare}", source, "-o", library]
    subprocess.run(command, check=True)
    model = tiny.tflite_classifier()
    for strict in (True, False):
        with pytest.raises(DeviceError, match=says):
            open_session(model, "litert", output="pool", device=str(library), strict=strict)


@pytest.mark.parametrize("name", FILES)
def test_damaged_files_are_typed_errors(name: str) -> None:
    model = CLASSIFIER[name]()
    for bad in (b"", b"no network at all", model[: len(model) // 2], b"\0" * 400):
        with pytest.raises(ModelFormatError):
            open_session(bad, name)
        with pytest.raises(ModelFormatError):
            open_session(bad, name, output="pool")
        with pytest.raises(ModelFormatError):
            runtimes.inspect(bad, name)


@pytest.mark.parametrize("bad", [(-0.5, 3), (0.5, 300), (float("nan"), 3)])
def test_quantisation_that_would_crash_litert(bad: tuple[float, int]) -> None:
    net = tiny.TfliteBuilder()
    x = net.tensor("x", (1, 4), "uint8", quantization=bad)
    y = net.tensor("y", (1, 4), "int8", quantization=(0.5, 0))
    net.operator("QUANTIZE", [x], [y], net.schema.QuantizeOptionsT())
    with pytest.raises(ModelFormatError, match="quantisation of tensor 'x'"):
        open_session(net.build([x], [y]), "litert")


@pytest.mark.parametrize("name", FILES)
def test_open_sizes(name: str) -> None:
    if name == "onnx":
        batch = tiny.onnx_reshape("uint8", ("n", 4, 4, 3))
        size = tiny.onnx_reshape("uint8", (1, "h", "w", 3))
    else:
        batch = tiny.tflite_reshape("uint8", signature=(-1, 4, 4, 3))
        size = tiny.tflite_reshape("uint8", signature=(1, -1, -1, 3))
    with open_session(batch, name) as session:
        assert session.input.shape == (1, 4, 4, 3)
        assert session.output.shape == (1, 48)
    with pytest.raises(ModelFormatError, match="fixed size"):
        open_session(size, name)


@pytest.mark.parametrize("name", FILES)
def test_several_inputs_and_outputs(name: str) -> None:
    x = np.array([[1, 2]], np.float32)
    with pytest.raises(ModelFormatError, match="2 inputs"):
        open_session(TWO[name](2, 1), name)
    with pytest.raises(ModelFormatError, match="2 inputs"):
        open_session(TWO[name](2, 2), name, output="total")
    with pytest.raises(ModelFormatError, match="2 outputs"):
        open_session(TWO[name](1, 2), name)
    with open_session(TWO[name](1, 2), name, output="total") as session:
        np.testing.assert_array_equal(session.run(x), 4 * x)
    with open_session(TWO[name](2, 1), name, output="twice_a") as session:
        assert session.input.name == "a"
        np.testing.assert_array_equal(session.run(x), 2 * x)


def test_wrong_questions() -> None:
    model = tiny.onnx_reshape("uint8")
    with pytest.raises(RuntimeUnavailableError, match=r"No package here offers .*'caffe'"):
        open_session(model, "caffe")
    with pytest.raises(InputError, match="litert, onnx"):
        runtimes.inspect(model, "caffe")
    with pytest.raises(InputError, match="give from 1"):
        open_session(model, "onnx", threads=0)


def test_element_types_that_no_session_takes() -> None:
    with pytest.raises(ModelFormatError, match="bool"):
        open_session(tiny.tflite_reshape("bool"), "litert")
    with pytest.raises(ModelFormatError, match="bool"):
        open_session(tiny.onnx_reshape("bool"), "onnx")


def test_a_function_must_keep_its_word() -> None:
    with pytest.raises(InferenceError, match="numpy array"):
        FunctionSession(lambda x: x.tolist(), (1, 4))
    for shape, dtype in (((), "uint8"), ((0, 3), "uint8"), ((1, 3), "complex64")):
        with pytest.raises(InputError, match="cannot take"):
            FunctionSession(lambda x: x, shape, dtype)
    session = FunctionSession(
        lambda x: x, (1, 2), "int8", scale=0.5, zero_point=-128, name="my chip"
    )
    assert session.device == "my chip"
    assert (session.output.scale, session.output.zero_point) == (0.5, -128)


def test_what_is_here() -> None:
    assert runtimes.installed() == ("litert", "onnx")
    here = {info.name: info for info in runtimes.available()}
    assert here.keys() == {"litert", "onnx"}
    assert "CPUExecutionProvider" in here["onnx"].devices
    assert here["litert"].version.startswith("ai-edge-litert ")
    assert 1 <= physical_cores() <= (os.cpu_count() or 1)


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    onnx_model, tflite_model = tiny.onnx_classifier(), tiny.tflite_classifier()
    barred = ("onnx", "onnxruntime", "ai_edge_litert", "tflite_runtime")
    for module in [*barred, *(m for m in sys.modules if m.split(".")[0] in barred)]:
        monkeypatch.setitem(sys.modules, module, None)  # Python's way to bar an import
    assert runtimes.available() == ()
    assert "litert" not in runtimes.installed()
    with pytest.raises(RuntimeUnavailableError, match=r"edgeinc\[litert\]"):
        open_session(tflite_model, "litert")
    with pytest.raises(RuntimeUnavailableError, match="pip install onnxruntime"):
        open_session(onnx_model, "onnx")
    with pytest.raises(RuntimeUnavailableError, match=r"edgeinc\[onnx\]"):
        runtimes.inspect(onnx_model, "onnx")


def test_tflite_runtime_is_refused_beside_numpy_2(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if np.__version__.startswith("1."):
        pytest.skip("numpy 1 is installed, with which tflite-runtime works")
    (tmp_path / "tflite_runtime").mkdir()
    (tmp_path / "tflite_runtime" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    assert runtimes.installed() == ("onnx",)
    with pytest.raises(RuntimeUnavailableError, match=r"numpy 2.*edgeinc\[litert\]"):
        open_session(b"never read", "litert")


def test_threads_do_not_spin() -> None:
    with open_session(tiny.onnx_classifier(), "onnx", threads=2) as session:
        assert isinstance(session, OnnxSession)
        options = session._session.get_session_options()
        assert options.intra_op_num_threads == 2
        for pool in ("intra_op", "inter_op"):
            assert options.get_session_config_entry(f"session.{pool}.allow_spinning") == "0"


def test_small_talk_is_left_out_and_warnings_are_not(capfd: pytest.CaptureFixture[str]) -> None:
    with without_chatter():
        os.write(2, b"INFO: Created a delegate.\nWARNING: it is slow\n")
    os.write(2, b"INFO: not ours\n")
    assert capfd.readouterr().err == "WARNING: it is slow\nINFO: not ours\n"


def test_opening_a_network_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with open_session(tiny.tflite_classifier(), "litert"):
        assert capfd.readouterr().err == ""


TELLTALE = """
import sys
from edgeinc.runtimes import open_session
open_session(open(sys.argv[1], "rb").read(), "onnx").close()
"""


def test_onnx_runtime_keeps_and_tells_nothing_about_the_device(tmp_path: Path) -> None:
    """Since 1.29 it would keep an id of the device in the home, and an id beside other scratch."""
    model, home = tmp_path / "net.onnx", tmp_path / "home"
    model.write_bytes(tiny.onnx_reshape("uint8"))
    home.mkdir()
    # A variable of continuous integration would silence it, too.
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "BUILD_ID")}
    kept.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run(
        [sys.executable, "-B", "-c", TELLTALE, str(model)],
        cwd=Path(__file__).parents[1],
        env={**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home), "TMPDIR": str(home)},
        check=True,
    )
    assert list(home.rglob("*")) == []
