"""Finding cards, and loading only what is what the card says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinc.cache import cache_dir, digest, user_models_dir
from edgeinc.cards import (
    Asset,
    EmbeddingTensor,
    InputSpec,
    InputTensor,
    ModelCard,
    ModelFile,
    dump_card,
)
from edgeinc.errors import CardError, ChecksumError, ModelNotFoundError
from edgeinc.features import Background
from edgeinc.weights import (
    card_folders,
    find_card,
    installed_path,
    is_installed,
    list_cards,
    load_background,
    load_file,
    load_labels,
    weights_dir,
)

WEIGHTS = b"weights of nothing"


def asset(name: str, content: bytes, source: str | None = "https://example.org/x") -> Asset:
    return Asset(name, len(content), digest(content), source)


def card(name: str = "thing", **more: Any) -> ModelCard:
    whole = asset(f"{name}.onnx", WEIGHTS)
    file = ModelFile(
        whole.name,
        whole.bytes,
        whole.sha256,
        whole.source,
        "onnx",
        InputTensor("NHWC", "float32", None),
        EmbeddingTensor("out", "float32", None),
    )
    spec = InputSpec(8, 8, "RGB", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "center")
    made = ModelCard(name, "t", "MIT", None, name, spec, "out", 4, True, (file,))
    return replace(made, **more)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def add(made: ModelCard) -> Path:
    folder = user_models_dir() / made.name
    folder.mkdir(parents=True)
    (folder / f"{made.name}.yaml").write_text(dump_card(made), encoding="utf-8")
    return folder


def test_everything_follows_the_cache_variable(cache: Path) -> None:
    assert cache_dir() == cache
    assert user_models_dir() == cache / "models"
    assert not cache.exists()


def test_without_it_the_system_says_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("EDGEINC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "d"))
    assert cache_dir() == tmp_path / "c" / "edgeinc"
    assert user_models_dir() == tmp_path / "d" / "edgeinc" / "models"


def test_shipped_cards_are_found_by_name() -> None:
    found = find_card("mobilenet_v2_1.0_224_quant")
    assert found.dim == 1280
    assert found.folder == card_folders()[1] / "mobilenet_v2_1.0_224_quant"
    assert found.name in {c.name for c in list_cards()}


def test_added_cards_are_found_by_name_path_and_folder() -> None:
    folder = add(card())
    path = folder / "thing.yaml"
    assert find_card("thing") == find_card(path) == find_card(str(folder)) == card()
    assert "thing" in {c.name for c in list_cards()}


def test_an_added_card_takes_the_place_of_a_shipped_one() -> None:
    add(card("mobilenet_v2_1.0_224_quant"))
    assert find_card("mobilenet_v2_1.0_224_quant").dim == 4
    assert [c.dim for c in list_cards() if c.name == "mobilenet_v2_1.0_224_quant"] == [4]


@pytest.mark.parametrize(
    "name", ["mobilenet_v2_1.0_224", "x" * 5000, "..", "a/b", "no.yaml", "", "a\x00b"]
)
def test_unknown_names_come_with_near_ones_or_the_list(name: str) -> None:
    with pytest.raises(
        ModelNotFoundError, match=r"mobilenet_v2_1\.0_224_quant|models list|check it"
    ):
        find_card(name)


def test_a_network_without_a_card_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(WEIGHTS)
    with pytest.raises(ModelNotFoundError, match="edgeinc models add"):
        find_card(tmp_path / "net.onnx")


def test_a_broken_card_stops_itself_and_no_other() -> None:
    add(card())
    path = add(card("other")) / "other.yaml"
    path.write_text("schema: 1\n", encoding="utf-8")
    with pytest.warns(UserWarning, match=r"other\.yaml"):
        names = {c.name for c in list_cards()}
    assert "thing" in names
    assert "other" not in names
    with pytest.raises(CardError, match=r"other\.yaml"):
        find_card("other")


def test_weights_are_checked_at_every_load() -> None:
    folder = add(card())
    made = find_card("thing")
    (folder / "thing.onnx").write_bytes(WEIGHTS)
    assert is_installed(made)
    assert load_file(made, made.files[0]) == WEIGHTS
    (folder / "thing.onnx").write_bytes(WEIGHTS[:-1] + b"?")
    with pytest.raises(ChecksumError, match="models pull thing"):
        load_file(made, made.files[0])
    (folder / "thing.onnx").write_bytes(WEIGHTS + b"?")
    with pytest.raises(ChecksumError):
        load_file(made, made.files[0])


def test_a_sound_file_in_the_cache_stands_in_for_a_damaged_one() -> None:
    folder = add(card())
    made = find_card("thing")
    (folder / "thing.onnx").write_bytes(b"damaged")
    weights_dir(made).mkdir(parents=True)
    (weights_dir(made) / "thing.onnx").write_bytes(WEIGHTS)
    assert load_file(made, made.files[0]) == WEIGHTS


def test_what_is_not_installed_says_how_to_get_it() -> None:
    add(card())
    made = find_card("thing")
    assert not is_installed(made)
    assert installed_path(made, made.files[0]) is None
    with pytest.raises(ModelNotFoundError, match="edgeinc models pull thing"):
        load_file(made, made.files[0])
    with pytest.raises(ModelNotFoundError, match="EDGEINC_MODELS"):
        load_file(made, replace(made.files[0], source=None))


def test_labels() -> None:
    names = b"tench, Tinca tinca\ngoldfish \n"
    made = card(labels=asset("names.txt", names))
    assert load_labels(card()) == ()
    with pytest.raises(ModelNotFoundError):
        load_labels(made)
    weights_dir(made).mkdir(parents=True)
    (weights_dir(made) / "names.txt").write_bytes(names)
    assert load_labels(made) == ("tench, Tinca tinca", "goldfish")
    marked = b"\xef\xbb\xbf" + names
    (weights_dir(made) / "names.txt").write_bytes(marked)
    found = load_labels(replace(made, labels=asset("names.txt", marked)))
    assert found == ("tench, Tinca tinca", "goldfish")
    (weights_dir(made) / "names.txt").write_bytes(b"\xff")
    with pytest.raises(CardError, match="UTF-8"):
        load_labels(replace(made, labels=asset("names.txt", b"\xff")))


def test_background() -> None:
    assert load_background(card()) is None
    content = Background(np.zeros(4), 3).to_bytes()
    made = card(background=asset("background.npz", content))
    weights_dir(made).mkdir(parents=True)
    (weights_dir(made) / "background.npz").write_bytes(content)
    found = load_background(made)
    assert found is not None
    assert found.count == 3
    with pytest.raises(CardError, match="5 dimensions"):
        load_background(replace(made, dim=5))


def test_statistics_are_kept_and_a_touched_file_is_checked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path / "cache"))
    original = Background.of(np.arange(12, dtype=np.int16).reshape(3, 4))
    content = original.to_bytes()
    made = replace(card(dim=4), background=asset("thing.background.npz", content), folder=tmp_path)
    (tmp_path / "thing.background.npz").write_bytes(content)
    for _ in range(2):
        loaded = load_background(made)
        assert loaded is not None
        assert loaded.count == 3
        assert np.allclose(loaded.mean, original.mean)
    assert len(list((tmp_path / "cache" / "background-2").iterdir())) == 1
    (tmp_path / "thing.background.npz").write_bytes(content[:-1] + b"x")
    with pytest.raises(ChecksumError):
        load_background(made)
