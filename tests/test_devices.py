"""Asking for a device, and the truth about what ran: errors, shares, a real delegate."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
import re
import shutil
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest

from edgeinc import Backbone, Device, Engine
from edgeinc.cards import ModelCard, dump_card, parse_card
from edgeinc.catalogue import verify
from edgeinc.cli import main
from edgeinc.devices import CPU_PROVIDER, Placement
from edgeinc.errors import (
    CardError,
    DeviceError,
    DeviceLibraryError,
    DeviceNotFoundError,
    DeviceRefusedError,
    InferenceError,
    InputError,
    ModelFormatError,
)
from edgeinc.runtimes import (
    delegates,
    hints,
    onnx,
    onnx_compiled,
    onnx_options,
    onnx_package,
    open_session,
    providers,
)
from edgeinc.runtimes.shares import Operator, onnx_macs, share
from edgeinc.weights import find_card
from tests import tiny_networks as tiny
from tests.absent import before_others
from tests.conftest import photo

pytest.importorskip("ai_edge_litert", reason="the tiny networks are built with its schema")
pytest.importorskip("onnx", reason="the tiny networks are built with it")

SOURCE = Path(__file__).with_name("delegate.c")
RESHAPE, CUSTOM, CONV, DENSE, MEAN, QUANTIZE = 22, 32, 3, 9, 40, 114
CORAL_SAYS = (
    "The delegate libedgetpu.so.1 (Coral Edge TPU) is not here; install libedgetpu1-std "
    "(apt, packages.cloud.google.com)."
)


def compiled(source: Path, library: Path, *more: str | Path) -> Path:
    """Compiles a shared library."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform == "win32":
        pytest.skip("there is no C compiler to build a delegate with")
    subprocess.run([compiler, "-shared", "-fPIC", source, "-o", library, *more], check=True)
    return library


@pytest.fixture(scope="session")
def delegate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a delegate that takes the operators it is told to take."""
    return str(compiled(SOURCE, tmp_path_factory.mktemp("delegate") / "libdelegate.so"))


def numbers() -> np.ndarray:
    return np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3)


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("auto", "auto", {}),
        ("NPU", "npu", {}),
        ("libx.so,a=b", "libx.so", {"a": "b"}),
        ("libx.so,a=b,,c,d=", "libx.so", {"a": "b,c", "d": ""}),
        ("/opt/a,,b/libx.so,path=/dev/x:y=1", "/opt/a,b/libx.so", {"path": "/dev/x:y=1"}),
        ("libx.so,a=,,", "libx.so", {"a": ","}),
    ],
)
def test_a_device_is_one_text(text: str, name: str, options: dict[str, str]) -> None:
    device = Device.of(text)
    assert (device.name, dict(device.options)) == (name, options)
    assert Device.of(device.text) == device == Device.of(device)
    assert hash(Device.of(device.text)) == hash(device)


def test_options_may_be_numbers() -> None:
    device = Device("libx.so", {"threads": 2, "scale": 0.5})
    assert device.text == "libx.so,threads=2,scale=0.5"


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("", "is no device"),
        ("a\0b", "is no device"),
        ("x" * 5000, "is no device"),
        (3, "is no device"),
        (None, "is no device"),
        ("libx.so,flag", "write key=value"),
        ("libx.so,a=1,a=2", "has the option 'a' twice"),
        ("libx.so,=1", "no name of an option"),
        ("npu,a=1", "takes no options"),
        ("onnx", "is a runtime, no device; give CPUExecutionProvider, or"),
        ("LiteRT", "is a runtime, no device; give cpu, or"),
    ],
)
def test_what_is_no_device(bad: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        open_session(tiny.tflite_reshape("uint8"), "litert", device=bad)


@pytest.mark.parametrize("value", [True, None, b"1", [1], float("nan"), "a\nb"])
def test_options_of_the_wrong_type(value: Any) -> None:
    with pytest.raises(InputError, match="give a text or a number"):
        Device("QNNExecutionProvider", {"htp_arch": value})


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))]
)
def test_a_device_can_be_copied(again: Callable[[Device], Device]) -> None:
    device = Device("libedgetpu.so.1", {"device": "usb"})
    assert again(device) == device
    assert again(device).options == device.options


def test_a_device_is_never_changed() -> None:
    device = Device("libx.so", {"a": "b"})
    with pytest.raises(AttributeError, match="never changed"):
        device.name = "liby.so"
    options: Any = device.options
    with pytest.raises(TypeError):
        options["a"] = "c"


def test_options_are_a_mapping() -> None:
    wrong: Any = ["a=1"]
    with pytest.raises(InputError, match="no mapping"):
        Device("libx.so", wrong)


def test_a_delegate_gets_its_options_and_runs_the_network(
    delegate: str, capfd: pytest.CaptureFixture[str]
) -> None:
    model = tiny.tflite_reshape("uint8")
    for change in (0, 255):
        device = Device(delegate, {"takes": RESHAPE, "xor": change})
        with open_session(model, "litert", device=device, strict=True) as session:
            assert session.placement == (device.text, delegate, 1.0, 1.0, ())
            assert session.device == delegate
            np.testing.assert_array_equal(session.run(numbers()), numbers().reshape(1, 48) ^ change)
    # It prints on stdout, which is for results.
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("takes", "nodes", "macs"),
    [
        (f"{CONV}", 1 / 4, 1728 / 1740),
        (f"{DENSE}", 1 / 4, 12 / 1740),
        (f"{CONV}+{DENSE}", 2 / 4, 1.0),
        (f"{MEAN}", 1 / 4, 0.0),
        (f"{QUANTIZE}+{CONV}+{MEAN}", 3 / 4, 1728 / 1740),
    ],
)
def test_the_share_that_a_delegate_runs(
    delegate: str, takes: str, nodes: float, macs: float
) -> None:
    model, device = tiny.tflite_classifier(), f"{delegate},takes={takes}"
    with open_session(model, "litert", device=device) as session:
        asked, ran, *shares, left = session.placement
    assert (asked, ran) == (device, f"{delegate}+CPU")
    assert shares == [pytest.approx(nodes), pytest.approx(macs)]
    assert len(left) == 4 - round(4 * nodes)
    with pytest.raises(DeviceRefusedError, match="does not run all of the network") as refused:
        open_session(model, "litert", device=device, strict=True)
    assert refused.value.operators == left
    assert all(name in str(refused.value) for name in left)


def test_every_operator_that_did_not_fit_is_named(delegate: str) -> None:
    with pytest.raises(DeviceRefusedError, match="took no part") as refused:
        open_session(tiny.tflite_classifier(), "litert", device=delegate, strict=True)
    names = ("QUANTIZE 'first'", "CONV_2D 'layer'", "MEAN 'pool'", "FULLY_CONNECTED 'logits'")
    assert refused.value.operators == names


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        (f"takes={RESHAPE},refuse=1", DeviceRefusedError, "refused.*the graph is too large"),
        ("volume=11", DeviceNotFoundError, "does not start.*unknown option volume=11"),
        ("takes=999", DeviceRefusedError, "took no part"),
    ],
)
def test_a_delegate_that_fails(
    delegate: str, options: str, kind: type[DeviceError], says: str
) -> None:
    model, device = tiny.tflite_reshape("uint8"), f"{delegate},{options}"
    for strict in (True, False):
        with pytest.raises(kind, match=says):
            open_session(model, "litert", device=device, strict=strict)


def test_a_delegate_that_fails_while_it_runs(delegate: str) -> None:
    device = f"{delegate},takes={RESHAPE},fails=1"
    session = open_session(tiny.tflite_reshape("uint8"), "litert", device=device)
    with pytest.raises(InferenceError) as caught:
        session.run(numbers())
    assert str(caught.value) == (
        f"LiteRT failed while it ran on {delegate} (the chip is on fire; Node number 1 (Test) "
        "failed to invoke); check that its chip works, or ask for the device cpu."
    )


def test_a_provider_that_fails_while_it_runs() -> None:
    session = open_session(tiny.onnx_classifier(), "onnx")
    assert isinstance(session, onnx.OnnxSession)
    picture = np.zeros(session.input.shape, session.input.dtype)
    # Of another network, which takes another picture: it fails as on a chip that is gone.
    other = onnxruntime.InferenceSession(tiny.onnx_reshape("uint8"), providers=[CPU_PROVIDER])
    for name, says in (
        (CPU_PROVIDER, r"^ONNX Runtime failed while it ran \(.+\); verify the model's file\.$"),
        ("QNNExecutionProvider", r" ran on QNNExecutionProvider \(.+\); check that its chip works"),
    ):
        session.move(other, Placement(name, name))
        with pytest.raises(InferenceError, match=says):
            session.run(picture)


def strictly(device: str, model: bytes | None = None) -> None:
    open_session(model or tiny.tflite_reshape("uint8"), "litert", device=device, strict=True)


def test_a_library_that_is_missing() -> None:
    with pytest.raises(DeviceNotFoundError, match="is not here; install it, or give its whole"):
        strictly("libnowhere.so")
    with pytest.raises(DeviceNotFoundError, match=r"Qualcomm.*is not here.*AI Engine Direct"):
        strictly("libQnnTFLiteDelegate.so,backend_type=htp")


def test_corals_library_is_missing() -> None:
    if sys.platform != "linux" or "libedgetpu.so.1" in loaded():
        pytest.skip("Coral's library is here, or named otherwise")
    with pytest.raises(DeviceNotFoundError) as caught:
        strictly("libedgetpu.so.1", tiny.tflite_compiled())
    assert str(caught.value) == CORAL_SAYS
    documented = (SOURCE.parents[1] / "docs" / "devices.md").read_text(encoding="utf-8")
    assert CORAL_SAYS in documented.replace("\n    ", " ")


def loaded() -> tuple[str, ...]:
    return delegates.here()


def test_a_library_for_another_processor(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("other systems have no ELF libraries")
    own = struct.unpack_from("<H", Path(sys.executable).read_bytes(), 18)[0]
    number, name = (183, r"Arm \(64 bits\)") if own != 183 else (62, "x86-64")
    head = struct.pack("<4sBBB9xHHI", b"\x7fELF", 2, 1, 1, 3, number, 1)
    library = tmp_path / "libother.so"
    library.write_bytes(head.ljust(4096, b"\0"))
    with pytest.raises(DeviceLibraryError, match=f"is for {name}, and this Python"):
        strictly(str(library))


def test_a_library_that_is_damaged_or_no_delegate(tmp_path: Path) -> None:
    library = tmp_path / "libdamaged.so"
    library.write_bytes(b"not a library at all" * 100)
    with pytest.raises(DeviceLibraryError, match="cannot be loaded"):
        strictly(str(library))
    if sys.platform == "linux":
        with pytest.raises(DeviceLibraryError, match="no LiteRT delegate"):
            strictly("libm.so.6")


def test_a_library_that_needs_another(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("the libraries are named as on Linux")
    (tmp_path / "empty.c").write_text("int needed(void) { return 1; }\n")
    needed = compiled(tmp_path / "empty.c", tmp_path / "libneeded.so")
    library = compiled(SOURCE, tmp_path / "libshort.so", "-Wl,--no-as-needed", needed)
    needed.unlink()
    with pytest.raises(DeviceLibraryError, match=r"needs .*libneeded\.so, which is not here"):
        strictly(str(library))


def test_no_npu_and_no_gpu_here() -> None:
    if loaded():
        pytest.skip("a delegate is here")
    for word in ("npu", "gpu"):
        with pytest.raises(DeviceNotFoundError, match="libQnnTFLiteDelegate"):
            strictly(word)
    with pytest.warns(RuntimeWarning, match="The CPU is used instead") as caught:
        backbone = Backbone.open("pebble", device="npu")
    assert len(caught) == 1
    with backbone:
        assert backbone.placement == ("npu", "CPU", 1.0, 1.0, ())


def test_a_network_for_a_device_only() -> None:
    with pytest.raises(ModelFormatError, match=r"compiled for a device.*edgetpu-custom-op"):
        open_session(tiny.tflite_compiled(), "litert")


def documented() -> list[str]:
    """The device in each row of the table of what was tested."""
    text = (SOURCE.parents[1] / "docs" / "devices.md").read_text(encoding="utf-8")
    table = text.split("## What was tested")[1].split("\n## ")[0]
    cells = [row.split(" | ")[1] for row in table.splitlines() if row.startswith("| ")]
    return re.findall(r"`([^`]+)`", " ".join(cells))


@pytest.mark.parametrize("device", documented())
def test_every_documented_name_is_known_and_missed_by_it(device: str) -> None:
    name = Device.of(device.replace(r"\|", "|")).name
    if name in delegates.KNOWN and name not in loaded():
        with pytest.raises(DeviceNotFoundError, match=f"{re.escape(name)}.*is not here; install"):
            strictly(device)
    elif name in providers.KNOWN and name not in providers.here(onnxruntime):
        model = tiny.onnx_reshape("uint8")
        with pytest.raises(DeviceNotFoundError, match=f"no provider '{name}' here"):
            open_session(model, "onnx", device=device, strict=True)
    else:
        here = (*loaded(), *providers.here(onnxruntime))
        words = ("cpu", "GPU", "CPU", "NAME", "hardware=npu|gpu|cpu", "*_edgetpu.tflite")
        assert name in (*here, *words, "cpu", "gpu")


@pytest.mark.parametrize(
    ("device", "kind", "says"),
    [
        ("QNExecutionProvider", DeviceNotFoundError, "did you mean QNNExecutionProvider"),
        ("NopeExecutionProvider", DeviceNotFoundError, "only .*; check its name"),
        ("ExecutionProvider", DeviceNotFoundError, "only .*; check its name"),
        ("NvidiaExecutionProvider", DeviceNotFoundError, "did you mean CUDAExecutionProvider"),
        ("ACLExecutionProvider", DeviceNotFoundError, "use a build that has it"),
        ("QNNExecutionProvider", DeviceNotFoundError, "pip install onnxruntime-qnn"),
        ("XExecutionProvider,library=/nowhere.so", DeviceLibraryError, "/nowhere.so.*check its"),
        (
            "QNNExecutionProvider,hardware=tpu",
            InputError,
            "takes no hardware=tpu; give cpu, gpu or",
        ),
        (
            "DmlExecutionProvider",
            DeviceNotFoundError,
            "; run `pip install onnxruntime-directml` on W",
        ),
        (
            "CoreMLExecutionProvider",
            DeviceNotFoundError,
            "; run `pip install onnxruntime` on macOS",
        ),
        ("CPUExecutionProvider,a=1", InputError, "takes no options"),
        ("npu", DeviceNotFoundError, "finds no NPU"),
    ],
)
def test_providers_that_do_not_run(device: str, kind: type[Exception], says: str) -> None:
    if not hasattr(onnxruntime, "register_execution_provider_library"):
        pytest.skip("this release of ONNX Runtime takes no plugins")
    if len(onnxruntime.get_available_providers()) > 2:
        pytest.skip("this build of ONNX Runtime has providers of its own")
    model = tiny.onnx_reshape("uint8")
    for strict in (True, False):
        with pytest.raises(kind, match=says):
            open_session(model, "onnx", device=device, strict=strict)
    if issubclass(kind, DeviceError):
        with pytest.warns(RuntimeWarning, match=says) as caught:
            backbone = Backbone.open("pebble", runtime="onnx", device=device)
        assert len(caught) == 1
        with backbone:
            assert backbone.placement == (device, "CPUExecutionProvider", 1.0, 1.0, ())


@pytest.mark.parametrize(
    ("path", "whole"), [("./libx.so", "work/libx.so"), ("../libx.so", "work/../libx.so")]
)
def test_a_provider_s_library_is_relative_to_the_working_folder(
    path: str, whole: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hasattr(onnxruntime, "register_execution_provider_library"):
        pytest.skip("this release of ONNX Runtime takes no plugins")
    (tmp_path / "work").mkdir()
    (tmp_path / whole).write_bytes(b"no library")
    monkeypatch.chdir(tmp_path / "work")
    device = f"FooExecutionProvider,library={path}"
    with pytest.raises(DeviceLibraryError) as caught:
        open_session(tiny.onnx_reshape("uint8"), "onnx", device=device, strict=True)
    # It was found, and read.
    assert f"The library {tmp_path / whole} of Foo" in str(caught.value)
    assert "No such file" not in str(caught.value)


@pytest.mark.parametrize("device", ["litert", "libx.so,a", "libx.so,a=1,a=2"])
def test_a_card_s_device_that_there_cannot_be(device: str) -> None:
    """The message does not read as if the key were null."""
    card = find_card("pebble")
    text = dump_card(replace(card, files=(replace(card.files[0], device="libmine.so"),)))
    with pytest.raises(CardError, match=r"files\[0\]: device cannot be asked for\. ") as caught:
        parse_card(text.replace("device: libmine.so", f"device: {device}"))
    with pytest.raises(InputError) as asked:
        Device.of(device)
    assert str(caught.value).endswith(f" {asked.value}")


@pytest.mark.parametrize(
    ("device", "says"),
    [
        (
            "QNNExecutionProvider,backend_type=nonsense",
            "no backend_type=nonsense; give cpu, genie, gpu, ",
        ),
        ("QNNExecutionProvider,backend_type=htp,vtcm_mb=abc", "vtcm_mb=abc.*give a whole number"),
        ("QNNExecutionProvider,htp_performance_mode=1.5", "give balanced, burst, default, "),
        ("QNNExecutionProvider,enable_htp_fp16_precision=yes", "give 0 or 1"),
        ("OpenVINOExecutionProvider,device_type=TPU", "give CPU, GPU, NPU, one of several such"),
        ("OpenVINOExecutionProvider,num_of_threads=x", "give a whole number"),
        ("TensorrtExecutionProvider,trt_fp16_enable=maybe", "true, false, True, False, 0 or 1"),
        ("CUDAExecutionProvider,device_id=first", "give a whole number"),
        ("CUDAExecutionProvider,device_id=-1", r"give a whole number from 0\.$"),
        ("TensorrtExecutionProvider,trt_auxiliary_streams=-2", "a whole number from 0, or -1"),
        ("CoreMLExecutionProvider,MLComputeUnits=ANE", "give ALL, CPUAndGPU, CPUAndNeuralEngine"),
    ],
)
def test_values_that_options_do_not_have(device: str, says: str) -> None:
    # Whether the provider is here or not, and without strict too: it is a slip of the pen.
    for strict in (True, False):
        with pytest.raises(InputError, match=says):
            open_session(tiny.onnx_reshape("uint8"), "onnx", device=device, strict=strict)


@pytest.mark.parametrize(
    "device",
    [
        "QNNExecutionProvider,backend_type=htp,htp_performance_mode=burst,soc_model=SM8550",
        "QNNExecutionProvider,enable_htp_fp16_precision=1,vtcm_mb=8,of_tomorrow=any",
        "OpenVINOExecutionProvider,device_type=GPU.1,num_of_threads=4",
        "OpenVINOExecutionProvider,device_type=HETERO:GPU,,CPU",
        "TensorrtExecutionProvider,trt_fp16_enable=True,trt_engine_cache_path=/x",
        "TensorrtExecutionProvider,trt_auxiliary_streams=-1",
        "TensorrtExecutionProvider,trt_auxiliary_streams=2",
        "XnnpackExecutionProvider,intra_op_num_threads=any",
    ],
)
def test_values_that_options_have(device: str) -> None:
    onnx_options.check_options(Device.of(device))


def test_options_of_every_selection_are_values_that_there_are() -> None:
    for name, known in providers.KNOWN.items():
        for options in (known.npu, known.gpu):
            onnx_options.check_options(Device(name, options or {}))


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (
            "[ONNXRuntimeError] : 1 : FAIL : /src/core/session/x_interfaces.cc:393 virtual "
            "std::unique_ptr<ns::Ep> ns::Factory::Create(const Options&, const Logger&) Could not "
            "determine default backend path for device",
            "Could not determine default backend path for device",
        ),
        ("[ONNXRuntimeError] : 10 : INVALID_GRAPH : This is (really) bad", "This is (really) bad"),
        ("/src/a.h:1 void f(int) No model", "No model"),
        ("No such file /x/y.cc", "No such file /x/y.cc"),
    ],
)
def test_reasons_without_the_places_in_the_sources(said: str, left: str) -> None:
    assert onnx_package.reason(RuntimeError(f"{said}\nand more")) == left


def test_what_a_compiled_network_is_kept_under(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device.of("OpenVINOExecutionProvider,device_type=NPU")
    stamps = {onnx_compiled.stamp(b"net", onnxruntime, device, [])}
    stamps.add(onnx_compiled.stamp(b"another", onnxruntime, device, []))
    other = Device.of("OpenVINOExecutionProvider,device_type=GPU")
    stamps.add(onnx_compiled.stamp(b"net", onnxruntime, other, []))
    # Of a provider that is built in, the release of what brings it: here one that is installed.
    table = {"OpenVINOExecutionProvider": ("numpy", "of-no-package")}
    monkeypatch.setattr(onnx_compiled, "_COMPILING", table)
    stamps.add(onnx_compiled.stamp(b"net", onnxruntime, device, []))
    monkeypatch.setattr(onnxruntime, "__version__", "0.0")
    stamps.add(onnx_compiled.stamp(b"net", onnxruntime, device, []))
    assert len(stamps - {None}) == 5
    assert onnx_compiled.stamp(b"net", onnxruntime, Device("XnnpackExecutionProvider"), []) is None


def test_a_plugin_that_is_no_provider(delegate: str) -> None:
    if not hasattr(onnxruntime, "register_execution_provider_library"):
        pytest.skip("this release of ONNX Runtime takes no plugins")
    device = Device("OurExecutionProvider", {"library": delegate})
    with pytest.raises(DeviceLibraryError, match="CreateEpFactories"):
        open_session(tiny.onnx_reshape("uint8"), "onnx", device=device, strict=True)


def test_multiplications_of_onnx_networks() -> None:
    named = tiny.named(tiny.onnx_float())
    macs = onnx_macs(named)
    known = {kind: n for kind, n in macs.items() if n}
    assert known == {"Conv a": 4 * 64 * 27, "Conv c": 4 * 64 * 36, "MatMul e": 20}
    assert share([Operator("a", "", None), Operator("b", "", 1)], [Operator("a", "", None)]) == (
        0.5,
        None,
    )


def test_what_every_start_looks_for_is_what_is_known() -> None:
    plain = [name for name in delegates.names("npu") if not delegates.KNOWN[name].own_files]
    assert list(hints.PLAIN) == plain
    npus = [name for name, known in providers.KNOWN.items() if known.npu is not None]
    short = [name.removesuffix("ExecutionProvider").lower() for name in npus]
    assert [*hints.CLASSIC, "coreml"] == short


CARD = """\
schema: 1
name: net
title: A file for any device, and one for a chip
licence: Apache-2.0
network: net
input: {{height: 8, width: 8, color: RGB, mean: [0, 0, 0], std: [1, 1, 1], crop: center}}
layer: pool
dim: 4
nonnegative: true
files:
{files}
"""
FILE = """\
- name: {name}
  runtime: litert
  bytes: {bytes}
  sha256: {sha256}
  input: {{layout: NHWC, dtype: uint8, scale: {step}, zero_point: {zero}}}
  embedding: {{tensor: pool, dtype: {dtype}, scale: {scale}, zero_point: {floor}}}
{more}"""


@pytest.fixture
def card(tmp_path: Path) -> Callable[..., ModelCard]:
    """Makes a card: `net.tflite` for any device, `net_edgetpu.tflite` for the one named."""

    def make(device: str | None = None, *, plain: bool = True) -> ModelCard:
        more = "" if device is None else f"  device: {json.dumps(device)}\n"
        numbers = {"step": 1.0, "zero": 0, "dtype": "uint8", "scale": 0.5, "floor": 0}
        files = [("net_edgetpu.tflite", tiny.tflite_compiled(), {**numbers, "more": more})]
        if plain:
            # The quantisation of `tiny.tflite_classifier`.
            others = {"step": 1 / 128, "zero": 128, "dtype": "int8", "scale": 0.02, "floor": -128}
            files.append(("net.tflite", tiny.tflite_classifier(), {**others, "more": ""}))
        text = []
        for name, content, said in files:
            (tmp_path / name).write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            text.append(FILE.format(name=name, bytes=len(content), sha256=digest, **said))
        whole = CARD.format(files="".join(text))
        if not plain:
            whole = whole.replace("name: net\n", "name: net_edgetpu\n")
        (tmp_path / "net.yaml").write_text(whole, encoding="utf-8")
        return parse_card(whole, tmp_path)

    return make


def test_a_card_says_which_device_a_file_is_for(card: Callable[..., ModelCard]) -> None:
    made = card("libmine.so,takes=32")
    assert [file.device for file in made.files] == ["libmine.so,takes=32", None]
    assert parse_card(dump_card(made)).files == made.files
    # Coral's compiler names its files so.
    assert [file.device for file in card().files] == ["libedgetpu.so.1", None]
    for wrong, says in (("auto", "one device"), ("npu,a=1", "takes no options")):
        with pytest.raises(CardError, match=f"device.*{says}"):
            card(wrong)


def test_the_file_for_a_device_is_taken_where_that_is(
    card: Callable[..., ModelCard], delegate: str
) -> None:
    device = f"{delegate},takes={CUSTOM}"
    made = card(device)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Backbone.open(made) as backbone:
            assert backbone.file_name == "net_edgetpu.tflite"
            assert backbone.placement == ("auto", delegate, 1.0, 1.0, ())
            assert backbone.embed([photo(0, 0)]).shape == (1, 4)
        with Backbone.open(made, device="cpu") as backbone:
            assert (backbone.file_name, backbone.device) == ("net.tflite", "CPU")
        with Backbone.open(made, device=delegate, strict=True) as backbone:
            assert backbone.file_name == "net_edgetpu.tflite"
            assert backbone.placement.asked == delegate


def test_the_file_for_any_device_is_taken_where_it_is_not(card: Callable[..., ModelCard]) -> None:
    made = card("libnowhere.so")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Backbone.open(made) as backbone:
            assert (backbone.file_name, backbone.placement.asked) == ("net.tflite", "auto")
    with pytest.warns(RuntimeWarning, match=r"libnowhere\.so is not here") as caught:
        backbone = Backbone.open(made, device="libnowhere.so")
    assert len(caught) == 1
    with backbone, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (backbone.file_name, backbone.device) == ("net.tflite", "CPU")
        backbone.embed_many([photo(0, i) for i in range(20)])
    with pytest.raises(DeviceNotFoundError, match=r"libnowhere\.so is not here"):
        Backbone.open(made, device="libnowhere.so", strict=True)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (f"takes={MEAN},refuse=1", "refused.*the graph is too large.*The CPU is used instead"),
        ("volume=11", "does not start.*unknown option volume=11.*The CPU is used instead"),
        ("takes=999", "took no part.*The CPU is used instead"),
        (f"takes={QUANTIZE}+{CONV}", r"the CPU runs MEAN 'pool'\.$"),
    ],
)
def test_what_the_cpu_has_to_do_is_told_once(
    card: Callable[..., ModelCard], delegate: str, options: str, says: str
) -> None:
    made, device = card("libnowhere.so"), f"{delegate},{options}"
    with Backbone.open(made, device="cpu") as plain:
        expected = plain.embed([photo(0, 0)])
    with pytest.warns(RuntimeWarning, match=says) as caught:
        backbone = Backbone.open(made, device=device)
    assert len(caught) == 1
    with backbone:
        assert backbone.placement.asked == device
        if "instead" in says:
            assert backbone.placement[1:] == ("CPU", 1.0, 1.0, ())
            np.testing.assert_array_equal(backbone.embed([photo(0, 0)]), expected)


def test_all_of_it_is_not_left_to_the_cpu_where_that_is_refused(
    card: Callable[..., ModelCard], delegate: str
) -> None:
    made = card("libnowhere.so")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for device in ("libnowhere.so", "CUDAExecutionProvider", delegate):
            with pytest.raises(DeviceError):
                Backbone.open(made, device=device, fallback=False)
        for device in ("auto", "cpu"):
            with Backbone.open(made, device=device, fallback=False) as backbone:
                assert backbone.device == "CPU"
    # A part may be: that is what `strict` refuses.
    part = f"{delegate},takes={CONV}"
    with pytest.warns(RuntimeWarning, match="the CPU runs"):
        backbone = Backbone.open(made, device=part, fallback=False)
    with backbone:
        assert backbone.device == f"{delegate}+CPU"
    with pytest.raises(DeviceRefusedError, match="does not run all of the network"):
        Backbone.open(made, device=part, strict=True)
    wrong: Any = "no"
    with pytest.raises(InputError, match="fallback is 'no'; give True or False"):
        Backbone.open(made, fallback=wrong)


def test_a_file_for_a_device_that_runs_a_part_of_it(
    card: Callable[..., ModelCard], delegate: str
) -> None:
    made = card()
    plain = made.files[1]
    both = replace(made, files=(replace(plain, device=f"{delegate},takes={CONV}"), plain))
    with pytest.warns(RuntimeWarning, match="the CPU runs") as caught:
        backbone = Backbone.open(both)
    assert len(caught) == 1
    with backbone:
        assert backbone.placement.asked == "auto"
        assert backbone.device == f"{delegate}+CPU"
    with Backbone.open(both, strict=True) as backbone:
        assert backbone.placement == ("auto", "CPU", 1.0, 1.0, ())
    only = replace(both, files=both.files[:1])
    with pytest.raises(DeviceRefusedError, match=r"does not run all of .*MEAN 'pool'"):
        Backbone.open(only, strict=True)


def test_a_card_of_which_no_file_fits(card: Callable[..., ModelCard]) -> None:
    made = card("libnowhere.so", plain=False)
    for device in ("auto", "libnowhere.so"):
        with pytest.raises(DeviceNotFoundError, match=r"libnowhere\.so is not here"):
            Backbone.open(made, device=device)
    with pytest.raises(DeviceNotFoundError, match="choose another"):
        Backbone.open(made, device="cpu")
    with pytest.raises(DeviceNotFoundError, match=r"no \.onnx file, which QNNExec.* needs"):
        Backbone.open(made, device="QNNExecutionProvider")
    (check,) = verify(made).checks
    assert check.ok is None
    assert "cannot be tried here" in check.message


CORAL = """
import json, sys
from edgeinc import Backbone
from edgeinc.cards import read_card
with Backbone.open(read_card(sys.argv[1])) as backbone:
    print(json.dumps([backbone.file_name, backbone.placement]))
"""


def test_corals_file_is_taken_where_corals_library_is(
    card: Callable[..., ModelCard], delegate: str, tmp_path: Path
) -> None:
    if sys.platform != "linux":
        pytest.skip("the library is named as on Linux")
    card(f"libedgetpu.so.1,takes={CUSTOM}")
    shutil.copy(delegate, tmp_path / "libedgetpu.so.1")
    said = {}
    for here in ("/nowhere", str(tmp_path)):
        paths = {"LD_LIBRARY_PATH": before_others(here, "LD_LIBRARY_PATH")}
        found = subprocess.run(
            [sys.executable, "-c", CORAL, str(tmp_path / "net.yaml")],
            env={**os.environ, **paths, "EDGEINC_CACHE": str(tmp_path / "c")},
            check=True,
            capture_output=True,
            text=True,
        )
        said[here] = json.loads(found.stdout)
    assert said[str(tmp_path)] == [
        "net_edgetpu.tflite",
        ["auto", "libedgetpu.so.1", 1.0, 1.0, []],
    ]
    if "libedgetpu.so.1" not in loaded():
        assert said["/nowhere"] == ["net.tflite", ["auto", "CPU", 1.0, 1.0, []]]


def test_the_engine_and_the_shell_tell_what_ran(
    card: Callable[..., ModelCard],
    delegate: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path / "cache"))
    card(f"{delegate},takes={CUSTOM}")
    network, store = str(tmp_path / "net.yaml"), str(tmp_path / "s.db")
    with Engine.open(store, backbone=network, device=delegate) as engine:
        engine.enroll("a", [photo(0, i) for i in range(3)])
        placement = engine.predict(photo(0, 9)).placement
    assert placement == (delegate, delegate, 1.0, 1.0, ())
    cv2.imwrite(str(tmp_path / "p.png"), photo(0, 9))

    def call(*words: str) -> tuple[int, str, str]:
        status = main(["--json", "--store", store, "--backbone", network, *words])
        return status, *capfd.readouterr()

    status, out, _ = call("--device", f"{delegate},xor=0", "predict", str(tmp_path / "p.png"))
    said = json.loads(out)["placement"]
    assert status == 0
    assert said == {
        "asked": f"{delegate},xor=0",
        "device": delegate,
        "nodes": 1.0,
        "macs": 1.0,
        "left": [],
    }
    status, out, err = call("--device", "libnowhere.so", "--strict", "predict", "p.png")
    assert (status, out) == (1, "")
    assert err.startswith("edgeinc: ")
    assert "libnowhere.so is not here" in err
    status, out, _ = call("--device", delegate, "doctor")
    assert json.loads(out)["placement"]["device"] == delegate
    status, out, err = call("--device", "libnowhere.so", "--strict", "doctor")
    assert (status, json.loads(out)["placement"]) == (1, None)
    assert "libnowhere.so is not here" in err
    status, out, _ = call("--device", delegate, "bench", "--seconds", "0.1")
    assert {row["placement"]["device"] for row in json.loads(out)["rows"]} == {delegate}
