"""A small network for the runtime of this example, and its card.

    python make_model.py FOLDER
    edgeinc --backbone FOLDER/filters.yaml enroll bolt *.jpg

Its filters are drawn at random: enough to tell colours and stripes apart.
"""

from __future__ import annotations

import hashlib
import itertools
import sys
from pathlib import Path

import numpy as np

CARD = """\
schema: 1
name: filters
title: Random filters, run by numpy
licence: Apache-2.0
network: random filters, seed 0
input: {{height: 48, width: 48, color: RGB, mean: [128, 128, 128], std: [64, 64, 64], crop: center}}
layer: mean over the picture
dim: 64
nonnegative: true
files:
- name: filters.npz
  runtime: numpy            # the entry point's name
  device: cpu               # without this line: a device of the same name
  bytes: {bytes}
  sha256: {sha256}
  input: {{layout: NHWC, dtype: float32}}
  embedding: {{tensor: mean, dtype: float32}}
"""


def main(folder: Path) -> None:
    """Writes `filters.npz` and `filters.yaml`."""
    rng = np.random.default_rng(0)
    sides = (3, 24, 64)
    filters = {
        f"layer{i}": (rng.standard_normal((3, 3, a, b)) / np.sqrt(9 * a)).astype(np.float32)
        for i, (a, b) in enumerate(itertools.pairwise(sides))
    }
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "filters.npz", **filters)
    content = (folder / "filters.npz").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    card = CARD.format(bytes=len(content), sha256=digest)
    (folder / "filters.yaml").write_text(card, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
