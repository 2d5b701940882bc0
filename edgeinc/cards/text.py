"""Cards as text: YAML to records and back.

`schema: 1` is the version. A later version may add keys; this one refuses what it does not
know, because a misspelt key that is passed over is a wrong embedding that nobody notices.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgeinc.cards.device import read_device
from edgeinc.cards.fields import Fields, Node, parse_yaml
from edgeinc.cards.records import (
    Asset,
    Classifier,
    Color,
    Crop,
    DType,
    EmbeddingTensor,
    InputSpec,
    InputTensor,
    Layout,
    ModelCard,
    ModelFile,
    Quantization,
)
from edgeinc.errors import CardError
from edgeinc.unclosed import open_no_database

__all__ = ["build_card", "dump_card", "parse_card", "read_card", "read_text"]

COLORS: tuple[Color, ...] = ("RGB", "BGR")
CROPS: tuple[Crop, ...] = ("center", "squash")
LAYOUTS: tuple[Layout, ...] = ("NHWC", "NCHW")
DTYPES: tuple[DType, ...] = ("uint8", "int8", "float32")

SCHEMA = 1
MAX_CARD_BYTES = 64 * 1024
MAX_FILE_BYTES = 4 * 1024**3
MAX_FILES = 16
MAX_SIDE = 4096
MAX_DIM = 65536
MAX_CLASSES = 65536


def parse_card(text: str, folder: Path | None = None, origin: str = "The card") -> ModelCard:
    """Reads a card.

    Args:
        text: YAML, at most 64 KiB.
        folder: Where the card lies; files that ship with it are there.
        origin: What to call the card in an error.

    Raises:
        CardError: The text breaks the schema; the message names the key.
    """
    return build_card(parse_yaml(_bounded(text, origin), origin), folder, origin)


def build_card(node: Node, folder: Path | None = None, origin: str = "The card") -> ModelCard:
    """Makes a card of what `parse_yaml` gave; arguments and errors as for `parse_card`."""
    top = Fields(node, origin)
    if (version := top.whole("schema", 1, 10**6)) != SCHEMA:
        raise CardError(f"{origin} has schema {version}, this edgeinc reads {SCHEMA}; update it.")
    card = ModelCard(
        name=top.name("name"),
        title=top.text("title"),
        licence=top.text("licence"),
        homepage=top.address("homepage"),
        network=top.text("network"),
        input=_input(top.child("input")),
        layer=top.text("layer"),
        dim=top.whole("dim", 1, MAX_DIM),
        nonnegative=top.flag("nonnegative"),
        files=tuple(_file(f, folder) for f in top.children("files", MAX_FILES)),
        labels=_asset(top.child("labels")) if top.has("labels") else None,
        classifier=_classifier(top.child("classifier")) if top.has("classifier") else None,
        background=_asset(top.child("background")) if top.has("background") else None,
        notes=top.text("notes") if top.has("notes") else None,
        folder=folder,
    )
    top.done()
    names = [asset.name for asset in card.assets]
    if len(set(names)) != len(names):
        raise top.error("files", "name one file twice; give each its own name")
    if card.name not in (Path(name).stem for name in names):
        raise top.error("name", "must be the stem of one of its files")
    return card


def _input(fields: Fields) -> InputSpec:
    spec = InputSpec(
        height=fields.whole("height", 1, MAX_SIDE),
        width=fields.whole("width", 1, MAX_SIDE),
        color=fields.choice("color", COLORS),
        mean=fields.three("mean"),
        std=fields.three("std"),
        crop=fields.choice("crop", CROPS),
    )
    if min(spec.std) <= 0:
        raise fields.error("std", "must be above zero for each channel")
    fields.done()
    return spec


def _quantization(fields: Fields, dtype: DType) -> Quantization | None:
    if dtype == "float32":
        return None
    least, most = (0, 255) if dtype == "uint8" else (-128, 127)
    return Quantization(fields.positive("scale"), fields.whole("zero_point", least, most))


def _file(fields: Fields, folder: Path | None) -> ModelFile:
    tensor, embedding = fields.child("input"), fields.child("embedding")
    dtype, out = tensor.choice("dtype", DTYPES), embedding.choice("dtype", DTYPES)
    asset, runtime = _asset_keys(fields), fields.word("runtime")
    file = ModelFile(
        runtime=runtime,
        input=InputTensor(tensor.choice("layout", LAYOUTS), dtype, _quantization(tensor, dtype)),
        embedding=EmbeddingTensor(embedding.text("tensor"), out, _quantization(embedding, out)),
        device=read_device(fields, asset.name, runtime, folder),
        name=asset.name,
        bytes=asset.bytes,
        sha256=asset.sha256,
        source=asset.source,
    )
    for part in (fields, tensor, embedding):
        part.done()
    return file


def _asset_keys(fields: Fields) -> Asset:
    return Asset(
        name=fields.name("name"),
        bytes=fields.whole("bytes", 1, MAX_FILE_BYTES),
        sha256=fields.sha256("sha256"),
        source=fields.address("source"),
    )


def _asset(fields: Fields) -> Asset:
    asset = _asset_keys(fields)
    fields.done()
    return asset


def _classifier(fields: Fields) -> Classifier:
    found = Classifier(fields.whole("classes", 2, MAX_CLASSES), fields.sha256("sha256"))
    fields.done()
    return found


def read_card(path: Path | str) -> ModelCard:
    """Reads a card from a file; the file's folder becomes the card's.

    Raises:
        CardError: The file cannot be read or breaks the schema.
    """
    path = Path(path)
    return parse_card(read_text(path), path.parent, str(path))


def read_text(path: Path) -> str:
    """The text of a card's file.

    Raises:
        CardError: The file cannot be read, is too large, or is not UTF-8.
    """
    try:
        file = open_no_database(path)
        if file is None:
            raise CardError(f"{path} is a database, maybe a store; give a card.")
        with file as stream:
            # One byte more than allowed, so that a card that is too large is seen to be.
            text = stream.read(MAX_CARD_BYTES + 1).decode("utf-8")
    except OSError as exc:
        raise CardError(f"The card {path} cannot be read ({exc.strerror}); check it.") from exc
    except UnicodeDecodeError as exc:
        raise CardError(f"The card {path} is not UTF-8 text; save it as UTF-8.") from exc
    return _bounded(text, str(path))


def _bounded(text: str, origin: str) -> str:
    if len(text) > MAX_CARD_BYTES:
        raise CardError(f"{origin} is larger than {MAX_CARD_BYTES} characters; shorten its notes.")
    return text


def dump_card(card: ModelCard) -> str:
    """Writes a card as YAML; `parse_card` gives an equal card back."""
    import yaml

    data: dict[str, Any] = {"schema": SCHEMA}
    for key in ("name", "title", "licence", "homepage", "network"):
        data[key] = getattr(card, key)
    data["input"] = asdict(card.input)
    data |= {"layer": card.layer, "dim": card.dim, "nonnegative": card.nonnegative}
    data["files"] = [_plain_file(file) for file in card.files]
    for key in ("labels", "classifier", "background"):
        if (part := getattr(card, key)) is not None:
            data[key] = _given(asdict(part))
    data["notes"] = card.notes

    class Dumper(yaml.SafeDumper):
        """Writes for people: three numbers on one line, several lines as several lines."""

    Dumper.add_representer(
        tuple,
        lambda to, row: to.represent_sequence("tag:yaml.org,2002:seq", row, flow_style=True),
    )
    Dumper.add_representer(
        str,
        lambda to, text: to.represent_scalar(
            "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
        ),
    )
    return str(yaml.dump(_given(data), Dumper=Dumper, sort_keys=False, allow_unicode=True))


def _given(data: dict[str, Any]) -> dict[str, Any]:
    """Leaves out what is None."""
    return {key: value for key, value in data.items() if value is not None}


def _plain_file(file: ModelFile) -> dict[str, Any]:
    plain = _given(asdict(file))
    for part in ("input", "embedding"):
        plain[part] |= plain[part].pop("quantization") or {}
    return plain
