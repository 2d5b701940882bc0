"""Listing, fetching, adding and checking models, with a real server and real small networks."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinc.backbone import Backbone
from edgeinc.cache import user_models_dir
from edgeinc.cards import ModelCard, dump_card, read_card
from edgeinc.catalogue import (
    Preprocessing,
    add,
    candidates,
    catalogue,
    describe,
    newcard,
    placing,
    pull,
    verify,
)
from edgeinc.classifier import load_classifier
from edgeinc.cli import main
from edgeinc.engine import Engine
from edgeinc.errors import (
    BackboneMismatchError,
    CardError,
    ChecksumError,
    DownloadError,
    InputError,
    ModelFormatError,
    ModelNotFoundError,
    TensorNotFoundError,
)
from edgeinc.weights import find_card, load_file, load_labels, weights_dir
from tests import tiny_networks as tiny
from tests.absent import ROOT, before_others


class Server(ThreadingHTTPServer):
    """Serves `files`; a name in `short` breaks off in the middle."""

    files: dict[str, bytes]
    short: set[str]
    asked: list[str]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        self.server.asked.append(name)
        content = self.server.files.get(name)
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if name in self.server.short else content)

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the test's output clean."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.files, server.short, server.asked = {}, set(), []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EDGEINC_MODELS", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.tflite"
    path.write_bytes(tiny.tflite_classifier())
    return path


@pytest.fixture
def remote(net: Path, server: Server) -> ModelCard:
    """A card, by the name of `net`, whose weights and labels are on the server only."""
    labels = net.with_name("names.txt")
    labels.write_text("nut\nbolt\nwasher\n", encoding="utf-8")
    card = add(net, labels=labels)
    folder = card.folder
    assert folder is not None
    assert card.labels is not None
    for name in ("net.tflite", "names.txt"):
        server.files[name] = (folder / name).read_bytes()
        (folder / name).unlink()
    card = replace(
        card,
        files=tuple(replace(f, source=f"{server.address}/{f.name}") for f in card.files),
        labels=replace(card.labels, source=f"{server.address}/names.txt"),
    )
    (folder / "net.yaml").write_text(dump_card(card), encoding="utf-8")
    return card


def parts(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if ".part" in path.name]


# -- pull ----------------------------------------------------------------------------


def test_pull_fetches_checks_and_reports(remote: ModelCard, server: Server, cache: Path) -> None:
    seen: list[tuple[int, int]] = []
    pulled = pull("net", progress=lambda done, total: seen.append((done, total)))
    assert pulled.fetched == ("net.tflite", "names.txt")
    assert load_file(remote, remote.files[0]) == server.files["net.tflite"]
    assert load_labels(remote) == ("nut", "bolt", "washer")
    total = sum(asset.bytes for asset in remote.assets)
    assert seen[-1] == (total, total)
    assert seen == sorted(seen)
    assert not parts(cache)
    assert Backbone.open("net").dim == 4

    server.asked.clear()
    again = pull("net")
    assert (again.fetched, again.present) == ((), ("net.tflite", "names.txt"))
    assert server.asked == []


def test_pull_mends_what_is_damaged(remote: ModelCard) -> None:
    pull(remote)
    path = weights_dir(remote) / "net.tflite"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert pull(remote).fetched == ("net.tflite",)
    assert load_file(remote, remote.files[0])


def test_pull_tries_the_models_folder_first(
    remote: ModelCard, server: Server, net: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEINC_MODELS", str(net.parent))
    assert set(pull(remote).fetched) == {"net.tflite", "names.txt"}
    assert server.asked == []


def test_pull_tries_the_base_address_first(
    remote: ModelCard, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["mirror/net.tflite"] = server.files["net.tflite"]
    monkeypatch.setenv("EDGEINC_MODELS", f"{server.address}/mirror/")
    assert set(pull(remote).fetched) == {"net.tflite", "names.txt"}
    assert server.asked == ["mirror/net.tflite", "mirror/names.txt", "names.txt"]


@pytest.mark.parametrize("setting", ["absent", "net.tflite", "ftp://x"])
def test_what_is_neither_a_folder_nor_an_address_is_named(
    remote: ModelCard, server: Server, net: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.chdir(net.parent)
    monkeypatch.setenv("EDGEINC_MODELS", setting)
    with pytest.raises(InputError, match=f"EDGEINC_MODELS is '{setting}', which is no folder"):
        pull(remote)
    assert server.asked == []


def test_a_wrong_file_in_the_models_folder_is_passed_over(
    remote: ModelCard, net: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net.write_bytes(b"x" * remote.files[0].bytes)
    monkeypatch.setenv("EDGEINC_MODELS", str(net.parent))
    assert "net.tflite" in pull(remote).fetched
    assert load_file(remote, remote.files[0])


@pytest.mark.parametrize("wrong", [b"", b"?", b"longer"])
def test_what_is_not_the_cards_file_is_not_kept(
    remote: ModelCard, server: Server, cache: Path, wrong: bytes
) -> None:
    sound = server.files["net.tflite"]
    # Same length with the last byte changed, cut short, and too long.
    server.files["net.tflite"] = {b"": sound[:-3], b"?": sound[:-1] + b"?"}.get(
        wrong, sound + wrong
    )
    with pytest.raises(DownloadError if wrong == b"" else ChecksumError) as caught:
        pull(remote)
    assert server.address in str(caught.value)
    assert not (weights_dir(remote) / "net.tflite").exists()
    assert (weights_dir(remote) / "names.txt").exists()
    assert not parts(cache)


def test_a_transfer_that_breaks_off(remote: ModelCard, server: Server, cache: Path) -> None:
    server.short.add("net.tflite")
    with pytest.raises(DownloadError, match=r"net\.tflite"):
        pull(remote)
    assert not parts(cache)


def test_no_network_and_no_such_file(remote: ModelCard, server: Server) -> None:
    del server.files["net.tflite"]
    with pytest.raises(DownloadError, match=r"Not Found.*EDGEINC_MODELS"):
        pull(remote)
    server.server_close()
    with pytest.raises(DownloadError, match="check the network"):
        pull(remote)


def test_a_cache_that_cannot_be_written(
    remote: ModelCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path / "file"))
    with pytest.raises(DownloadError, match="EDGEINC_CACHE"):
        pull(remote)


def test_files_without_a_source_are_told_and_may_be_missing(remote: ModelCard) -> None:
    second = replace(remote.files[0], name="net.onnx", source=None)
    card = replace(remote, files=(remote.files[0], second))
    assert pull(card).missing == ("net.onnx",)
    with pytest.raises(DownloadError, match="EDGEINC_MODELS"):
        pull(replace(remote, files=(second,), labels=None))


# -- add -----------------------------------------------------------------------------


def test_add_finds_input_quantisation_and_embedding(net: Path) -> None:
    card = add(net, licence="MIT", title="Tiny")
    assert card == find_card("net")
    assert (card.name, card.dim, card.layer, card.licence) == ("net", 4, "pool", "MIT")
    assert (card.input.height, card.input.width, card.input.crop) == (8, 8, "center")
    assert card.input.mean == (128.0, 128.0, 128.0)
    assert card.nonnegative
    with Backbone.open("net") as backbone:
        assert backbone.embed([np.full((20, 20, 3), 200, np.uint8)]).shape == (1, 4)
    net.unlink()
    assert verify("net").ok


def test_add_another_tensor(net: Path) -> None:
    card = add(net, embedding="logits")
    assert (card.dim, card.nonnegative) == (3, False)
    with pytest.raises(TensorNotFoundError, match="logits"):
        add(net, embedding="logit", overwrite=True)
    assert find_card("net") == card


def test_add_onnx_with_integers_inside(tmp_path: Path) -> None:
    path = tmp_path / "qdq.onnx"
    path.write_bytes(tiny.onnx_classifier())
    card = add(path)
    file = card.files[0]
    assert (card.dim, file.runtime, file.embedding.dtype) == (4, "onnx", "uint8")
    assert file.input.quantization is not None
    assert file.input.quantization.zero_point == 128
    assert verify("qdq").ok


def test_add_a_network_that_leaves_the_batch_open(tmp_path: Path) -> None:
    path = tmp_path / "open.onnx"
    path.write_bytes(tiny.onnx_open_batch())
    card = add(path, preprocessing=Preprocessing(mean=[127.5], std=[127.5]))
    # One number need not be in a list.
    same = add(path, preprocessing=Preprocessing(127.5, np.float32(127.5)), overwrite=True)
    assert same.input == card.input
    assert (card.layer, card.dim) == ("pool", 4)
    assert (card.input.height, card.input.width) == (8, 8)


def test_add_a_float_network_wants_its_normalisation(tmp_path: Path) -> None:
    path = tmp_path / "float.onnx"
    path.write_bytes(tiny.onnx_float())
    with pytest.raises(CardError, match="give mean and std"):
        add(path)
    with pytest.raises(CardError, match="give both"):
        add(path, preprocessing=Preprocessing(mean=[1]))
    with pytest.raises(CardError, match="2 numbers"):
        add(path, preprocessing=Preprocessing(mean=[1, 2], std=[1]))
    with pytest.raises(CardError, match="above zero"):
        add(path, preprocessing=Preprocessing(mean=[1], std=[0]))
    for mean in (300, [0, -1, 0]):
        with pytest.raises(InputError, match="is not within 0 to 255, as pixels are; give one"):
            add(path, preprocessing=Preprocessing(mean=mean, std=1))
    assert not user_models_dir().exists()
    given = Preprocessing(mean=[127.5], std=[50, 60, 70], color="BGR", crop="squash")
    card = add(path, preprocessing=given, nonnegative=True)
    assert (card.input.mean, card.input.std) == ((127.5,) * 3, (50.0, 60.0, 70.0))
    assert (card.input.color, card.input.crop, card.files[0].input.layout) == (
        "BGR",
        "squash",
        "NCHW",
    )
    assert card.nonnegative


def test_add_the_same_name_again(net: Path) -> None:
    first = add(net)
    with pytest.raises(CardError, match=r"added before.*--overwrite"):
        add(net)
    second = add(net, embedding="logits", overwrite=True)
    assert find_card("net") == second
    assert first.fingerprint != second.fingerprint


def test_the_name_of_a_shipped_model(net: Path, tmp_path: Path) -> None:
    mine = net.rename(net.with_name("pebble.tflite"))
    store = tmp_path / "pebble.db"
    with Engine.open(store) as engine:
        engine.enroll("nut", [np.full((40, 40, 3), 90, np.uint8)])
    with pytest.raises(CardError, match=r"named pebble ships with edgeinc.*--overwrite\.$"):
        add(mine)
    assert find_card("pebble").dim == 512
    card = add(mine, overwrite=True)
    assert find_card("pebble") == card
    says = f"Two networks have that name: rename or remove {card.folder}, or use another store."
    with pytest.raises(BackboneMismatchError, match=re.escape(says)):
        Engine.open(store)
    shutil.rmtree(str(card.folder))
    Engine.open(store).close()
    with pytest.raises(BackboneMismatchError, match="that name: name the card that it was made w"):
        Engine.open(store, backbone=replace(find_card("pebble"), network="another"))


@pytest.mark.parametrize(
    ("content", "name", "error"),
    [
        (b"", "net.tflite", ModelFormatError),
        (b"nothing at all", "net.onnx", ModelFormatError),
        (b"nothing at all", "net.pb", ModelFormatError),
        (tiny.tflite_gather(), "net.tflite", TensorNotFoundError),
        (tiny.onnx_two(2, 1), "two.onnx", TensorNotFoundError),
        (None, "net.tflite", ModelNotFoundError),
    ],
)
def test_what_cannot_be_added(
    tmp_path: Path, content: bytes | None, name: str, error: type[Exception]
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error):
        add(tmp_path / name)
    assert not user_models_dir().exists()


def test_inputs_that_are_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "flat.tflite"
    path.write_bytes(tiny.tflite_gather())
    with pytest.raises(ModelFormatError, match="no picture"):
        add(path, embedding="y")


@pytest.mark.parametrize("shape", [(4, 3, 8, 8), (4, 8, 8, 3)])
def test_a_fixed_batch_is_named(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "four.onnx"
    path.write_bytes(tiny.onnx_reshape("uint8", shape))
    with pytest.raises(ModelFormatError, match=r"takes 4 pictures at a time.*with a batch of 1"):
        add(path, embedding="y")


def test_numbers_that_are_none(net: Path) -> None:
    for wrong in (Preprocessing(float("nan"), 1), Preprocessing([1, 2, 3], [1, 2, float("inf")])):
        with pytest.raises(InputError, match=r"(mean=nan|std=\[1, 2, inf\]) is not finite; give"):
            add(net, preprocessing=wrong)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX's")
def test_a_pipe_is_not_waited_for(net: Path) -> None:
    pipe = net.with_name("pipe.onnx")
    os.mkfifo(pipe)
    for asking in (add, candidates):
        with pytest.raises(ModelNotFoundError, match=r"pipe\.onnx cannot be read \(it is no ord"):
            asking(pipe)
    with pytest.raises(CardError, match=r"pipe\.onnx cannot be read \(it is no ordinary file\)"):
        add(net, labels=pipe)


def test_labels_of_an_editor_that_marks_utf_8(net: Path, tmp_path: Path) -> None:
    labels = tmp_path / "names.txt"
    labels.write_bytes(b"\xef\xbb\xbfnut\r\nbolt\r\nwasher\r\n")
    card = add(net, labels=labels)
    assert load_labels(card) == ("nut", "bolt", "washer")
    assert load_classifier(card, "net.tflite").labels == ("nut", "bolt", "washer")


@pytest.mark.parametrize(
    "content", [b"nut\n\nwasher\n", b"nut\nbo\0lt\nwasher\n", b"nut\nbolt\n" + b"w" * 201]
)
def test_labels_that_are_none_are_refused_before_the_work(
    net: Path, tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("the network was tried")

    labels = tmp_path / "names.txt"
    labels.write_bytes(content)
    monkeypatch.setattr("edgeinc.catalogue.newcard.attempt", never)
    with pytest.raises(CardError, match=r"names\.txt has a line that is no label; correct it"):
        add(net, labels=labels)
    assert not user_models_dir().exists()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"labels": "läb 5.txt"}, "labels' file, and cannot name one 'läb 5.txt'; rename it to"),
        ({"licence": ""}, "licence must be a text of 1 to 4096 characters"),
        ({"licence": "a\tb"}, "licence has control characters"),
        ({"title": ""}, "title must be a text of 1 to 4096"),
        ({"title": " "}, "title must be a text of 1 to 4096"),
        ({"title": "a\nb"}, "title must be one line of printable text"),
        ({"title": "a\x9bb"}, "title must be one line of printable text"),
        ({"title": "x" * 5000}, "title must be a text of 1 to 4096"),
    ],
)
def test_what_a_card_cannot_say_is_refused_before_the_work(
    net: Path, wrong: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("the network was tried")

    monkeypatch.setattr("edgeinc.catalogue.newcard.attempt", never)
    if "labels" in wrong:
        wrong["labels"] = str(net.with_name(wrong["labels"]))
        Path(wrong["labels"]).write_text("nut\nbolt\nwasher\n", encoding="utf-8")
    with pytest.raises(CardError, match=says):
        add(net, **wrong)
    assert not user_models_dir().exists()


@pytest.mark.parametrize("name", ["net.yaml", "net.tflite"])
def test_labels_do_not_take_the_place_of_card_or_network(
    net: Path, tmp_path: Path, name: str
) -> None:
    labels = tmp_path / "labels" / name
    labels.parent.mkdir()
    labels.write_text("nut\nbolt\n", encoding="utf-8")
    with pytest.raises(CardError, match=f"{name} has the name of .* rename it"):
        add(net, labels=labels)
    assert not user_models_dir().exists()


def test_a_card_that_cannot_be_replaced_stays(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fails when the former card was moved out of its place."""

    def rename(self: Path, target: Path) -> Path:
        if self == folder:
            aside.append(target)
        elif target == folder and aside and self not in aside:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return original(self, target)

    before = add(net)
    folder = before.folder
    assert folder is not None
    aside: list[Path] = []
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    original = Path.rename
    monkeypatch.setattr(placing, "_exchanged", lambda *_: False)
    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(CardError, match="cannot be written"):
        placing.settle_card(before, files, folder, overwrite=True)
    assert aside
    assert find_card("net") == before
    assert [path.name for path in folder.parent.iterdir()] == ["net"]


def test_a_card_is_there_at_every_moment_while_it_is_replaced(net: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    if not placing._exchanged(one, other):
        pytest.skip("this system or disk does not exchange two folders in one step")
    before = add(net)
    assert before.folder is not None
    files = {path.name: path.read_bytes() for path in before.folder.iterdir()}
    begun, done = threading.Event(), threading.Event()

    def look() -> None:
        while not done.is_set():
            assert find_card("net").input == before.input
            begun.set()

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        try:
            assert begun.wait(60)
            for _ in range(100):
                placing.settle_card(before, files, before.folder, overwrite=True)
        finally:
            done.set()
        looking.result()


def test_a_link_to_a_card_elsewhere_is_replaced(net: Path, tmp_path: Path) -> None:
    before = add(net)
    assert before.folder is not None
    elsewhere = before.folder.rename(tmp_path / "elsewhere")
    before.folder.symlink_to(elsewhere)
    add(net, title="another", overwrite=True)
    assert find_card("net").title == "another"
    assert read_card(elsewhere / "net.yaml").title == before.title
    assert [path.name for path in user_models_dir().iterdir()] == ["net"]


def test_candidates_propose_the_pooled_layer(net: Path) -> None:
    proposed = candidates(net).proposed
    assert proposed is not None
    assert proposed.spec.name == "pool"


# -- list, verify --------------------------------------------------------------------


def test_listing(remote: ModelCard) -> None:
    names = [one.card.name for one in catalogue()]
    assert names == sorted(names)
    assert "net" in names
    assert not describe(remote).installed
    pull(remote)
    assert describe(remote).installed
    assert describe(remote).runtime == "litert"


def test_verify_tells_what_is_wrong(remote: ModelCard) -> None:
    assert not verify(remote).ok
    assert [check.ok for check in verify(remote).checks] == [None, None]
    pull(remote)
    found = verify(remote)
    assert found.ok
    assert [check.ok for check in found.checks] == [True, True]
    path = weights_dir(remote) / "net.tflite"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    found = verify(remote)
    assert not found.ok
    assert "sha256" in found.checks[0].message


def test_verify_advises_what_helps(
    net: Path, remote: ModelCard, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(name: str) -> str:
        assert main(["models", "verify", name]) == 1
        return capsys.readouterr().err

    assert said("net") == (
        "edgeinc: net cannot be used: run `edgeinc models pull net` to fetch its files.\n"
    )
    card = add(net, overwrite=True)
    assert card.folder is not None
    (card.folder / "net.tflite").unlink()
    only = (
        "edgeinc: net cannot be used: net.tflite has no public source: set EDGEINC_MODELS to a "
        "folder that has it and run `edgeinc models pull net`.\n"
    )
    assert said("net") == only
    (card.folder / "net.tflite").write_bytes(b"damaged")
    assert said("net") == only


def test_verify_tries_the_network_itself(net: Path) -> None:
    card = add(net)
    assert verify(replace(card, dim=5)).checks[0].ok is False


@pytest.mark.parametrize(
    ("locked", "words", "status", "said"),
    [
        ("cache", ["list"], 0, "pebble"),
        ("cache", ["verify", "pebble"], 0, "right sha256"),
        ("cache", ["pull", "pebble"], 0, "was here already"),
        ("cache", ["add", "net.tflite"], 1, r"cannot be written .*Permission denied"),
        ("cache", ["pull", "mobilenet_v2_1.0_224_quant"], 1, r"Permission denied.*EDGEINC_CACHE"),
        ("models", ["pull", "mobilenet_v2_1.0_224_quant"], 1, r"denied.*check EDGEINC_MODELS"),
    ],
)
def test_locked_folders(
    net: Path, tmp_path: Path, locked: str, words: list[str], status: int, said: str
) -> None:
    for name in ("cache", "models"):
        (tmp_path / name).mkdir()
    (tmp_path / "models" / "below").mkdir()
    (tmp_path / locked).chmod(0)
    places = {name: tmp_path / name / "below" for name in ("cache", "models")}
    drop = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"] if os.geteuid() == 0 else []
    if drop and shutil.which(drop[0]) is None:
        pytest.skip("root may read everything, and setpriv is not here to take that away")
    python = Path(sys.executable).absolute()
    done = subprocess.run(
        [*drop, str(python), "-m", "edgeinc", "models", *words],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": before_others(ROOT),
            "EDGEINC_CACHE": str(places["cache"]),
            "EDGEINC_MODELS": str(places["models"]),
            "https_proxy": "http://127.0.0.1:9",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert (done.returncode, bool(re.search(said, done.stdout + done.stderr))) == (status, True)


# -- shell ---------------------------------------------------------------------------


def shell(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any], str]:
    status = main(["--json", "models", *words])
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) <= 1
    return status, json.loads(lines[0]) if lines else {}, err


def test_shell(
    remote: ModelCard, net: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    status, found, _ = shell(capsys, "list")
    listed = {one["name"]: one for one in found["models"]}
    assert status == 0
    assert set(listed["net"]) == {"name", "runtime", "dim", "installed"}
    assert listed["net"]["installed"] is False

    status, _, err = shell(capsys, "verify", "net")
    assert status == 1
    assert "models pull" in err

    status, found, _ = shell(capsys, "pull", "net")
    assert status == 0
    assert found["models"][0]["fetched"] == ["net.tflite", "names.txt"]

    status, found, _ = shell(capsys, "verify", "net")
    assert (status, found["ok"]) == (0, True)

    status, found, _ = shell(capsys, "show", "net")
    assert found["fingerprint"] == remote.fingerprint

    status, found, err = shell(capsys, "pull", "nut")
    assert (status, found) == (1, {})
    assert "net" in err


def test_shell_adds(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, found, err = shell(capsys, "add", str(net), "--licence", "MIT")
    assert (status, found["name"], found["licence"]) == (0, "net", "MIT")
    assert "* pool" in err
    assert "logits" in err
    status, _, err = shell(capsys, "add", str(net))
    assert status == 1
    assert "added before" in err
    status, found, err = shell(
        capsys,
        "add",
        str(net),
        "--embedding",
        "logits",
        "--overwrite",
        "--mean",
        "1,2,3",
        "--std",
        "99",
    )
    assert (status, found["dim"]) == (0, 3)
    assert "no --base-classes\n" in err
    assert read_card(Path(str(found["folder"])) / "net.yaml").input.mean == (1.0, 2.0, 3.0)
    names = net.with_name("names.txt")
    names.write_text("nut\nbolt\nwasher\n", encoding="utf-8")
    words = "--embedding", "logits", "--overwrite", "--labels", str(names)
    status, _, err = shell(capsys, "add", str(net), *words)
    assert status == 0
    assert "no --base-classes, and names.txt names nothing\n" in err
    assert shell(capsys, "add", str(net), "--mean", "x")[0] == 2
    status, _, err = shell(capsys, "add", str(net), "--overwrite", "--least-cosine", "0.98")
    assert status == 2
    assert "--least-cosine is for --quantize DIR" in err
    assert shell(capsys, "add", str(net.with_name("absent.onnx")))[0] == 1


def test_pull_says_where_files_are(
    net: Path, remote: ModelCard, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(name: str) -> str:
        assert main(["models", "pull", name]) == 0
        return capsys.readouterr().out

    shipped = find_card("pebble").folder
    assert said("pebble") == f"pebble: was here already, in {shipped}\n"
    fetched = weights_dir(remote)
    assert said("net") == f"net: net.tflite, names.txt fetched, in {fetched}\n"
    assert said("net") == f"net: was here already, in {fetched}\n"
    assert remote.folder is not None
    (fetched / "net.tflite").rename(remote.folder / "net.tflite")
    assert said("net") == f"net: was here already, in {remote.folder} and {fetched}\n"


def test_a_list_has_a_row_for_each(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = replace(add(net), title="one\ntwo")
    (user_models_dir() / "net" / "net.yaml").write_text(dump_card(card), encoding="utf-8")
    assert main(["models", "list"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == len(catalogue())
    assert any(row.endswith(r"one\ntwo") for row in rows)


def test_two_that_take_one_name(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a network is tried, another process adds a model of its name."""

    def slowly(*asked: Any) -> Any:
        answer = original(*asked)
        monkeypatch.setattr(newcard, "attempt", original)
        add(net, title="the other")
        return answer

    original = newcard.attempt
    monkeypatch.setattr(newcard, "attempt", slowly)
    with pytest.raises(CardError, match="was added before"):
        add(net, title="this")
    assert find_card("net").title == "the other"
    assert [path.name for path in user_models_dir().iterdir()] == ["net"]


@pytest.mark.parametrize("exchanging", [True, False])
def test_many_that_replace_one_model(
    net: Path, monkeypatch: pytest.MonkeyPatch, exchanging: bool
) -> None:
    """With and without a system that exchanges two folders in one step."""
    if not exchanging:
        monkeypatch.setattr(placing, "_exchanged", lambda *_: False)
    card = add(net)
    assert card.folder is not None
    files = {path.name: path.read_bytes() for path in card.folder.iterdir()}

    def replace_it(_: int) -> None:
        placing.settle_card(card, files, user_models_dir() / "net", overwrite=True)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(replace_it, range(100)))
    assert find_card("net") == card
    assert [path.name for path in user_models_dir().iterdir()] == ["net"]
