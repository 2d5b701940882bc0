"""`models add` of an `.onnx` network whose weights lie in files beside it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeinc.backbone import Backbone
from edgeinc.cache import digest, user_models_dir
from edgeinc.catalogue import Preprocessing, add, candidates, verify
from edgeinc.errors import ModelFormatError
from edgeinc.runtimes import onnx_external
from edgeinc.runtimes.onnx_external import gathered
from tests import tiny_networks as tiny
from tests.conftest import photo

onnx = pytest.importorskip("onnx", reason="the extra `onnx` is not installed")

PIXELS = Preprocessing([127.5], [127.5])


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Temporary files and cache lie in the test's own folder."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path / "cache"))
    return temporary


def saved(folder: Path, name: str = "net.onnx.data") -> Path:
    """The float network as PyTorch's exporter writes it: `net.onnx` and `net.onnx.data`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "net.onnx"
    proto = onnx.load_model_from_string(tiny.onnx_float())
    onnx.save_model(proto, str(path), save_as_external_data=True, location=name, size_threshold=0)
    return path


def pointing(change: Callable[[dict[str, str]], object]) -> bytes:
    """The float network, whose first weights lie where `change` says."""
    proto = onnx.load_model_from_string(tiny.onnx_float())
    tensor = proto.graph.initializer[0]
    said = {"location": "weights.bin", "offset": "0", "length": str(len(tensor.raw_data))}
    change(said)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in said.items():
        tensor.external_data.add(key=key, value=value)
    return bytes(proto.SerializeToString())


def test_weights_beside_the_network(tmp_path: Path, places: Path) -> None:
    path = saved(tmp_path / "torch")
    assert len(path.read_bytes()) < len(tiny.onnx_float())
    assert candidates(path).proposed is not None
    card = add(path, preprocessing=PIXELS)
    assert card.folder is not None
    (file,) = card.files
    # The copy is one file, and its sha256 is over all of it.
    assert sorted(one.name for one in card.folder.iterdir()) == ["net.onnx", "net.yaml"]
    whole = (card.folder / "net.onnx").read_bytes()
    assert (file.bytes, file.sha256) == (len(whole), digest(whole))
    assert verify(card).ok
    assert list(places.iterdir()) == []

    (tmp_path / "one.onnx").write_bytes(tiny.onnx_float())
    one = add(tmp_path / "one.onnx", preprocessing=PIXELS)
    with Backbone.open(card, threads=1) as a, Backbone.open(one, threads=1) as b:
        np.testing.assert_array_equal(a.embed([photo(1, 1)]), b.embed([photo(1, 1)]))


def test_a_network_by_a_name_from_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path / "torch")
    monkeypatch.chdir(tmp_path / "torch")
    assert add("net.onnx", preprocessing=PIXELS).dim == 4


def test_what_is_whole_stays_as_it_is(tmp_path: Path) -> None:
    proto = onnx.load_model_from_string(tiny.onnx_float())
    proto.doc_string = "of no location"
    content = bytes(proto.SerializeToString())
    assert gathered(content, tmp_path) == content


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda said: said.update(location="../weights.bin"), "outside of its own folder"),
        (lambda said: said.update(location="sub/../weights.bin"), "outside of its own folder"),
        (lambda said: said.update(location="/etc/passwd"), "outside of its own folder"),
        (lambda said: said.update(location="C:\\weights.bin"), "outside of its own folder"),
        (lambda said: said.update(location="..\\weights.bin"), "outside of its own folder"),
        (lambda said: said.update(location=""), "outside of its own folder"),
        (lambda said: said.update(location="absent.bin"), "'absent.bin'.*is not beside it; copy"),
        (lambda said: said.update(location="."), "is not beside it"),
        (lambda said: said.update(location="x" * 300), "is not beside it"),
        (lambda said: said.update(length="999999"), "'weights.bin'.*is shorter.*copy it again"),
        (lambda said: said.update(offset="100"), "is shorter than the network says"),
        (lambda said: said.update(offset="-1"), "is shorter than the network says"),
        (lambda said: said.update(offset="one"), "no .onnx network that can be read"),
    ],
)
def test_weights_that_cannot_be_had(
    tmp_path: Path, places: Path, change: Callable[[dict[str, str]], object], says: str
) -> None:
    path = tmp_path / "torch" / "net.onnx"
    path.parent.mkdir()
    path.write_bytes(pointing(change))
    (path.parent / "weights.bin").write_bytes(bytes(432))
    (tmp_path / "weights.bin").write_bytes(bytes(432))
    with pytest.raises(ModelFormatError, match=says) as caught:
        gathered(path.read_bytes(), path.parent)
    with pytest.raises(ModelFormatError) as again:
        add(path, preprocessing=PIXELS)
    assert str(again.value) == str(caught.value)
    assert not user_models_dir().exists()
    assert list(places.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="links as POSIX has them")
def test_a_link_that_leads_out_of_the_folder(tmp_path: Path) -> None:
    path = saved(tmp_path / "torch")
    data = path.with_name("net.onnx.data")
    data.rename(path.with_name("inside.bin"))
    data.symlink_to("inside.bin")
    assert len(gathered(path.read_bytes(), path.parent)) > 432
    path.with_name("inside.bin").rename(tmp_path / "outside.bin")
    data.unlink()
    data.symlink_to(tmp_path / "outside.bin")
    with pytest.raises(ModelFormatError, match="outside of its own folder"):
        gathered(path.read_bytes(), path.parent)
    data.unlink()
    data.symlink_to(data)
    with pytest.raises(ModelFormatError, match="is not beside it"):
        gathered(path.read_bytes(), path.parent)


def test_more_than_a_file_can_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path)
    monkeypatch.setattr(onnx_external, "LARGEST", 500)
    with pytest.raises(ModelFormatError, match=r"single \.onnx file holds 2\.1 at most"):
        gathered(path.read_bytes(), tmp_path)
