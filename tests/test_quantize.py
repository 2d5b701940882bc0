"""`models add --quantize`: int8 on a person's own pictures, held to the float network."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinc.backbone import Backbone
from edgeinc.cache import user_models_dir
from edgeinc.catalogue import Preprocessing, Quantized, add, add_quantized, quantizing, verify
from edgeinc.cli import main
from edgeinc.errors import (
    CardError,
    EdgeincError,
    ImageError,
    InputError,
    ModelFormatError,
    WeightsError,
)
from edgeinc.parts import KINDS, draw_part
from edgeinc.runtimes import quantize_onnx
from edgeinc.weights import find_card
from tests import tiny_networks as tiny
from tests.absent import ROOT, before_others

onnx = pytest.importorskip("onnx", reason="the extra `onnx` is not installed")

PIXELS = Preprocessing([127.5], [127.5])


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Everything lies in the test's own folder: the temporary files and the cache."""
    temporary, cache = tmp_path / "temporary", tmp_path / "cache"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("EDGEINC_CACHE", str(cache))
    return temporary, cache


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 different parts, a copy of one, a file that is no picture after all, and a note."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(5)
    for i in range(48):
        part = draw_part(KINDS[i % len(KINDS)], rng, 128)
        assert cv2.imwrite(str(folder / f"{i:02d}.png"), part)
    (folder / "again.png").write_bytes((folder / "00.png").read_bytes())
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("of no kind", encoding="utf-8")
    return folder


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A float network of a few numbers."""
    path = tmp_path / "net.onnx"
    path.write_bytes(tiny.onnx_float())
    return path


def test_a_real_network(photos: Path, tmp_path: Path, places: tuple[Path, Path]) -> None:
    floats = pytest.importorskip("benchmarks.floats", reason="no part of an installed package")
    path = tmp_path / "own.onnx"
    path.write_bytes(floats.floating("pebble"))
    spec = find_card("pebble").input
    numbers = Preprocessing(spec.mean, spec.std)
    done = add_quantized(path, photos, preprocessing=numbers, licence="Apache-2.0")
    assert (done.calibrated, done.held_out) == (36, 12)
    assert done.cosine >= 0.99
    assert done.cosine >= done.least >= 0.98
    assert 0.5 <= done.neighbours <= 1
    assert done.int8_bytes * 3 < done.float_bytes == path.stat().st_size
    assert any("broken.png" in sentence for sentence in done.skipped)
    assert any("notes.txt" in sentence for sentence in done.skipped)

    card = find_card("own")
    assert card == done.card
    assert card.licence == "Apache-2.0"
    assert card.notes is not None
    assert "calibrated on 36 pictures" in card.notes
    file = card.files[0]
    assert (file.input.dtype, file.embedding.dtype, card.nonnegative) == ("uint8", "uint8", True)
    assert verify(card).ok

    # Measured once more, in another way: real numbers of both on parts that neither has seen.
    path.with_name("float.onnx").write_bytes(path.read_bytes())
    whole = add(path.with_name("float.onnx"), preprocessing=numbers)
    rng = np.random.default_rng(6)
    shown = [draw_part(KINDS[i % len(KINDS)], rng, 128) for i in range(6)]
    with Backbone.open(whole, threads=1) as a, Backbone.open(card, threads=1) as b:
        x, y = (a.to_float(one.embed(shown)) for one in (a, b))
    assert (x * y).sum(axis=1).mean() >= 0.99
    assert list(places[0].iterdir()) == []


def test_no_picture_judges_what_it_calibrated(
    net: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {}

    def watch(job: str, name: str, content: bytes, request: dict, limits: object = None) -> dict:
        asked[job] = request
        return original(job, name, content, request, limits)

    original = quantizing.attempt
    monkeypatch.setattr(quantizing, "attempt", watch)
    done = add_quantized(net, photos, preprocessing=PIXELS, least_cosine=0.5)
    pictures = asked["quantize"]["pictures"]
    assert len({Path(path).read_bytes() for path in pictures}) == len(pictures) == 49
    assert done.calibrated + done.held_out == 48


def test_too_far_from_the_float_network(net: Path, photos: Path, places: tuple[Path, Path]) -> None:
    before = add(net, preprocessing=PIXELS)
    with pytest.raises(WeightsError, match=r"nothing was added. Try more pictures"):
        add_quantized(net, photos, preprocessing=PIXELS, overwrite=True, least_cosine=1.0)
    assert find_card("net") == before
    assert [path.name for path in user_models_dir().iterdir()] == ["net"]
    assert list(places[0].iterdir()) == []

    add_quantized(net, photos, preprocessing=PIXELS, overwrite=True, least_cosine=0.5)
    assert find_card("net").fingerprint != before.fingerprint
    assert [path.name for path in user_models_dir().iterdir()] == ["net"]


@pytest.mark.parametrize(
    ("fill", "kind", "says"),
    [
        (lambda folder, i: None, ImageError, "holds no picture"),
        (lambda folder, i: i < 39, InputError, "39 different pictures, .* needs 40"),
        (lambda folder, i: "same", InputError, "1 different pictures, .* needs 40"),
        (lambda folder, i: "broken", InputError, "0 of the pictures can be read.*For instance"),
    ],
)
def test_folders_that_do_not_do(
    net: Path, tmp_path: Path, fill: Callable, kind: type[EdgeincError], says: str
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(45):
        wanted = fill(folder, i)
        value = 7 if wanted == "same" else i
        content = bytes(cv2.imencode(".png", np.full((16, 16, 3), value, np.uint8))[1])
        if wanted:
            path = folder / f"{i}.png"
            path.write_bytes(b"nothing %d" % i if wanted == "broken" else content)
    with pytest.raises(kind, match=says):
        add_quantized(net, folder, preprocessing=PIXELS)
    with pytest.raises(ImageError, match="does not exist"):
        add_quantized(net, tmp_path / "nowhere", preprocessing=PIXELS)


def halves() -> bytes:
    """The float network with weights of 16 bits."""
    proto = onnx.load_model_from_string(tiny.onnx_float())
    tensor = proto.graph.initializer[0]
    values = onnx.numpy_helper.to_array(tensor).astype(np.float16)
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    return bytes(proto.SerializeToString())


def elsewhere(place: str, *, constant: bool) -> bytes:
    """The float network with weights in another file, named by the graph or by a node."""
    proto = onnx.load_model_from_string(tiny.onnx_float())
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    if constant:
        node = onnx.helper.make_node("Constant", [], [tensor.name], value=tensor)
        proto.graph.initializer.remove(tensor)
        proto.graph.node.insert(0, node)
    return bytes(proto.SerializeToString())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda: tiny.onnx_classifier(), "quantised already; add it as it is"),
        (halves, "float16, and only float32"),
        (lambda: tiny.onnx_reshape("uint8"), "uint8, and only float32"),
        (lambda: tiny.onnx_reshape("float32", (1, "h", "w", 3)), "size open; export"),
        (lambda: tiny.onnx_two(2, 1), "2 inputs where one is needed"),
        (lambda: elsewhere("weights.bin", constant=False), "another file; save it as a single"),
        (lambda: elsewhere("/etc/passwd", constant=False), "another file; save it as a single"),
        (lambda: elsewhere("../secret", constant=True), "another file; save it as a single"),
        (lambda: b"no network", "fetch it again"),
    ],
)
def test_networks_that_cannot_be_quantised(content: Callable[[], bytes], says: str) -> None:
    with pytest.raises(ModelFormatError, match=says):
        quantize_onnx.check_float(content())


def test_such_a_network_is_refused_in_the_trial_too(
    tmp_path: Path, net: Path, photos: Path, places: tuple[Path, Path]
) -> None:
    path = tmp_path / "far.onnx"
    path.write_bytes(elsewhere("../secret", constant=True))
    with pytest.raises(ModelFormatError, match="save it as a single file"):
        add_quantized(path, photos, preprocessing=PIXELS)
    (tmp_path / "net.tflite").write_bytes(b"any")
    with pytest.raises(ModelFormatError, match=r"only .onnx can"):
        add_quantized(tmp_path / "net.tflite", photos)
    with pytest.raises(CardError, match="give mean and std"):
        add_quantized(net, photos)
    with pytest.raises(InputError, match="no cosine"):
        add_quantized(net, photos, least_cosine=1.5)
    assert list(user_models_dir().iterdir()) == list(places[0].iterdir()) == []


def test_an_open_batch_is_one_picture(tmp_path: Path, photos: Path) -> None:
    path = tmp_path / "open.onnx"
    path.write_bytes(tiny.onnx_open_batch())
    done = add_quantized(path, photos, preprocessing=PIXELS, least_cosine=0.5)
    assert done.card.dim == 4


def test_no_room(net: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the work has begun")

    def full(fd: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(quantizing, "attempt", never)
        patched.setattr(os, "posix_fallocate", full, raising=False)
        with pytest.raises(CardError, match=r"No space left.*make room"):
            add_quantized(net, photos, preprocessing=PIXELS)
    assert list(user_models_dir().iterdir()) == []
    with pytest.raises(InputError, match="no room to quantise"):
        quantize_onnx.quantized(net.read_bytes(), "pool", [], scratch=tmp_path / "nowhere")


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_an_interruption_leaves_nothing(net: Path, photos: Path, places: tuple[Path, Path]) -> None:
    temporary, cache = places
    words = ["models", "add", str(net), "--quantize", str(photos), "--mean=127.5", "--std=127.5"]
    begun = subprocess.Popen(
        [sys.executable, "-m", "edgeinc", *words, "--embedding=pool"],
        env={**os.environ, "PYTHONPATH": before_others(ROOT), "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
    )
    end = time.monotonic() + 60
    while not list(temporary.glob("edgeinc-*/cut.onnx")) and begun.poll() is None:
        assert time.monotonic() < end, "the work has not begun in a minute"
        time.sleep(0.005)
    begun.send_signal(signal.SIGINT)
    _, said = begun.communicate(timeout=60)
    assert begun.returncode == 130, said
    assert b"Traceback" not in said
    assert list(temporary.iterdir()) == list((cache / "models").iterdir()) == []


def test_shell(net: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--json", "models", "add", str(net), "--quantize", str(photos), "--mean=127.5"]
    words += ["--std=127.5", "--least-cosine=0.5"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    (line,) = out.splitlines()
    found = json.loads(line)
    assert found["name"] == "net"
    measured = set(Quantized.__dataclass_fields__) - {"card"}
    assert set(found["quantized"]) == measured
    assert found["quantized"]["skipped"] == 2
    assert "quantising net.onnx on 49 pictures" in err
    assert "broken.png" in err

    assert main([*words, "--overwrite", "--labels", "names.txt"]) == 2
    assert main(words) == 1
    assert "added before" in capsys.readouterr().err
