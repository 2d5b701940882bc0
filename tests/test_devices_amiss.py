"""Devices that are damaged, misspelt or asked for wrongly: what is said, and by whom."""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import onnxruntime
import pytest

from edgeinc import Backbone, Device, Engine
from edgeinc.cards import Asset, ModelCard, ModelFile, dump_card, parse_card, read_card
from edgeinc.catalogue import compare, verify
from edgeinc.cli import main
from edgeinc.doctor import uses
from edgeinc.errors import (
    CardError,
    DeviceError,
    DeviceLibraryError,
    DeviceNotFoundError,
    DeviceRefusedError,
    InputError,
    ModelNotFoundError,
)
from edgeinc.runtimes import available, open_session, providers
from edgeinc.runtimes.around import devices_here
from edgeinc.runtimes.libraries import refuse_cut
from edgeinc.weights import find_card
from tests import tiny_networks as tiny
from tests.absent import ROOT, before_others
from tests.conftest import photo
from tests.test_devices import CONV, RESHAPE, SOURCE, compiled

needs_elf = pytest.mark.skipif(sys.platform != "linux", reason="libraries are ELF files on Linux")
needs_plugins = pytest.mark.skipif(
    not hasattr(onnxruntime, "register_execution_provider_library"),
    reason="this release of ONNX Runtime takes no plugins",
)
CUT = 3000


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A delegate that takes the operators it is told to take."""
    return compiled(SOURCE, tmp_path_factory.mktemp("amiss") / "libdelegate.so")


@pytest.fixture
def cut(library: Path, tmp_path: Path) -> Path:
    """The beginning of a delegate's library."""
    short = tmp_path / "libcut.so"
    short.write_bytes(library.read_bytes()[:CUT])
    return short


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path / "cache"))


def shell(folder: Path, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, which a damaged library may end."""
    return subprocess.run(
        [sys.executable, "-m", "edgeinc", *map(str, words)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": before_others(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def call(capfd: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = main(list(map(str, words)))
    return status, *capfd.readouterr()


def with_device(card: ModelCard, runtime: str, device: str | None) -> ModelCard:
    """A card with its file for one runtime alone, which is for one device."""
    (file,) = (file for file in card.files if file.runtime == runtime)
    return replace(card, files=(replace(file, device=device),))


# -- libraries that are cut short --------------------------------------------------------


@needs_elf
def test_a_library_that_is_cut_short(cut: Path, tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "p.png"), photo(0, 0))
    says = f"The library {cut} is cut short; copy or install it again."
    done = shell(tmp_path, "--device", cut, "--strict", "predict", "p.png")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"edgeinc: {says}\n")
    done = shell(tmp_path, "--device", cut, "predict", "p.png")
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        0,
        f"warning: {says} The CPU is used instead.",
    )


@needs_elf
@needs_plugins
def test_a_plugin_that_is_cut_short(cut: Path) -> None:
    device = Device("QNNExecutionProvider", {"library": str(cut)})
    with pytest.raises(DeviceLibraryError, match="is cut short; copy or install it again"):
        open_session(tiny.onnx_reshape("uint8"), "onnx", device=device, strict=True)


@needs_elf
def test_a_known_delegate_that_is_cut_short_is_not_there(cut: Path, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    cut.rename(tmp_path / "lib" / "libvx_delegate.so")
    assert cv2.imwrite(str(tmp_path / "p.png"), photo(0, 0))
    there = {"LD_LIBRARY_PATH": before_others(tmp_path / "lib", "LD_LIBRARY_PATH")}
    done = shell(tmp_path, "--json", "predict", "p.png", **there)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["device"] in ("CPU", "CPUExecutionProvider")
    done = shell(tmp_path, "--json", "doctor", **there)
    assert done.returncode == 0, done.stderr
    assert "libvx_delegate.so" not in done.stdout
    done = shell(tmp_path, "--device", "libvx_delegate.so", "--strict", "predict", "p.png", **there)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "lib/libvx_delegate.so is cut short" in done.stderr


@needs_elf
def test_where_a_library_may_end(library: Path, tmp_path: Path) -> None:
    content, found = library.read_bytes(), []
    for length in range(32, len(content), 256):
        (tmp_path / "libx.so").write_bytes(content[:length])
        try:
            refuse_cut(str(tmp_path / "libx.so"))
        except DeviceLibraryError:
            found.append(length)
    # Behind what is mapped into memory are names and tables that the loader does not read.
    assert found == list(range(32, found[-1] + 1, 256))
    assert len(content) / 2 < found[-1] < len(content)
    refuse_cut(str(library))
    (tmp_path / "libx.so").write_bytes(b"no library" * 100)
    refuse_cut(str(tmp_path / "libx.so"))
    refuse_cut(str(tmp_path / "libnowhere.so"))
    refuse_cut("libnowhere.so")


@needs_elf
@pytest.mark.parametrize("bits", [1, 2])
def test_headers_of_both_widths(bits: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One segment of 100 bytes at 200, in a library for this very Python."""
    wide = {1: ("<16xHHIIIIIHHHHHH", 52, 32), 2: ("<16xHHIQQQIHHHHHH", 64, 56)}
    form, head, entry = wide[bits]
    number = struct.unpack_from("<H", Path(sys.executable).read_bytes(), 18)[0]
    header = struct.pack(form, 3, number, 1, 0, head, 0, 0, head, entry, 1, 0, 0, 0)
    segment = {
        1: struct.pack("<8I", 1, 200, 0, 0, 100, 100, 5, 4096),
        2: struct.pack("<2I6Q", 1, 5, 200, 0, 0, 100, 100, 4096),
    }[bits]
    ident = struct.pack("<4sBBB", b"\x7fELF", bits, 1, 1)
    whole = (ident + header[len(ident) :] + segment).ljust(300, b"\0")
    library = tmp_path / "libx.so"
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    (tmp_path / "python").write_bytes(whole)
    library.write_bytes(whole)
    refuse_cut(str(library))
    for length in (299, head + entry, head + entry - 1, head - 1):
        library.write_bytes(whole[:length])
        with pytest.raises(DeviceLibraryError, match="cut short"):
            refuse_cut(str(library))


def test_a_library_in_an_option_that_is_missing(tmp_path: Path) -> None:
    def opened(path: object) -> None:
        device = Device("QNNExecutionProvider", {"backend_path": str(path)})
        open_session(tiny.onnx_reshape("uint8"), "onnx", device=device, strict=True)

    missing = tmp_path / "libQnnHtp.so"
    with pytest.raises(DeviceLibraryError) as caught:
        opened(missing)
    assert str(caught.value) == (
        f"The library {missing} (backend_path of QNNExecutionProvider) is not here; check its path."
    )
    # What is there, and what the provider looks for itself, is for the provider to say.
    missing.touch()
    for path in (missing, "libNowhere.so"):
        with pytest.raises(DeviceError) as other:
            opened(path)
        assert "backend_path" not in str(other.value)


# -- what doctor says --------------------------------------------------------------------


def test_doctor_sees_the_device_that_a_card_names(library: Path, cut: Path) -> None:
    pebble = find_card("pebble")
    device = f"{library},takes={CONV}"
    (use,) = uses(with_device(pebble, "litert", device), available())
    assert (use.devices, use.missing) == ((device,), None)
    (use,) = uses(with_device(pebble, "litert", str(cut)), available())
    assert (use.devices, "is cut short" in str(use.missing)) == ((), True)
    (use,) = uses(with_device(pebble, "onnx", "CPUExecutionProvider"), available())
    assert (use.devices, use.missing) == (("CPUExecutionProvider",), None)
    (use,) = uses(with_device(pebble, "onnx", "NoExecutionProvider"), available())
    assert "no provider 'NoExecutionProvider' here" in str(use.missing)


NPU = """
import sys
from dataclasses import replace
from edgeinc.doctor import uses
from edgeinc.runtimes import available
from edgeinc.weights import find_card
card = find_card("pebble")
files = tuple(replace(file, device="npu") for file in card.files if file.runtime == "litert")
print(uses(replace(card, files=files), available())[0].missing)
"""


@needs_elf
def test_doctor_sees_an_npu(library: Path, tmp_path: Path) -> None:
    (tmp_path / "libvx_delegate.so").write_bytes(library.read_bytes())
    said = []
    for folder in (tmp_path, "/nowhere"):
        paths = {
            "PYTHONPATH": before_others(ROOT),
            "LD_LIBRARY_PATH": before_others(folder, "LD_LIBRARY_PATH"),
        }
        done = subprocess.run(
            [sys.executable, "-c", NPU],
            env={**os.environ, **paths},
            check=True,
            capture_output=True,
            text=True,
        )
        said.append(done.stdout.strip())
    assert said[0] == "None"
    assert said[1] in ("None", "The device npu is not here; connect it, or choose another device.")


def test_doctor_says_that_a_named_backbone_cannot_be_read(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("schema: 1\nname: broken\n", encoding="utf-8")
    store = tmp_path / "s.db"
    for name, says in (("nope", "There is no model 'nope'"), (broken, "title is missing")):
        status, out, err = call(capfd, "--json", "--store", store, "--backbone", name, "doctor")
        assert status == 1
        assert says in err
        found = json.loads(out)
        assert (found["backbone"], found["runtimes"] != []) == (None, True)
        assert any(says in line for line in found["advice"])
    # Nothing is amiss where there is no store, or one that is of the embedded backbone.
    status, out, _ = call(capfd, "--json", "--store", store, "doctor")
    assert (status, json.loads(out)["backbone"]) == (0, "pebble")


def test_doctor_says_that_a_store_s_backbone_is_not_here(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "s.db"
    own = Backbone.from_function(lambda p: p.mean((1, 2)), name="own", size=(8, 8), dim=3)
    with Engine.open(store, backbone=own) as engine:
        engine.enroll("a", photo(0, 0))
    status, _, err = call(capfd, "--store", store, "doctor")
    assert status == 0
    assert "was made with backbone 'own', which is not here" in err


def test_a_server_s_provider_is_not_offered() -> None:
    azure = "AzureExecutionProvider"
    if azure not in onnxruntime.get_available_providers():
        pytest.skip(f"this build of ONNX Runtime has no {azure}")
    (info,) = (info for info in available() if info.name == "onnx")
    assert azure not in (*info.devices, *(device.name for device in devices_here("onnx")))
    assert azure not in providers.here(onnxruntime)


# -- names -------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["5", "0.5", "1e3", "true", "False", "'5'"])
def test_a_card_s_device_is_a_name(wrong: str) -> None:
    text = dump_card(with_device(find_card("pebble"), "litert", "libmine.so"))
    assert parse_card(text).files[0].device == "libmine.so"
    with pytest.raises(CardError, match=r"files\[0\]: device must be a name, neither a number"):
        parse_card(text.replace("device: libmine.so", f"device: {wrong}"))


@pytest.mark.parametrize("name", ["QNNExecutionProvider", "CPUExecutionProvider"])
def test_a_provider_runs_no_tflite_file(name: str) -> None:
    text = dump_card(with_device(find_card("pebble"), "litert", "libmine.so"))
    says = rf"device is {name}, a provider of ONNX Runtime, and pebble\.tflite is a file for LiteRT"
    with pytest.raises(CardError, match=says):
        parse_card(text.replace("device: libmine.so", f"device: {name}"))
    with pytest.raises(DeviceNotFoundError, match="is a provider of ONNX Runtime, which runs no"):
        open_session(tiny.tflite_reshape("uint8"), "litert", device=name, strict=True)


@pytest.mark.parametrize("name", ["libedgetpu.so.1", "./libmine.so", "edgetpu.dll"])
def test_a_delegate_runs_no_onnx_file(name: str) -> None:
    text = dump_card(with_device(find_card("pebble"), "onnx", "QNNExecutionProvider"))
    says = rf"device is {re.escape(name)}, a delegate of LiteRT, and pebble\.onnx is a file for"
    with pytest.raises(CardError, match=says):
        parse_card(text.replace("device: QNNExecutionProvider", f"device: {name}"))
    with pytest.raises(DeviceNotFoundError, match="is a delegate of LiteRT, which runs no"):
        open_session(tiny.onnx_reshape("uint8"), "onnx", device=name, strict=True)


@pytest.mark.parametrize(
    ("name", "means"),
    [
        ("cuda", "CUDAExecutionProvider"),
        ("QNN", "QNNExecutionProvider"),
        ("coral", "libedgetpu.so.1"),
        ("edgetpu", "libedgetpu.so.1"),
        ("CUDAExecutionprovider", "CUDAExecutionProvider"),
        ("openvno", "OpenVINOExecutionProvider"),
        ("Hailo", "hailo"),
        ("npu0", "npu"),
        ("cuda:0", "CUDAExecutionProvider,device_id=0?"),
        ("trt:1", "TensorrtExecutionProvider,device_id=1?"),
        ("npu:0", "npu?"),
        ("intel:0", "OpenVINOExecutionProvider?"),
    ],
)
def test_a_device_that_is_misspelt(name: str, means: str) -> None:
    says = f"There is no device '{name}'; did you mean {re.escape(means)}"
    with pytest.raises(DeviceNotFoundError, match=says) as caught:
        Backbone.open("pebble", runtime="litert", device=name, strict=True)
    assert str(caught.value).endswith("?")
    only = with_device(find_card("pebble"), "onnx", None)
    with pytest.raises(DeviceNotFoundError, match=says):
        Backbone.open(only, device=name, strict=True)


@pytest.mark.parametrize("name", ["abacus", "abacus:0", "cuda:first"])
def test_a_device_that_is_like_no_other(name: str) -> None:
    with pytest.raises(DeviceNotFoundError) as caught:
        open_session(tiny.tflite_reshape("uint8"), "litert", device=name, strict=True)
    assert str(caught.value) == (
        f"There is no device {name!r}; `edgeinc doctor` lists what is here."
    )


def test_a_library_in_the_working_folder(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(library.parent)
    with pytest.raises(DeviceNotFoundError, match=r"; did you mean \./libdelegate\.so\?$"):
        strictly_by("libdelegate.so")
    # Where the network is none for it, its path is of no use.
    only = with_device(find_card("pebble"), "onnx", None)
    with pytest.raises(DeviceNotFoundError, match=r"which libdelegate\.so needs; choose another"):
        Backbone.open(only, device="libdelegate.so", strict=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DeviceNotFoundError) as caught:
        strictly_by("libdelegate.so")
    assert "./libdelegate.so" not in str(caught.value)


def test_a_path_of_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("./libmine.so", str(tmp_path / "libmine.so"), str(tmp_path / "a:b" / "libmine")):
        with pytest.raises(DeviceNotFoundError) as caught:
            strictly_by(path)
        assert str(caught.value) == f"The delegate {path} is not here; check its path."


def strictly_by(device: str) -> None:
    open_session(tiny.tflite_reshape("uint8"), "litert", device=device, strict=True)


def two_chips() -> ModelCard:
    card = find_card("pebble")
    devices = {"litert": "libvx_delegate.so", "onnx": "QNNExecutionProvider"}
    return replace(
        card, files=tuple(replace(file, device=devices[file.runtime]) for file in card.files)
    )


def test_a_card_with_files_for_other_devices_only() -> None:
    with pytest.raises(DeviceNotFoundError) as caught:
        Backbone.open(two_chips(), device="libedgetpu.so.1", strict=True)
    assert str(caught.value) == (
        "pebble has no file for libedgetpu.so.1, only for libvx_delegate.so, "
        "QNNExecutionProvider; choose another model or device."
    )
    with pytest.raises(
        DeviceNotFoundError, match=r"needs the \.tflite file of pebble, and another"
    ):
        Backbone.open("pebble", runtime="onnx", device="libedgetpu.so.1", strict=True)


def test_a_model_that_is_misspelt() -> None:
    listing = "`edgeinc models list` shows what there is."
    with pytest.raises(ModelNotFoundError) as caught:
        find_card("peble")
    assert str(caught.value) == f"There is no model 'peble'; did you mean pebble? {listing}"
    with pytest.raises(ModelNotFoundError) as caught:
        find_card("nope")
    assert str(caught.value) == f"There is no model 'nope'; {listing}"


# -- what is handed in -------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [3, b"pebble", ["pebble"], True])
def test_what_is_no_model(wrong: Any, tmp_path: Path) -> None:
    says = f"{wrong!r} is no model; give a card, or a model's name."
    with pytest.raises(InputError) as caught:
        Backbone.open(wrong)
    assert str(caught.value) == says
    with pytest.raises(InputError) as caught:
        Engine.open(tmp_path / "s.db", backbone=wrong)
    assert str(caught.value) == says
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", ["2", 2.0, True, [1], 0, -1, 10**23])
def test_what_is_no_number_of_threads(wrong: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="threads"):
        Engine.open(tmp_path / "s.db", threads=wrong)
    with pytest.raises(InputError, match="threads"):
        open_session(tiny.tflite_reshape("uint8"), "litert", threads=wrong)
    assert not (tmp_path / "s.db").exists()


@pytest.mark.parametrize("wrong", ["yes", 1, None])
def test_strict_is_yes_or_no(wrong: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give True or False"):
        Engine.open(tmp_path / "s.db", strict=wrong)
    with pytest.raises(InputError, match="give True or False"):
        open_session(tiny.tflite_reshape("uint8"), "litert", strict=wrong)


@pytest.mark.parametrize(
    "make",
    [
        lambda long: Device("libx.so", {"a": long}),
        lambda long: Device("libx.so", {long: "a"}),
        lambda long: Device(long),
        lambda long: Device.of(f"libx.so,{long}"),
        lambda long: Device.of(f"libx.so,{long}=1,{long}=2"),
        lambda long: Device("x" * 4000, {"a": long}),
        lambda long: Device("x" * 4000, [long]),
    ],
)
def test_errors_are_short(make: Callable[[Any], object]) -> None:
    with pytest.raises(InputError) as caught:
        make("x" * 5000)
    assert len(str(caught.value)) < 300


# -- what is told of what ran ------------------------------------------------------------


def test_a_refusal_says_what_the_delegate_says(library: Path) -> None:
    device = f"{library},takes={RESHAPE},refuse=1"
    with pytest.raises(DeviceRefusedError) as caught:
        open_session(tiny.tflite_reshape("uint8"), "litert", device=device, strict=True)
    assert str(caught.value) == (
        f"The delegate {library} refused the network (the graph is too large); use a network "
        "that was made for it."
    )


def test_a_fallback_points_at_the_caller(library: Path, tmp_path: Path) -> None:
    part = f"{library},takes={CONV}"
    ways: list[Callable[[], Any]] = [
        lambda: Backbone.open("pebble", runtime="litert", device="libnowhere.so"),
        lambda: Backbone.open("pebble", runtime="litert", device=part),
        lambda: Engine.open(tmp_path / "s.db", device="libnowhere.so"),
    ]
    for way in ways:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            way().close()
        assert [(w.category, w.filename) for w in caught] == [(RuntimeWarning, __file__)]
        # The line of the call itself.
        assert caught[0].lineno == way.__code__.co_firstlineno


# -- models verify -----------------------------------------------------------------------


def placed(card: ModelCard, folder: Path, **changes: dict[str, Any]) -> Path:
    """A card with files of its own, each changed as told by its runtime."""
    source = card.folder
    assert source is not None
    files: list[ModelFile] = []
    for file in card.files:
        (folder / file.name).write_bytes((source / file.name).read_bytes())
        files.append(replace(file, **changes.get(file.runtime, {})))
    path = folder / f"{card.name}.yaml"
    bare = replace(card, files=tuple(files), labels=None, classifier=None, background=None)
    path.write_text(dump_card(bare), encoding="utf-8")
    return path


def test_verify_without_the_devices(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = placed(
        find_card("pebble"),
        tmp_path,
        litert={"device": "libnowhere.so"},
        onnx={"device": "NoExecutionProvider"},
    )
    status, _, err = call(capfd, "models", "verify", path)
    assert status == 1
    assert "no device that its files are for is here" in err
    assert "models pull" not in err
    found = verify(path)
    assert [(check.ok, check.sound) for check in found.checks] == [(None, True)] * 2
    assert err == f"edgeinc: pebble cannot be used: {found.advice}\n"
    # Where a file is missing, fetching it does help.
    (tmp_path / "pebble.onnx").unlink()
    assert "models pull" in call(capfd, "models", "verify", path)[2]
    assert {check.name: check.sound for check in verify(path).checks}["pebble.onnx"] is False


def test_verify_of_labels_that_are_as_the_card_says_and_no_text(tmp_path: Path) -> None:
    pebble = find_card("pebble")
    path = placed(pebble, tmp_path)
    content = b"\xff"
    (tmp_path / "names.txt").write_bytes(content)
    names = Asset("names.txt", 1, hashlib.sha256(content).hexdigest(), None)
    card = replace(read_card(path), labels=names, classifier=pebble.classifier)
    found = verify(card)
    assert [check.name for check in found.checks if check.ok is False] == ["names.txt"]
    assert found.advice.startswith("correct names.txt, and what the card says of it")
    (tmp_path / "names.txt").write_bytes(b"a")
    assert "models pull" in verify(card).advice


def test_verify_of_a_file_that_is_as_its_card_says_and_does_not_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    card = find_card("pebble")
    (file,) = (file for file in card.files if file.runtime == "litert")
    wrong = replace(file.embedding, tensor="nosuch")
    path = placed(replace(card, files=(file,)), tmp_path, litert={"embedding": wrong})
    status, out, err = call(capfd, "models", "verify", path)
    assert status == 1
    assert "its files are what its card says, and do not run" in err
    assert out.count("pebble.tflite") == 1


CRASHES = """
#include <stdlib.h>
void *tflite_plugin_create_delegate(char **keys, char **values, size_t n, void *report) {
  abort();
}
void tflite_plugin_destroy_delegate(void *delegate) {}
"""


def test_verify_of_a_file_whose_device_crashes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "crashes.c").write_text(CRASHES, encoding="utf-8")
    crashes = compiled(tmp_path / "crashes.c", tmp_path / "libcrashes.so")
    card = with_device(find_card("pebble"), "litert", str(crashes))
    path = placed(card, tmp_path)
    status, out, err = call(capfd, "models", "verify", path)
    assert status == 1
    assert out.startswith("pebble.tflite crashed its runtime by ")
    assert out.count("pebble.tflite") == 1
    assert "the fault may be a device's library or a runtime" in err
    assert "models pull" not in err


def test_verify_of_one_bad_file_among_good_ones(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    card = find_card("pebble")
    (file,) = (file for file in card.files if file.runtime == "litert")
    wrong = replace(file.embedding, tensor="nosuch")
    path = placed(card, tmp_path, litert={"embedding": wrong})
    status, out, err = call(capfd, "models", "verify", path)
    assert status == 1
    assert "pebble.onnx has the right sha256, runs on" in out
    said = "the sha256 is right, and the file does not run as it should: the fault may be"
    assert err.startswith(f"edgeinc: pebble.tflite cannot be used: {said}")
    assert err.endswith(".\n")
    (tmp_path / "pebble.tflite").write_bytes(b"damaged")
    status, out, err = call(capfd, "models", "verify", path)
    assert status == 1
    assert out.startswith(f"{tmp_path / 'pebble.tflite'} is damaged: ")
    assert err.startswith("edgeinc: pebble.tflite cannot be used: pebble.tflite has no public")


CHANGED = 64


def test_verify_where_a_device_drifts(
    library: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = placed(find_card("pebble"), tmp_path)
    every = "+".join(map(str, range(160)))
    device = f"{library},takes={every[:60].rpartition('+')[0]},xor={CHANGED}"
    status, out, err = call(capfd, "--device", device, "models", "verify", path)
    assert status == 1
    assert f"pebble.tflite on {library}" in out
    assert f"what differs is the device, not the files: pebble.tflite on {library}" in err
    assert compare(path, device=device).advice in err
    assert "fetch" not in err
