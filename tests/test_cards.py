"""Model cards: what is accepted, what is refused, and that writing gives reading back."""

from __future__ import annotations

import random
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinc.cards import Quantization, dump_card, parse_card, read_card
from edgeinc.errors import CardError

ROOT = Path(__file__).parents[1]

CARD = """\
schema: 1
name: thing_8
title: A network for tests
licence: no
homepage: https://example.org/thing
network: thing, weights of the first of May
input:
  height: 96
  width: 128
  color: BGR
  mean: [1, 2.5, -3e1]
  std: [127.5, 127.5, 127.5]
  crop: center
layer: pooled
dim: 32
nonnegative: true
files:
  - name: thing_8.tflite
    runtime: litert
    bytes: 12
    sha256: 0123456789012345678901234567890123456789012345678901234567890123
    source: https://example.org/thing_8.tflite
    input: {layout: NHWC, dtype: uint8, scale: 0.0078125, zero_point: 128}
    embedding: {tensor: a/b;c, dtype: int8, scale: 1e-2, zero_point: -128}
  - name: thing_8.onnx
    runtime: onnx
    bytes: 13
    sha256: 0123456789012345678901234567890123456789012345678901234567890124
    input: {layout: NCHW, dtype: float32}
    embedding: {tensor: out, dtype: float32}
labels:
  name: names.txt
  bytes: 14
  sha256: 0123456789012345678901234567890123456789012345678901234567890125
classifier:
  classes: 965
  sha256: 0123456789012345678901234567890123456789012345678901234567890126
notes: |
  Two lines,
  written out.
"""


def test_card_is_read_into_records() -> None:
    card = parse_card(CARD)
    assert card.name == "thing_8"
    assert card.licence == "no"
    assert (card.input.height, card.input.width, card.input.color) == (96, 128, "BGR")
    assert card.input.mean == (1.0, 2.5, -30.0)
    assert card.files[0].input.quantization == Quantization(0.0078125, 128)
    assert card.files[0].embedding.quantization == Quantization(0.01, -128)
    assert card.files[1].input.quantization is None
    assert card.files[1].source is None
    assert [asset.name for asset in card.assets] == ["thing_8.tflite", "thing_8.onnx", "names.txt"]
    assert card.classifier is not None
    assert card.classifier.classes == 965
    assert card.background is None
    assert card.notes == "Two lines,\nwritten out.\n"


def test_records_are_frozen() -> None:
    card = parse_card(CARD)
    field = "dim"
    with pytest.raises(FrozenInstanceError):
        setattr(card, field, 3)


def test_dump_and_parse_round_trip() -> None:
    card = parse_card(CARD)
    assert parse_card(dump_card(card)) == card


@given(
    title=st.text(st.characters(exclude_categories=("C",)), min_size=1, max_size=60).filter(
        str.strip
    ),
    scale=st.floats(1e-12, 1e12),
    zero_point=st.integers(0, 255),
    mean=st.tuples(*[st.floats(-1e6, 1e6)] * 3),
)
@settings(max_examples=60)
def test_any_values_round_trip(
    title: str, scale: float, zero_point: int, mean: tuple[float, float, float]
) -> None:
    card = parse_card(CARD)
    tensor = replace(card.files[0].input, quantization=Quantization(scale, zero_point))
    changed = replace(
        card,
        title=title,
        input=replace(card.input, mean=mean),
        files=(replace(card.files[0], input=tensor), card.files[1]),
    )
    assert parse_card(dump_card(changed)) == changed


def test_fingerprint_follows_what_shapes_an_embedding() -> None:
    card = parse_card(CARD)
    same = [
        replace(card, title="x", licence="MIT", notes=None, name="other"),
        replace(card, files=card.files[:1], labels=None),
        replace(card, folder=Path("elsewhere")),
    ]
    other = [
        replace(card, network="x"),
        replace(card, layer="x"),
        replace(card, dim=31),
        replace(card, nonnegative=not card.nonnegative),
        replace(card, input=replace(card.input, crop="squash")),
        replace(card, input=replace(card.input, color="RGB")),
        replace(card, input=replace(card.input, mean=(0.0, 0.0, 0.0))),
    ]
    assert {c.fingerprint for c in same} == {card.fingerprint}
    assert len({c.fingerprint for c in [card, *other]}) == 1 + len(other)
    # Stores in the field carry this value: it must not change from release to release.
    assert card.fingerprint == "28681c2d08095aaa959fc74c14da8ef756f302a67e629dfb54549ea36ae7e788"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("schema: 1", "schema: 2", "schema 2"),
        ("schema: 1\n", "", "schema is missing"),
        ("title: A", "colour: x\ntitle: A", "'colour' is not a key"),
        ("dim: 32", "dim: 32\ndim: 33", "twice"),
        ("dim: 32", "dim: 0", "dim must be a whole number from 1"),
        ("dim: 32", "dim: 3.5", "dim must be a whole number"),
        ("dim: 32", "dim: [32]", "dim must be a text"),
        ("dim: 32", "dim:", "dim is missing"),
        ("dim: 32\n", "", "dim is missing"),
        ("dim: 32", "dim: 99999999999999999999999999", "dim must be a whole number"),
        ("nonnegative: true", "nonnegative: yes", "nonnegative must be one of true, false"),
        ("crop: center", "crop: centre", "crop must be one of center, squash"),
        ("color: BGR", "color: GRAY", "color must be one of RGB, BGR"),
        ("width: 128", "width: 128\n  depth: 3", "'depth' is not a key"),
        ("[1, 2.5, -3e1]", "[1, 2]", "mean must be a list of three finite numbers"),
        ("[1, 2.5, -3e1]", "[1, 2, .nan]", "mean must be a list of three finite numbers"),
        ("[1, 2.5, -3e1]", "[1, 2, 1e999]", "mean must be a list of three finite numbers"),
        ("[127.5, 127.5, 127.5]", "[127.5, 0, 1]", "std must be above zero"),
        ("name: thing_8\n", "name: thing\n", "stem"),
        ("name: thing_8.tflite", "name: ../thing_8.tflite", "plain file name"),
        ("name: thing_8.tflite", "name: .thing_8.tflite", "plain file name"),
        ("name: names.txt", "name: thing_8.onnx", "twice"),
        ("runtime: onnx", "runtime: Torch 2", "runtime must be a name of lower-case letters"),
        ("bytes: 12", "bytes: -1", "bytes must be a whole number"),
        ("890123\n", "89012\n", "64 hexadecimal digits"),
        ("https://example.org/thing_8.tflite", "file:///etc/passwd", "http or https"),
        ("zero_point: 128", "zero_point: 256", "zero_point must be a whole number from 0 to 255"),
        ("classes: 965", "classes: 1", "classes must be a whole number from 2 to 65536"),
        ("classes: 965", "classes: 4e9", "classes must be a whole number"),
        ("classes: 965", "rows: 965", "classes is missing"),
        ("classes: 965", "classes: 965\n  name: a.npz", "'name' is not a key"),
        ("890126", "8901", "64 hexadecimal digits"),
        ("classifier:\n  classes: 965\n", "classifier: yes\nx:\n", "must be keys with values"),
        ("scale: 1e-2", "scale: 0", "scale must be a number above zero"),
        (
            "layout: NCHW, dtype: float32",
            "layout: NCHW, dtype: float32, scale: 1",
            "'scale' is not",
        ),
        (
            "dtype: float32}\n    embedding",
            "dtype: float64}\n    embedding",
            "dtype must be one of",
        ),
        ("input:\n  height: 96", "input: 3\nx:\n  height: 96", "input must be keys with values"),
        ("title: A", "title: !!python/object/apply:os.getcwd []\nx: A", "no YAML tags"),
        ("title: A", "title: &a A", "no YAML tags, anchors"),
        ("title: A", "title: *a\nx: A", "no YAML tags, anchors"),
        ("title: A", '"title": "\\u0007"\nx: A', "control characters"),
        ("title: A", 'title: ""\nx: A', "title must be a text"),
        ("title: A", "title: [[[[[[[[[[[1]]]]]]]]]]]\nx: A", "nested too deeply"),
        ("title: A", "? [1]\n: 2\ntitle: A", "a key must be a word"),
        ("title: A", "title: 'A", "not valid YAML at line"),
        ("schema: 1", "schema: 1\x00", "not valid YAML"),
        ("schema: 1", "a: 1\n---\nschema: 1", "more than one YAML document"),
        ("Two lines", "x" * 70000, "larger than"),
    ],
)
def test_what_breaks_the_schema_is_named(old: str, new: str, told: str) -> None:
    assert old in CARD
    with pytest.raises(CardError) as caught:
        parse_card(CARD.replace(old, new, 1))
    message = str(caught.value)
    assert told in message
    assert len(message) < 200


@pytest.mark.parametrize("text", ["", "- 1", "thing", "files: []", "\ud800: 1"])
def test_what_is_no_card_at_all(text: str) -> None:
    with pytest.raises(CardError):
        parse_card(text)


def test_mutated_cards_are_read_or_refused() -> None:
    rng = random.Random(7)
    for _ in range(1500):
        text = list(CARD)
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(text))
            text[at : at + rng.randint(0, 4)] = rng.choices("[]{}:&*!|>'\"-\n ,?#%0aé\x00\x85", k=2)
        try:
            card = parse_card("".join(text))
        except CardError:
            continue
        assert parse_card(dump_card(card)) == card


def test_deep_nesting_is_refused_quickly() -> None:
    with pytest.raises(CardError):
        parse_card("[" * 60000)
    with pytest.raises(CardError):
        parse_card("{a: " * 15000)


def test_read_card_knows_its_folder_and_names_itself(tmp_path: Path) -> None:
    path = tmp_path / "thing.yaml"
    path.write_text(CARD, encoding="utf-8")
    assert read_card(path).folder == tmp_path
    path.write_text(CARD + "extra: 1\n", encoding="utf-8")
    with pytest.raises(CardError, match=r"thing\.yaml"):
        read_card(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(CardError, match="UTF-8"):
        read_card(path)
    with pytest.raises(CardError, match="cannot be read"):
        read_card(tmp_path / "absent.yaml")


def test_paths_of_devices_are_relative_to_the_card(tmp_path: Path) -> None:
    path = tmp_path / "thing.yaml"
    here = str(tmp_path)
    for written, read in (
        ("lib/libx.so,a=1", f"{here}/lib/libx.so,a=1"),
        ("./libx.so,a=./b,c=../d,e=f/g", f"{here}/libx.so,a={here}/b,c={here}/../d,e=f/g"),
        ("/opt/libx.so", "/opt/libx.so"),
        ("libx.so", "libx.so"),
    ):
        text = CARD.replace("runtime: litert", f"runtime: litert\n    device: '{written}'")
        path.write_text(text, encoding="utf-8")
        card = read_card(path)
        assert card.files[0].device == read
        # As it is handed to a process that works elsewhere.
        assert parse_card(dump_card(card), Path()).files[0].device == read


def test_every_shipped_card_is_in_its_folder_and_round_trips() -> None:
    # Other YAML beside a card belongs to the recipe that made its weights.
    paths = sorted(p for p in (ROOT / "models").glob("*/*.yaml") if p.stem == p.parent.name)
    assert len(paths) >= 7
    for path in paths:
        card = read_card(path)
        assert path.parent.name == card.name
        assert parse_card(dump_card(card)) == card
    assert len({read_card(path).fingerprint for path in paths}) == len(paths)
