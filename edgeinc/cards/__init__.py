"""Model cards: what a backbone is, written in YAML and read into frozen, validated records."""

from __future__ import annotations

from edgeinc.cards.fields import is_file_name, is_name, parse_yaml
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
    RuntimeName,
)
from edgeinc.cards.text import build_card, dump_card, parse_card, read_card, read_text

__all__ = [
    "Asset",
    "Classifier",
    "Color",
    "Crop",
    "DType",
    "EmbeddingTensor",
    "InputSpec",
    "InputTensor",
    "Layout",
    "ModelCard",
    "ModelFile",
    "Quantization",
    "RuntimeName",
    "build_card",
    "dump_card",
    "is_file_name",
    "is_name",
    "parse_card",
    "parse_yaml",
    "read_card",
    "read_text",
]
