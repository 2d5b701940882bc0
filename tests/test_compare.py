"""`models verify`: the same pictures through every file and device, and golden embeddings."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinc.backbone import Backbone
from edgeinc.bench.plan import ways
from edgeinc.cache import digest
from edgeinc.cards import (
    EmbeddingTensor,
    InputSpec,
    InputTensor,
    ModelCard,
    ModelFile,
    Quantization,
    dump_card,
    read_card,
)
from edgeinc.catalogue import compare
from edgeinc.catalogue.compare_trial import embed_shown
from edgeinc.catalogue.golden import read_golden
from edgeinc.cli import main
from edgeinc.devices import Device
from edgeinc.errors import CardError, DeviceNotFoundError, ImageError, InputError
from edgeinc.parts import KINDS, draw_part
from edgeinc.runtimes import installed
from edgeinc.runtimes.around import devices_here
from edgeinc.weights import find_card
from tests import tiny_networks as tiny
from tests.absent import before_others
from tests.test_devices import CONV, SOURCE, compiled

pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
STEP = 0.01


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def delegate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a delegate that takes the operators it is told to take."""
    return str(compiled(SOURCE, tmp_path_factory.mktemp("compared") / "libdelegate.so"))


def mean_colour(add: float, *, integers: bool) -> bytes:
    """The mean of each channel, `add` more, in floats or in integers of `STEP`."""
    from onnx import helper

    node = helper.make_node
    nodes = [
        node("Add", ["x", "more"], ["sum"]),
        node("GlobalAveragePool", ["sum"], ["pool"]),
    ]
    weights = {"more": np.array([add, 0, 0], np.float32).reshape(1, 3, 1, 1)}
    end = ("pool", "FLOAT", (1, 3, 1, 1))
    if integers:
        nodes.append(node("QuantizeLinear", ["pool", "step", "zero"], ["whole"]))
        weights |= {"step": np.array(STEP, np.float32), "zero": np.array(0, np.uint8)}
        end = ("whole", "UINT8", (1, 3, 1, 1))
    return tiny.onnx_file(nodes, [("x", "FLOAT", (1, 3, 8, 8))], [end], weights)


def card_of(folder: Path, networks: list[bytes], *, integers: bool) -> Path:
    """A card that takes networks for one and the same."""
    whole = EmbeddingTensor("whole", "uint8", Quantization(STEP, 0))
    embedding = whole if integers else EmbeddingTensor("pool", "float32", None)
    files = []
    for i, content in enumerate(networks):
        name = f"net{i or ''}.onnx"
        (folder / name).write_bytes(content)
        entry = InputTensor("NCHW", "float32", None)
        files.append(ModelFile(name, len(content), digest(content), None, "onnx", entry, embedding))
    spec = InputSpec(8, 8, "RGB", (0.0,) * 3, (128.0,) * 3, "center")
    card = ModelCard("net", "t", "MIT", None, "net", spec, "pool", 3, True, tuple(files))
    path = folder / "net.yaml"
    path.write_text(dump_card(card), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("add", "integers", "verdict"),
    [
        (0, True, "equal"),
        (0.6 * STEP, True, "one step"),
        (3 * STEP, True, "different"),
        (0.1, False, "different"),
    ],
)
def test_how_far_two_files_are_apart(
    add: float, integers: bool, verdict: str, tmp_path: Path
) -> None:
    both = [mean_colour(more, integers=integers) for more in (0, add)]
    found = compare(card_of(tmp_path, both, integers=integers))
    (pair,) = found.pairs
    assert [run.file for run in found.runs] == ["net.onnx", "net1.onnx"]
    assert found.pictures == 12
    assert pair.verdict == verdict
    if integers:
        assert pair.steps == {"equal": 0, "one step": 1, "different": 3}[verdict]
    assert (pair.cosine == 1) == (verdict == "equal")
    assert found.ok


def test_files_of_different_networks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = card_of(tmp_path, [mean_colour(more, integers=False) for more in (0, 5)], integers=False)
    assert main(["--json", "models", "verify", str(path)]) == 1
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["ok"], [check["ok"] for check in found["checks"]]) == (False, [True, True])
    assert found["pairs"][0]["verdict"] == "different"
    assert set(found["pairs"][0]) == {"one", "other", "verdict", "steps", "cosine", "least"}
    assert set(found["runs"][0]) == {"name", "file", "runtime", "device", "share"}
    assert "other embeddings in one place than in another" in err


def test_pictures_of_ones_own(tmp_path: Path) -> None:
    path = card_of(tmp_path, [mean_colour(0, integers=True)], integers=True)
    photos = tmp_path / "photos"
    photos.mkdir()
    with pytest.raises(ImageError, match="holds no picture"):
        compare(path, photos)
    (photos / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match="None of the pictures can be read; give others"):
        compare(path, photos)
    assert main(["models", "verify", str(path), "--pictures", str(photos)]) == 1
    assert cv2.imwrite(str(photos / "part.png"), draw_part(KINDS[0], np.random.default_rng(0)))
    found = compare(path, photos)
    assert (found.pictures, len(found.runs), found.pairs) == (1, 1, ())
    assert found.left_out == (f"1 of the pictures in {photos}, which cannot be read",)
    (photos / "broken.png").unlink()
    assert compare(path, photos).left_out == ()


def test_what_cannot_be_compared_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = [mean_colour(more, integers=True) for more in (0, STEP)]
    path = card_of(tmp_path, both, integers=True)
    (tmp_path / "net1.onnx").unlink()
    found = compare(path, device="NobodysExecutionProvider")
    assert [run.file for run in found.runs] == ["net.onnx"]
    (sentence,) = found.left_out
    assert "net1.onnx is not installed" in sentence
    assert "NobodysExecutionProvider" in found.failed[0]
    assert "net1.onnx is not installed" in found.failed[1]
    with pytest.raises(InputError, match="no option"):
        compare(path, device="cpu,fast")
    assert main(["models", "verify", str(path)]) == 0
    out, err = capsys.readouterr()
    assert "none to compare it with" in out
    assert "not compared: net1.onnx" in err


def test_a_device_that_runs_nothing_is_the_reason_itself(tmp_path: Path) -> None:
    path = card_of(tmp_path, [mean_colour(0, integers=True)], integers=True)
    # The kind of the error is the runtime's, and no warning's text is taken for it.
    with pytest.raises(DeviceNotFoundError, match="no provider 'NobodysExecutionProvider'"):
        embed_shown(read_card(path), "NobodysExecutionProvider", [], [(KINDS[0], 0)])
    # The CPU by its provider's name is no fallback.
    found = compare(path, device="CPUExecutionProvider")
    assert found.left_out == ()
    assert [run.device for run in found.runs] == ["CPUExecutionProvider"] * 2


@pytest.mark.parametrize(
    ("device", "says"),
    [
        ("hailo", "net has no hailo file, which hailo needs; choose another model"),
        ("libx.so", "net has no .tflite file, which libx.so needs; choose"),
        ("NobodysExecutionProvider", "net.onnx on NobodysExecutionProvider: "),
        ("npu", "net.onnx on npu: ONNX Runtime finds no NPU here; install"),
    ],
)
def test_a_device_that_was_asked_for_and_runs_nothing(
    device: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = card_of(tmp_path, [mean_colour(0, integers=True)], integers=True)
    assert main(["--device", device, "--json", "models", "verify", str(path)]) == 1
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["ok"], len(found["runs"]), found["left_out"]) == (False, 1, [])
    (sentence,) = found["failed"]
    assert sentence.startswith(says)
    assert err == f"edgeinc: {sentence}\n"


def test_what_is_wrong_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = [mean_colour(more, integers=False) for more in (0, 5)]
    path = card_of(tmp_path, both, integers=False)
    device = "NobodysExecutionProvider"
    assert main(["models", "verify", str(path), "--device", device]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith(f"edgeinc: net.onnx on {device}: ")
    assert f". net1.onnx on {device}: " in err
    assert ". net gives other embeddings in one place than in another; use one file" in err
    assert err.endswith(".\n")


def test_a_device_that_runs_a_part(
    delegate: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    pebble = find_card("pebble")
    (plain,) = (file for file in pebble.files if file.runtime == "litert")
    shutil.copy(str(pebble.folder) + "/pebble.tflite", tmp_path)
    path = tmp_path / "pebble.yaml"
    card = replace(pebble, files=(plain,), background=None)
    path.write_text(dump_card(card), encoding="utf-8")
    device = f"{delegate},takes={CONV}"
    found = compare(path, device=device)
    assert found.failed == ()
    assert found.runs[1].share is not None
    assert 0 < found.runs[1].share < 1
    assert main(["models", "verify", str(path), "--device", device, "--strict", "--json"]) == 1
    out, err = capsys.readouterr()
    (sentence,) = json.loads(out)["failed"]
    assert sentence.startswith(f"pebble.tflite on {delegate}+CPU: The CPU runs ")
    assert sentence.endswith("; use another network, or leave strict out.")
    # Whether its embeddings are those of the CPU is another matter, and another sentence.
    assert f"edgeinc: {sentence}" in err
    with pytest.raises(InputError, match="strict is"):
        compare(path, strict=json.loads("1"))


def test_runs_that_differ_by_their_options(delegate: str) -> None:
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    pebble = find_card("pebble")
    (plain,) = (file for file in pebble.files if file.runtime == "litert")
    own = replace(plain, device=f"{delegate},takes={CONV}")
    found = compare(replace(pebble, files=(own,)), device=f"{delegate},xor=1")
    on = f"pebble.tflite on {delegate}+CPU"
    assert [run.name for run in found.runs if run.file == plain.name] == [
        f"{on} (takes={CONV})",
        f"{on} (takes={CONV},xor=1)",
    ]
    assert len({(pair.one, pair.other) for pair in found.pairs}) == len(found.pairs)


def test_libraries_in_the_folders_where_people_name_them(
    delegate: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    pebble = find_card("pebble")
    (plain,) = (file for file in pebble.files if file.runtime == "litert")
    for folder in ("card", "work"):
        (tmp_path / folder).mkdir()
    shutil.copy(str(pebble.folder) + "/pebble.tflite", tmp_path / "card")
    shutil.copy(delegate, tmp_path / "card" / "libcard.so")
    shutil.copy(delegate, tmp_path / "work" / "libwork.so")
    monkeypatch.chdir(tmp_path / "work")

    def ran(card: ModelCard, device: str = "auto") -> list[str]:
        path = tmp_path / "card" / "pebble.yaml"
        path.write_text(dump_card(replace(card, background=None)), encoding="utf-8")
        found = compare(read_card(path), device=device)
        assert found.left_out == ()
        return [Path(run.device).name for run in found.runs]

    only = replace(pebble, files=(plain,))
    assert ran(only, f"./libwork.so,takes={CONV}") == ["CPU", "libwork.so+CPU"]
    own = replace(pebble, files=(replace(plain, device=f"./libcard.so,takes={CONV}"),))
    assert ran(own) == ["libcard.so+CPU"]
    # Asked for by a path from here, it is the card's own.
    card = read_card(tmp_path / "card" / "pebble.yaml")
    wanted = Device("../card/libcard.so")
    assert [way.device for way in ways(card, wanted, 1, devices_here)] == [wanted]
    with (
        pytest.warns(RuntimeWarning, match=r"libcard\.so\+CPU"),
        Backbone.open(card, device=wanted, fallback=False) as backbone,
    ):
        assert Path(backbone.device).name == "libcard.so+CPU"
    monkeypatch.setenv("LD_LIBRARY_PATH", before_others(".", "LD_LIBRARY_PATH"))
    assert ran(only, f"libwork.so,takes={CONV}") == ["CPU", "libwork.so+CPU"]


def test_the_embedded_backbone_is_what_it_was() -> None:
    found = compare("pebble")
    names = [run.file for run in found.runs]
    here = [file.name for file in find_card("pebble").files if file.runtime in installed()]
    told = [sentence for sentence in found.left_out if "drawn differently" in sentence]
    assert names == here + ["pebble.golden.json"] * (not told)
    assert found.ok
    for pair in found.pairs:
        # Another processor may round an integer the other way.
        assert pair.least > 0.999


@pytest.mark.parametrize("scale", [0.0191, 0.001])
def test_golden_embeddings_have_a_scale_of_their_own(tmp_path: Path, scale: float) -> None:
    pebble = find_card("pebble")
    (plain,) = (file for file in pebble.files if file.runtime == "onnx")
    shutil.copy(f"{pebble.folder}/{plain.name}", tmp_path)
    rows = json.loads(Path(f"{pebble.folder}/pebble.golden.json").read_text(encoding="utf-8"))
    with Backbone.open(replace(pebble, files=(plain,))) as backbone:
        # Of what is drawn here: not every OpenCV draws the parts alike.
        for row in rows:
            picture = draw_part(row["kind"], np.random.default_rng(row["seed"]))
            row["picture"] = digest(picture.tobytes())
            row["embedding"] = backbone.embed([picture])[0].astype(np.uint8).tobytes().hex()
    (tmp_path / "pebble.golden.json").write_text(json.dumps(rows), encoding="utf-8")
    chip = replace(
        plain,
        name="pebble.hef",
        runtime="hailo",
        device="hailo",
        embedding=replace(plain.embedding, quantization=Quantization(scale, 0)),
    )
    (pair,) = compare(replace(pebble, files=(chip, plain), folder=tmp_path)).pairs
    assert (pair.other, pair.verdict) == ("golden", "equal")


def test_golden_embeddings_that_cannot_be(tmp_path: Path) -> None:
    card = find_card("pebble")
    assert card.folder is not None
    golden = read_golden(card)
    assert golden is not None
    assert golden.integers.shape == (len(golden.parts), card.dim)
    assert read_golden(replace(card, folder=tmp_path)) is None
    mine = tmp_path / "pebble.golden.json"
    shutil.copy(card.folder / "pebble.golden.json", mine)
    with pytest.raises(CardError, match="not for 5 dimensions"):
        read_golden(replace(card, folder=tmp_path, dim=5))
    row = json.loads((card.folder / "pebble.golden.json").read_text(encoding="utf-8"))[0]
    wrong = [{**row, "embedding": "x"}, {**row, "scale": 0}, {**row, "scale": "much"}]
    unlike = [[row, {**row, "scale": 1.5}]]
    for content in ("{", "[1]", "[]", *map(json.dumps, [*([one] for one in wrong), *unlike])):
        mine.write_text(content, encoding="utf-8")
        with pytest.raises(CardError, match="no golden embeddings"):
            read_golden(replace(card, folder=tmp_path))
