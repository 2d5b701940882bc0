"""The training log as a picture."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

from files import write_bytes, write_whole
from lines import read_lines
from settings import RecipeError


def draw(log: Path, out: Path) -> None:
    """Draw the losses of a `log.jsonl` against the steps, as PNG, and keep its lines beside it.

    Raises `RecipeError` where there is no log yet.
    """
    lines = read_lines(log) if log.exists() else []
    if not lines:
        raise RecipeError(f"{log} is missing or empty; train first.")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    kept = "".join(json.dumps(line) + "\n" for line in lines)
    write_bytes(out.with_suffix(".jsonl"), kept.encode())
    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    steps = [line["step"] for line in lines]
    for key, name in (("whole", "whole view"), ("parts", "quarters")):
        axes.plot(steps, [line[key] for line in lines], label=f"cosine distance, {name}")
    for before, after in pairwise(lines):
        if before["size"] != after["size"]:
            axes.axvline(before["step"], color="grey", linewidth=0.8)
            axes.text(before["step"], axes.get_ylim()[1], f" {after['size']} px", va="top")
    labels = axes.twinx()
    labels.plot(steps, [line["labels"] for line in lines], color="tab:green", linewidth=0.8)
    labels.set_ylabel("cross-entropy of labels (green)")
    axes.set_xlabel("step")
    axes.set_ylabel("distance to the teachers")
    axes.legend()
    axes.grid(alpha=0.3)
    write_whole(out, lambda file: figure.savefig(file, dpi=110, format="png"))
    pyplot.close(figure)
