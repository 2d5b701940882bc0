"""Accuracy of an engine: against a folder of pictures, or leave-one-out on what it knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeinc.decision import softmax
from edgeinc.engine import Engine
from edgeinc.errors import ImageError, InputError
from edgeinc.images import labelled_images
from edgeinc.learner import Fitted
from edgeinc.metrics import expected_calibration_error, reliability
from edgeinc.store import clean_label
from edgeinc.types import NEGATIVE, Evaluation

__all__ = ["evaluate_folder", "evaluate_loo"]

TOP = 5

CELLS = 4_000_000
"""Scores, or similarities to examples, that are worked out at a time at most."""


class Answer(NamedTuple):
    """One picture: its true label, the labels it was taken for, and how sure the first is."""

    truth: str
    ranking: Sequence[str]
    probability: float
    known: bool


def evaluate_folder(
    engine: Engine,
    folder: str | Path,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Predicts every picture of a folder that holds one folder a label.

    Unreadable files, and those that are no pictures, are left out and named in the result.

    Args:
        engine: The engine; its background refit is waited for.
        folder: One folder a label; symbolic links are followed.
        progress: Called with (done, total).

    Raises:
        LabelError: A folder's name is no label.
        InputError: The folder holds no readable picture.
    """
    # The labels as enrolling this folder would have kept them.
    found = labelled_images(folder)
    pictures = [(clean_label(name), path) for name, path in found.pictures]
    engine.flush()
    answers: list[Answer] = []
    skipped = [*found.passed_over]
    for done, (label, path) in enumerate(pictures, 1):
        try:
            prediction = engine.predict(path)
        except ImageError as exc:
            skipped.append(str(exc))
        else:
            ranking = [c.label for c in prediction.candidates]
            answers.append(Answer(label, ranking, prediction.score, prediction.known))
        if progress is not None:
            progress(done, len(pictures))
    if not answers:
        raise InputError(f"{folder} holds no readable picture; give a folder of label folders.")
    return _summary(answers, tuple(skipped))


def evaluate_loo(engine: Engine) -> Evaluation:
    """Leave-one-out accuracy of the enrolled examples, in closed form; no picture is read.

    Classes of one example are left out, because without it they are unknown. Scores are
    those of a head without the example; the thresholds by which it is taken for known or
    not, and the temperature that makes probabilities of scores, are those of all examples,
    itself among them. The calibration error flatters a little therefore.

    Raises:
        InputError: No class has two examples.
    """
    fitted = engine.fitted()
    labels, counts, truth = fitted.snapshot.labels, fitted.snapshot.counts, fitted.snapshot.y
    # Negatives are no class: nothing is taken for one, and they are not asked about.
    classes = np.array([i for i, label in enumerate(labels) if label != NEGATIVE], np.intp)
    held = np.flatnonzero((counts[truth] > 1) & np.isin(truth, classes))
    if not len(held):
        raise InputError("No class has two examples; enrol more before leave-one-out.")
    # Some at a time: all scores of a large store take more memory than a small computer has.
    step = max(1, CELLS // max(len(labels), len(truth)))
    parts, probabilities = [], []
    for start in range(0, len(held), step):
        scores = fitted.scorer.held_out(held[start : start + step])[:, classes]
        # Stable, so that equal scores keep the order of the labels, as predictions do.
        parts.append(classes[np.argsort(-scores, axis=1, kind="stable")[:, :TOP]])
        probabilities += [float(softmax(row, fitted.scorer.temperature).max()) for row in scores]
    fitted.scorer.release()
    order = np.concatenate(parts)
    known = _known(fitted, held, order[:, 0])
    return _summary(
        [
            Answer(labels[t], [labels[i] for i in row], p, bool(k))
            for t, row, p, k in zip(truth[held], order, probabilities, known, strict=True)
        ]
    )


def _known(fitted: Fitted, held: NDArray[np.intp], taken: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Whether held-out rows `(m,)` are familiar enough to the classes `(m,)` they are taken for."""
    similarity, snapshot = fitted.similarity, fitted.snapshot
    # Negatives come before all classes, and are none.
    columns = taken - (len(snapshot.labels) - len(similarity.labels))
    rows = held - int(snapshot.counts[: len(snapshot.labels) - len(similarity.labels)].sum())
    return np.asarray(similarity.held_out(rows, columns) >= similarity.thresholds[columns])


def _summary(answers: Iterable[Answer], skipped: tuple[str, ...] = ()) -> Evaluation:
    """Counts answers, of which there is one at least."""
    hits = np.zeros(TOP)
    totals: dict[str, int] = {}
    confusion: dict[str, dict[str, int]] = {}
    probabilities, right = [], []
    n = unknown = 0
    for truth, ranking, probability, known in answers:
        n += 1
        unknown += not known
        totals[truth] = totals.get(truth, 0) + 1
        if truth in ranking:
            hits[ranking.index(truth) :] += 1
        answer = ranking[0] if ranking else ""
        row = confusion.setdefault(truth, {})
        row[answer] = row.get(answer, 0) + 1
        probabilities.append(probability)
        right.append(answer == truth)
    shares = [float(h) / n for h in hits]
    table = reliability(probabilities, right)
    return Evaluation(
        n=n,
        topk=(shares[0], shares[1], shares[2], shares[3], shares[4]),
        per_class={t: confusion[t].get(t, 0) / totals[t] for t in sorted(totals)},
        confusion={t: dict(sorted(confusion[t].items())) for t in sorted(confusion)},
        unknown_rate=unknown / n,
        ece=expected_calibration_error(table),
        reliability=table,
        skipped=skipped,
    )
