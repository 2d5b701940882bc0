"""`models add --quantize`: how far int8 is from float, and how fast, on two real networks.

The float networks are what the shipped and public int8 ones become when their steps are undone
(`benchmarks.floats`). Their weights still lie on 255 levels a channel, which a quantiser finds
again; their activations do not. `pebble` exported in float from its training, whose weights
lie on none, is in docs/quantize.md.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.common import V2, Figure, unpacked
from benchmarks.floats import floating
from edgeinc.catalogue import Quantized, add_quantized
from edgeinc.catalogue.reading import Preprocessing
from edgeinc.weights import find_card

__all__ = ["quantize"]

PEBBLE = "pebble"
LEAST = 0.99


def quantize() -> Iterator[Figure]:
    """Calibrated on 300 pictures of Flowers-17, judged by 100 others."""
    for backbone in (PEBBLE, V2):
        done = _quantized(backbone)
        yield Figure(
            f"{backbone} in float, made int8 on {done.calibrated} pictures of Flowers-17: cosine "
            f"of the embeddings of {done.held_out} others",
            f"mean {done.cosine:.4f}, least {done.least:.4f}",
            f"mean >= {LEAST}",
            done.cosine >= LEAST,
        )
        yield Figure(
            f"the same, pictures whose nearest of the {done.held_out} stays the same",
            f"{done.neighbours:.0%}",
        )
        yield Figure(
            "the same, one picture, one thread, float / int8, in turn",
            f"{done.float_ms:.2f} ms, {done.int8_ms:.2f} ms; median of ratios {done.speedup:.2f}x; "
            f"{done.float_bytes / 1e6:.1f} MB / {done.int8_bytes / 1e6:.1f} MB",
        )


def _quantized(backbone: str) -> Quantized:
    spec = find_card(backbone).input
    content = floating(backbone)
    pictures = unpacked("flowers17.tar")
    with tempfile.TemporaryDirectory() as scratch, _own_cache(Path(scratch) / "cache"):
        path = Path(scratch) / "own.onnx"
        path.write_bytes(content)
        numbers = Preprocessing(spec.mean, spec.std, spec.color, spec.crop)
        return add_quantized(path, pictures, preprocessing=numbers, least_cosine=0)


@contextmanager
def _own_cache(folder: Path) -> Iterator[None]:
    """What is added goes with the scratch folder, and not among the person's own models."""
    before = os.environ.get("EDGEINC_CACHE")
    os.environ["EDGEINC_CACHE"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["EDGEINC_CACHE"]
        else:
            os.environ["EDGEINC_CACHE"] = before
