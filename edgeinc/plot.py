"""Pictures of results; needs the extra `plot` (matplotlib)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeinc.errors import InputError, RuntimeUnavailableError
from edgeinc.types import Evaluation

__all__ = ["plot_confusion"]


def plot_confusion(evaluation: Evaluation, path: str | Path) -> None:
    """Writes the confusion matrix as a picture, rows summing to one.

    Args:
        evaluation: What `evaluate_folder` or `evaluate_loo` returned.
        path: File to write; its suffix chooses the format.

    Raises:
        RuntimeUnavailableError: matplotlib is not installed.
        InputError: The file cannot be written there, or not in that format.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as exc:
        message = "Plots need matplotlib; install it with: pip install 'edgeinc[plot]'"
        raise RuntimeUnavailableError(message) from exc
    labels = sorted(
        set(evaluation.confusion) | {a for row in evaluation.confusion.values() for a in row}
    )
    at = {label: i for i, label in enumerate(labels)}
    matrix = np.zeros((len(labels), len(labels)))
    for truth, row in evaluation.confusion.items():
        for answer, count in row.items():
            matrix[at[truth], at[answer]] = count
    matrix /= np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = 3 + 0.3 * len(labels)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(matrix, vmin=0, vmax=1, cmap="Blues")
    names = [label or "(none)" for label in labels]
    axes.set_xticks(range(len(labels)), names, rotation=90)
    axes.set_yticks(range(len(labels)), names)
    axes.set(xlabel="answer", ylabel="truth")
    axes.set_title(f"top-1 {evaluation.topk[0]:.1%} of {evaluation.n}")
    figure.colorbar(image, ax=axes, shrink=0.8)
    try:
        figure.savefig(path)
    except (OSError, ValueError) as exc:
        raise InputError(f"The plot cannot be written to {path}: {exc}.") from exc
