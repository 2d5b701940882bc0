"""`models add --quantize`: int8 on a person's own pictures, held to the float network."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinc import Engine
from edgeinc.backbone import Backbone
from edgeinc.cache import digest, user_models_dir
from edgeinc.catalogue import (
    Preprocessing,
    Quantized,
    add,
    add_quantized,
    newcard,
    quantizing,
    verify,
)
from edgeinc.classifier import load_classifier, make_rows
from edgeinc.cli import main
from edgeinc.errors import (
    CardError,
    EdgeincError,
    ImageError,
    InferenceError,
    InputError,
    ModelFormatError,
    WeightsError,
)
from edgeinc.parts import KINDS, draw_part
from edgeinc.runtimes import quantize_onnx
from edgeinc.weights import find_card, load_labels
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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX's")
def test_a_picture_that_is_a_pipe_is_passed_over(net: Path, photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "with a pipe"
    shutil.copytree(photos, folder)
    os.mkfifo(folder / "pipe.png")
    done = add_quantized(net, folder, preprocessing=PIXELS, least_cosine=0.5)
    says = f"{folder / 'pipe.png'} cannot be read (it is no ordinary file); check it."
    assert says in done.skipped


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
        (lambda: tiny.onnx_two(2, 1), "2 inputs where one is needed; export it with a single"),
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
    for bad in (1.5, "0.9", None, float("nan")):
        with pytest.raises(InputError, match="no cosine"):
            add_quantized(net, photos, least_cosine=bad)
    with pytest.raises(InputError, match=r"None is no path; give one"):
        add_quantized(net, None)
    for either in (add, lambda path, **given: add_quantized(path, photos, **given)):
        with pytest.raises(InputError, match=r"embedding=5 is no text; give one, or leave it out"):
            either(net, embedding=5)
        with pytest.raises(InputError, match=r"7 is no path; give one"):
            either(7)
        with pytest.raises(InputError, match=r"mean='abc' is no number nor a list"):
            either(net, preprocessing=Preprocessing("abc", [1]))
        for bad in (object(), b"x", [10**400], [None]):
            with pytest.raises(InputError, match=r"std=.* is no number nor a list"):
                either(net, preprocessing=Preprocessing(1, bad))
        for bad in (b"x", object(), "x", None):
            with pytest.raises(InputError, match=r"crop=.* is none; give center or squash"):
                either(net, preprocessing=Preprocessing(1, 1, crop=bad))
            with pytest.raises(InputError, match=r"color=.* is none; give RGB or BGR"):
                either(net, preprocessing=Preprocessing(1, 1, color=bad))
        for bad in (object(), None, 1):
            with pytest.raises(InputError, match=r"nonnegative=.* give True or False"):
                either(net, preprocessing=PIXELS, nonnegative=bad)
        for bad in ({"path": "a\0.onnx"}, {"path": net, "labels": "a\0b"}):
            with pytest.raises(InputError, match="is no path, it has a zero character"):
                either(**bad)
        with pytest.raises(InputError, match=r"\{'mean': 1\} is no Preprocessing"):
            either(net, preprocessing={"mean": 1})
        with pytest.raises(InputError, match=r"^The path is empty; give one"):
            either("")
        with pytest.raises(InputError, match=r"^The path is empty; give one"):
            either(net, labels="")
        long = "x" * 3000
        for bad in (
            {"path": f"{long}.onnx"},
            {"path": [long]},
            {"path": f"{long}\0"},
            {"path": net, "title": [long]},
            {"path": net, "nonnegative": long},
            {"path": net, "preprocessing": long},
            {"path": net, "preprocessing": Preprocessing(1, 1, color=long)},
        ):
            with pytest.raises(InputError) as caught:
                either(**bad)
            assert len(str(caught.value)) < 250
    with pytest.raises(InputError, match=r"xxx\.\.\. is no cosine"):
        add_quantized(net, photos, least_cosine=long)
    with pytest.raises(InputError, match=r"^The path is empty; give one"):
        add_quantized(net, "")
    assert list(user_models_dir().iterdir()) == list(places[0].iterdir()) == []


def changed(change: Callable[[Any], object], opset: int = 17) -> bytes:
    """The float network after a change; pooled as all opsets know it."""
    proto = onnx.load_model_from_string(tiny.onnx_float())
    change(proto)
    del proto.opset_import[:]
    proto.opset_import.add(domain="", version=opset)
    proto.ir_version = 4
    return bytes(proto.SerializeToString())


@pytest.mark.parametrize("opset", [7, 9, 11, 12, 13, 17])
def test_every_opset(opset: int, tmp_path: Path, photos: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(changed(lambda proto: None, opset))
    done = add_quantized(path, photos, preprocessing=PIXELS, least_cosine=0.5)
    path.write_bytes(tiny.onnx_float())
    newer = add_quantized(path, photos, preprocessing=PIXELS, least_cosine=0.5, overwrite=True)
    assert done.cosine == pytest.approx(newer.cosine, abs=1e-3)


def test_old_files_list_their_weights_among_the_inputs(tmp_path: Path, photos: Path) -> None:
    def list_them(proto: Any) -> None:
        for tensor in proto.graph.initializer:
            kind = tensor.data_type, tensor.dims
            proto.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, *kind))

    path = tmp_path / "net.onnx"
    path.write_bytes(changed(list_them, 11))
    assert add_quantized(path, photos, preprocessing=PIXELS, least_cosine=0.5).card.dim == 4


def test_an_opset_that_cannot_be_converted(tmp_path: Path, photos: Path) -> None:
    # ONNX's converter knows no way up from an Upsample that does not say how far, as in opset 6.
    def enlarge(proto: Any) -> None:
        graph = proto.graph
        graph.node.insert(0, onnx.helper.make_node("Upsample", ["x"], ["large"]))
        graph.node[1].input[0] = "large"

    path = tmp_path / "net.onnx"
    path.write_bytes(changed(enlarge, 6))
    says = r"^This network has opset 6, .*\(Upsample in [^/]*\); export it with opset 13 or later"
    with pytest.raises(ModelFormatError, match=says):
        quantize_onnx.prepared(path.read_bytes(), "pool")
    with pytest.raises(ModelFormatError, match=says):
        add_quantized(path, photos, preprocessing=PIXELS, embedding="pool")


def test_an_embedding_before_the_second_input(tmp_path: Path, photos: Path) -> None:
    def join(proto: Any) -> None:
        graph = proto.graph
        graph.input.append(onnx.helper.make_tensor_value_info("more", 1, [1, 4]))
        graph.node.insert(5, onnx.helper.make_node("Add", ["pool", "more"], ["both"]))
        graph.node[6].input[0] = "both"

    path = tmp_path / "net.onnx"
    path.write_bytes(changed(join))
    asked = {"preprocessing": PIXELS, "embedding": "pool"}
    assert add(path, **asked).dim == 4
    done = add_quantized(path, photos, **asked, least_cosine=0.5, overwrite=True)
    assert done.card.dim == 4
    with pytest.raises(ModelFormatError, match=r"2 inputs.*or name an embedding that needs only"):
        add_quantized(path, photos, preprocessing=PIXELS, embedding="both", overwrite=True)


def dead(proto: Any) -> None:
    """A last ReLU that never fires."""
    low = onnx.numpy_helper.from_array(np.full(4, -1e6, np.float32), "low")
    proto.graph.initializer.append(low)
    proto.graph.node.insert(4, onnx.helper.make_node("Add", ["pool_in", "low"], ["lower"]))
    proto.graph.node.insert(5, onnx.helper.make_node("Relu", ["lower"], ["pool"]))
    proto.graph.node[6].output[0] = "pool_in"
    proto.graph.node.insert(4, proto.graph.node[6])
    del proto.graph.node[7]


def stuck(proto: Any) -> None:
    """The same for every picture: nothing of it is left."""
    none = onnx.numpy_helper.from_array(np.zeros(1, np.float32), "none")
    one = onnx.numpy_helper.from_array(np.full(4, 3, np.float32), "three")
    proto.graph.initializer.extend([none, one])
    proto.graph.node[4].output[0] = "mean"
    proto.graph.node.insert(5, onnx.helper.make_node("Mul", ["mean", "none"], ["nothing"]))
    proto.graph.node.insert(6, onnx.helper.make_node("Add", ["nothing", "three"], ["pool"]))


@pytest.mark.parametrize("change", [dead, stuck])
def test_a_network_that_tells_nothing(
    change: Callable[[Any], object], tmp_path: Path, photos: Path, places: tuple[Path, Path]
) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(changed(change))
    asked = {"preprocessing": PIXELS, "embedding": "pool"}
    with pytest.raises(WeightsError, match="same embedding 'pool' for 12 different pictures"):
        add_quantized(path, photos, **asked)
    with pytest.raises(WeightsError, match="same embedding 'pool' for two different pictures"):
        add(path, **asked)
    assert list(user_models_dir().iterdir()) == list(places[0].iterdir()) == []


def test_a_network_that_gives_no_numbers(tmp_path: Path, photos: Path) -> None:
    def spoil(proto: Any) -> None:
        pooled(proto)
        proto.graph.initializer.append(
            onnx.numpy_helper.from_array(np.full(1, np.nan, np.float32), "nan")
        )
        proto.graph.node[4].input[0] = "spoilt"
        proto.graph.node.insert(4, onnx.helper.make_node("Mul", ["d", "nan"], ["spoilt"]))

    path = tmp_path / "net.onnx"
    path.write_bytes(changed(spoil))
    for adding in (add, partial(add_quantized, folder=photos)):
        with pytest.raises(InferenceError, match="put out NaN or infinity"):
            adding(path, preprocessing=PIXELS, embedding="pool")


def test_a_cosine_that_is_just_too_low(
    net: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nearly(*asked: Any) -> Any:
        answer = original(*asked)
        answer["measured"]["cosine"] = 0.9999994
        return answer

    original = quantizing.attempt
    monkeypatch.setattr(quantizing, "attempt", nearly)
    with pytest.raises(WeightsError, match=r"is 0\.999999 in the mean, and 1 is asked for"):
        add_quantized(net, photos, preprocessing=PIXELS, least_cosine=1)


def test_int8_that_tells_nothing(tmp_path: Path, photos: Path) -> None:
    """What pictures change is less than a step beside what they do not: the cosine is near 1."""

    def lift(proto: Any) -> None:
        pooled(proto)
        graph = proto.graph
        high = np.full((1, 4, 1, 1), 1e6, np.float32)
        graph.initializer.append(onnx.numpy_helper.from_array(high, "high"))
        graph.node[4].input[0] = "lifted"
        graph.node.insert(4, onnx.helper.make_node("Add", ["d", "high"], ["lifted"]))

    path = tmp_path / "net.onnx"
    path.write_bytes(changed(lift))
    with pytest.raises(WeightsError, match=r"in int8 gives the same embedding.*in float it does"):
        add_quantized(path, photos, preprocessing=PIXELS, embedding="pool")


def test_names_that_no_model_can_have(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("the work has begun")

    monkeypatch.setattr(quantizing, "attempt", never)
    monkeypatch.setattr(newcard, "attempt", never)
    path = tmp_path / "my model.onnx"
    path.write_bytes(tiny.onnx_float())
    with pytest.raises(CardError, match=r"'my model.onnx' is no such name; rename the file"):
        add_quantized(path, photos, preprocessing=PIXELS)
    with pytest.raises(CardError, match=r"'my model.onnx' is no such name; rename the file"):
        add(path, preprocessing=PIXELS)


@pytest.mark.parametrize("name", ["cut", "ready", "int8"])
def test_names_that_the_work_uses_itself(name: str, tmp_path: Path, photos: Path) -> None:
    path = tmp_path / f"{name}.onnx"
    path.write_bytes(tiny.onnx_float())
    done = add_quantized(path, photos, preprocessing=PIXELS, least_cosine=0.5)
    assert done.card.name == name


def test_two_at_once(net: Path, photos: Path, places: tuple[Path, Path], tmp_path: Path) -> None:
    words = ["--quantize", str(photos), "--mean=127.5", "--std=127.5", "--least-cosine=0.5"]
    surroundings = {**os.environ, "PYTHONPATH": before_others(ROOT), "TMPDIR": str(places[0])}
    paths = [net, net.with_name("other.onnx"), net]
    paths[1].write_bytes(net.read_bytes())
    begun = [
        subprocess.Popen(
            [sys.executable, "-m", "edgeinc", "models", "add", str(path), *words, *more],
            env=surroundings,
            cwd=tmp_path,
            stderr=subprocess.PIPE,
        )
        for path, more in zip(paths, ([], [], ["--overwrite"]), strict=True)
    ]
    said = [one.communicate(timeout=300)[1] for one in begun]
    codes = [one.returncode for one in begun]
    # Of two of one name the second one finds it taken, unless it is to replace it.
    assert codes[1:] == [0, 0], said
    assert codes[0] == 0 or b"added before" in said[0], said
    assert sorted(path.name for path in user_models_dir().iterdir()) == ["net", "other"]
    assert verify("net").ok
    assert verify("other").ok
    assert list(places[0].iterdir()) == []


def test_weights_in_a_file_beside_it(tmp_path: Path, photos: Path) -> None:
    path = tmp_path / "net.onnx"
    proto = onnx.load_model_from_string(tiny.onnx_float())
    beside = {"save_as_external_data": True, "location": "net.onnx.data", "size_threshold": 0}
    onnx.save_model(proto, str(path), **beside)
    done = add_quantized(path, photos, preprocessing=PIXELS, least_cosine=0.5)
    assert done.float_bytes > len(path.read_bytes())
    assert verify(done.card).ok


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
    # On a busy machine all may be done before the interruption comes: then once more.
    for _ in range(5):
        begun = subprocess.Popen(
            [sys.executable, "-m", "edgeinc", *words, "--embedding=pool"],
            env={**os.environ, "PYTHONPATH": before_others(ROOT), "TMPDIR": str(temporary)},
            stderr=subprocess.PIPE,
        )
        end = time.monotonic() + 300
        while not list(temporary.glob("edgeinc-*/*/scratch/cut.onnx")) and begun.poll() is None:
            assert time.monotonic() < end, "the work has not begun in five minutes"
            time.sleep(0.005)
        begun.send_signal(signal.SIGINT)
        _, said = begun.communicate(timeout=300)
        if begun.returncode != 0:
            break
        shutil.rmtree(cache / "models" / "net")
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

    assert "no single dense layer behind an embedding of integers: no --base-classes" in err

    net.write_bytes(changed(pooled))
    assert main([*words, "--overwrite"]) == 0
    out, err = capsys.readouterr()
    assert "its 5 own classes have no names: --labels gives them" in err
    labels = net.with_name("names.txt")
    labels.write_text("a\nb\nc\nd\ne\n", encoding="utf-8")
    assert main([*words, "--overwrite", "--labels", str(labels)]) == 0
    assert json.loads(capsys.readouterr().out)["quantized"]["classes"] >= 0.5
    assert load_labels(find_card("net")) == tuple("abcde")
    assert main(words) == 1
    assert "added before" in capsys.readouterr().err


def pooled(proto: Any) -> None:
    """Pooled by an operator that ONNX Runtime's quantiser knows: the embedding is of integers."""
    nodes = [*proto.graph.node]
    nodes[4] = onnx.helper.make_node("GlobalAveragePool", ["d"], ["pool"])
    nodes.insert(5, onnx.helper.make_node("Flatten", ["pool"], ["flat"]))
    nodes[6].input[0] = "flat"
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def test_own_classes_are_kept(
    net: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    net.write_bytes(changed(pooled))
    labels = tmp_path / "names.txt"
    labels.write_text("a\nb\nc\nd\ne\n", encoding="utf-8")
    asked = {"preprocessing": PIXELS, "least_cosine": 0.5}
    done = add_quantized(net, photos, labels=labels, **asked)
    assert done.card.classifier is not None
    assert done.card.classifier.classes == 5
    assert done.classes is not None
    assert done.classes >= 0.75
    assert f"{done.classes:.0%} their own class" in done.words
    assert verify(done.card).ok
    with Backbone.open(done.card, threads=1) as small:
        own = load_classifier(done.card, small.file_name)
        assert own.labels == tuple("abcde")
        # The float network's own logits, and those of the rows that are kept, for one picture.
        picture = draw_part(KINDS[0], np.random.default_rng(9), 128)
        ours = own.logits(small.embed([picture])[0])
        whole = net.with_name("float.onnx")
        whole.write_bytes(net.read_bytes())
        with Backbone.open(add(whole, embedding="e", preprocessing=PIXELS), threads=1) as floats:
            theirs = floats.activations(picture).reshape(-1)
    np.testing.assert_allclose(ours, theirs, atol=0.1 * np.ptp(theirs))
    with Engine.open(tmp_path / "a.db", backbone="net", base_classes=True) as engine:
        assert engine.predict(picture).label == "abcde"[int(ours.argmax())]

    # What no node reads is nothing that ONNX Runtime complains of.
    assert capfd.readouterr() == ("", "")
    # The rows are those of the file, by the sha256 that the card tells.
    shutil.rmtree(Path(os.environ["EDGEINC_CACHE"]) / "classifiers")
    assert digest(make_rows(done.card).pack()) == done.card.classifier.sha256

    labels.write_text("a\nb\n", encoding="utf-8")
    seen = []

    def watch(job: str, *more: Any) -> dict[str, Any]:
        seen.append(job)
        return quantizing_attempt(job, *more)

    quantizing_attempt = quantizing.attempt
    monkeypatch.setattr(quantizing, "attempt", watch)
    with pytest.raises(CardError, match=r"names\.txt names 2 classes and the network has 5"):
        add_quantized(net, photos, labels=labels, overwrite=True, **asked)
    # It is told before anything is calibrated, by the process that would calibrate.
    assert seen == ["quantize"]
    assert find_card("net") == done.card


def one_more_layer(proto: Any) -> None:
    """Two dense layers behind the embedding: no rows make one of them."""
    pooled(proto)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.eye(5, dtype=np.float32), "v"))
    proto.graph.node[7].input[0] = "f"
    proto.graph.node.insert(7, onnx.helper.make_node("MatMul", ["e", "v"], ["f"]))


def test_no_single_dense_layer(tmp_path: Path, photos: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(changed(one_more_layer))
    done = add_quantized(path, photos, preprocessing=PIXELS, least_cosine=0.5)
    assert done.card.classifier is None
    assert done.classes is None
    assert "own class" not in done.words
