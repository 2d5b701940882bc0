"""Model cards: what a backbone is, written in YAML and read into frozen, validated records."""

from __future__ import annotations

from edgeinc.cards.records import (
    Asset,
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
from edgeinc.cards.text import dump_card, parse_card, read_card

__all__ = [
    "Asset",
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
    "dump_card",
    "parse_card",
    "read_card",
]
