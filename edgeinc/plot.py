"""Pictures of results; needs the extra `plot` (matplotlib)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeinc.bench import BenchReport
from edgeinc.errors import InputError, RuntimeUnavailableError
from edgeinc.evaluate import Evaluation
from edgeinc.review import Layout, Review

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["check_place", "plot_bench", "plot_evaluation", "plot_review"]

SHOWN = 40
"""Classes that a plot of a whole store names at most."""

MAP = 8.0
"""Width of the map of classes, inches."""

SIDE = 4.0
"""Width of a diagram beside the confusion matrix, inches."""


def check_place(path: str | Path) -> None:
    """Looks, before long work, whether its picture could be written to a file.

    Args:
        path: The file; its suffix chooses the format.

    Raises:
        RuntimeUnavailableError: matplotlib is not installed.
        InputError: There is no such folder, a folder is at that path, or there is no such format.
    """
    path = Path(path)
    kinds = sorted(_figure(SIDE, SIDE).canvas.get_supported_filetypes())
    try:
        if path.suffix[1:].lower() not in kinds:
            why = f"its name must end in .png, or in one of {', '.join(kinds)}"
        elif not path.parent.is_dir():
            why = "its folder is not here; make it, or name another"
        elif path.is_dir():
            why = "it is a folder; name a file"
        else:
            return
    except OSError as exc:
        raise InputError(f"The plot cannot be written to {path}: {exc.strerror}.") from exc
    raise InputError(f"The plot cannot be written to {path}: {why}.")


def plot_bench(report: BenchReport, path: str | Path) -> None:
    """Writes one bar a way, as long as its median, with a line to the 95th percentile.

    Args:
        report: What `bench` returned.
        path: File to write; its suffix chooses the format.

    Raises:
        RuntimeUnavailableError: matplotlib is not installed.
        InputError: The file cannot be written there, or not in that format.
    """
    rows = report.rows
    names = [f"{row.model}, {row.device}, threads: {row.threads}" for row in rows]
    figure = _figure(MAP + 0.08 * max(map(len, names)), 1 + 0.3 * len(rows))
    axes = figure.subplots()
    places = range(len(rows))
    medians = [row.p50_ms for row in rows]
    shades = ["C0" if row is report.best[row.model] else "C7" for row in rows]
    axes.barh(places, medians, color=shades)
    axes.hlines(places, medians, [row.p95_ms for row in rows], color="black")
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds a frame: the median, and a line to the 95th percentile")
    _save(figure, path)


def plot_evaluation(evaluation: Evaluation, path: str | Path) -> None:
    """Writes the confusion matrix and the reliability diagram as one picture.

    Rows of the matrix sum to one. The diagram shows for each bin of probabilities what share of
    the answers was right; on the dashed line a probability is what it says.

    Args:
        evaluation: What `evaluate_folder` or `evaluate_loo` returned.
        path: File to write; its suffix chooses the format.

    Raises:
        RuntimeUnavailableError: matplotlib is not installed.
        InputError: The file cannot be written there, or not in that format.
    """
    labels = _labels(evaluation)
    side = 3 + 0.3 * len(labels)
    figure = _figure(side + 1 + SIDE, max(side, SIDE))
    left, right = figure.subplots(1, 2, width_ratios=(side + 1, SIDE))
    title = f"top-1 {evaluation.topk[0]:.1%} of {evaluation.n}"
    _draw_confusion(left, evaluation.confusion, labels, title)
    _draw_reliability(right, evaluation)
    _save(figure, path)


def plot_review(review: Review, places: Layout, path: str | Path) -> None:
    """Writes a map of the classes and the confusion matrix of leave-one-out as one picture.

    Of more than `SHOWN` classes the matrix shows those that get the least of their own back, and
    the map names none.

    Args:
        review: What `Engine.review` returned of a whole store.
        places: What `layout` returned of the same.
        path: File to write; its suffix chooses the format.

    Raises:
        RuntimeUnavailableError: matplotlib is not installed.
        InputError: The file cannot be written there, or not in that format.
    """
    worst = [look.label for look in review.classes if look.label in review.confusion][:SHOWN]
    labels = sorted(worst)
    side = 3 + 0.3 * len(labels)
    figure = _figure(side + 1 + MAP, max(side, MAP))
    left, right = figure.subplots(1, 2, width_ratios=(MAP, side + 1))
    _draw_map(left, places)
    share = "" if review.accuracy is None else f": {review.accuracy:.1%} of {review.judged}"
    _draw_confusion(right, review.confusion, labels, f"left out and found again{share}")
    _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    """An empty picture, inches.

    Raises:
        RuntimeUnavailableError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as exc:
        message = "Plots need matplotlib; install it with: pip install 'edgeinc[plot]'"
        raise RuntimeUnavailableError(message) from exc
    return Figure(figsize=(width, height), layout="constrained")


def _labels(evaluation: Evaluation) -> list[str]:
    """Every label that is a truth or an answer."""
    answers = {answer for row in evaluation.confusion.values() for answer in row}
    return sorted({*evaluation.confusion, *answers})


def _draw_map(axes: Axes, places: Layout) -> None:
    shades = [f"C{c % 10}" for c in places.y]
    axes.scatter(places.points[:, 0], places.points[:, 1], s=8, c=shades, alpha=0.4)
    if len(places.labels) <= SHOWN:
        for c, (label, at) in enumerate(zip(places.labels, places.means, strict=True)):
            name = axes.text(at[0], at[1], label, color=f"C{c % 10}", weight="bold", ha="center")
            # A dollar sign in a label begins no formula.
            name.set_parse_math(False)
    axes.set(xlabel="along which class means differ most", ylabel="and second most")
    axes.set_title(f"{len(places.labels)} classes, {len(places.y)} examples")


def _draw_confusion(
    axes: Axes, confusion: Mapping[str, Mapping[str, int]], labels: list[str], title: str
) -> None:
    at = {label: i for i, label in enumerate(labels)}
    matrix = np.zeros((len(labels), len(labels)))
    for truth, row in confusion.items():
        for answer, count in row.items():
            if truth in at and answer in at:
                matrix[at[truth], at[answer]] = count
    sizes = [sum(confusion.get(label, {}).values()) for label in labels]
    matrix /= np.maximum(np.reshape(sizes, (-1, 1)), 1)
    image = axes.imshow(matrix, vmin=0, vmax=1, cmap="Blues")
    names = [label or "(none)" for label in labels]
    axes.set_xticks(range(len(labels)), names, rotation=90)
    axes.set_yticks(range(len(labels)), names)
    axes.set(xlabel="answer", ylabel="truth")
    axes.set_title(title)
    axes.figure.colorbar(image, ax=axes, shrink=0.8)


def _draw_reliability(axes: Axes, evaluation: Evaluation) -> None:
    table = evaluation.reliability
    most = max((row.answers for row in table), default=0)
    # What few answers say is drawn fainter.
    for i, row in enumerate(table):
        shade = 0.15 + 0.85 * row.answers / max(most, 1)
        axes.bar(
            (i + 0.5) / len(table), row.accuracy, width=1 / len(table), alpha=shade, color="C0"
        )
    axes.plot([0, 1], [0, 1], linestyle="dashed", color="black", linewidth=1)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set(xlabel="probability of the answer", ylabel="share that is right")
    axes.set_title(f"calibration error {evaluation.ece:.3f}")


def _save(figure: Figure, path: str | Path) -> None:
    """Writes a picture.

    Raises:
        InputError: The file cannot be written there, or not in that format.
    """
    try:
        figure.savefig(path)
    except (OSError, ValueError) as exc:
        raise InputError(f"The plot cannot be written to {path}: {exc}.") from exc
