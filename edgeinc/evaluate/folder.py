"""Against folders of pictures: of known classes, and of strangers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from edgeinc.engine import Engine
from edgeinc.errors import ImageError, InputError, LabelError
from edgeinc.evaluate.answers import Answer, summarise
from edgeinc.evaluate.records import Evaluation, StrangerEvaluation
from edgeinc.images import labelled_images, list_images
from edgeinc.metrics import auroc, false_positive_rate
from edgeinc.store import clean_label
from edgeinc.types import Prediction

__all__ = ["evaluate_folder"]

NAMED = 5
"""Labels that a warning names at most."""


def evaluate_folder(
    engine: Engine,
    folder: str | Path,
    *,
    unknown: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Predicts every picture of a folder that holds one folder a label; strangers too.

    Unreadable files, and those that are no pictures, are left out and named in the result. So
    is, as a warning, what makes its figures doubtful: a folder whose label is not known, a
    stranger that lies in a folder of an enrolled label or is among the known pictures too.

    Args:
        engine: The engine; its background refit is waited for.
        folder: One folder a label; symbolic links are followed.
        unknown: A folder of pictures of nothing that is enrolled, in folders of any depth or
            none. They are compared with those pictures in `folder` whose label is enrolled.
        progress: Called with (done, total).

    Raises:
        LabelError: A folder's name is no label.
        InputError: A folder holds no readable picture; or with `unknown`, `folder` holds none
            of an enrolled label.
    """
    # The labels as enrolling this folder would have kept them.
    found = labelled_images(folder)
    labels = [clean_label(name) for name, _ in found.pictures]
    paths = [path for _, path in found.pictures]
    skipped = [*found.passed_over]
    others: list[Path] = []
    if unknown is not None:
        others, passed_over = list_images(unknown)
        skipped += passed_over
    engine.flush()
    mine = {info.label for info in engine.classes()}
    predictions = _predict(engine, [*paths, *others], skipped, progress)
    shown = [(t, said) for t, said in zip(labels, predictions, strict=False) if said is not None]
    if not shown:
        raise InputError(f"{folder} holds no readable picture; give a folder of label folders.")
    result = summarise(
        Answer(label, [c.label for c in said.candidates], said.score, said.known)
        for label, said in shown
    )
    warnings = [
        f"{label!r} in {folder} is not enrolled; its pictures count as wrong."
        for label in sorted({*labels} - mine - {*engine.base_classes})
    ]
    strangers = None
    if unknown is not None:
        strangers = _compare(
            [said for label, said in shown if label in mine],
            [said for said in predictions[len(paths) :] if said is not None],
            folder,
            unknown,
        )
        warnings += _doubts(Path(unknown), others, paths, mine)
    return replace(result, strangers=strangers, skipped=tuple(skipped), warnings=tuple(warnings))


def _predict(
    engine: Engine,
    paths: Sequence[Path],
    skipped: list[str],
    progress: Callable[[int, int], None] | None,
) -> list[Prediction | None]:
    """An answer a picture, None for an unreadable one, of which a sentence goes to `skipped`."""
    predictions: list[Prediction | None] = []
    for path in paths:
        try:
            predictions.append(engine.predict(path))
        except ImageError as exc:
            skipped.append(str(exc))
            predictions.append(None)
        if progress is not None:
            progress(len(predictions), len(paths))
    return predictions


def _compare(
    known: Sequence[Prediction],
    strangers: Sequence[Prediction],
    folder: str | Path,
    unknown: str | Path,
) -> StrangerEvaluation:
    """Holds known pictures against strangers."""
    if not known:
        raise InputError(
            f"{folder} holds no readable picture of an enrolled label, which strangers could be "
            "told from; enrol its labels first."
        )
    if not strangers:
        raise InputError(f"{unknown} holds no readable picture; give a folder of strangers.")
    familiar = [said.familiarity for said in known]
    strange = [said.familiarity for said in strangers]
    taken = Counter(label for label in map(_taken_for, strangers) if label is not None)
    return StrangerEvaluation(
        n=len(strangers),
        known=len(known),
        auroc=auroc(familiar, strange),
        fpr95=false_positive_rate(familiar, strange),
        accepted=sum(_taken_for(said) is not None for said in known) / len(known),
        rejected=(len(strangers) - sum(taken.values())) / len(strangers),
        taken_for=dict(sorted(taken.items(), key=lambda item: (-item[1], item[0]))),
    )


def _taken_for(said: Prediction) -> str | None:
    """The enrolled class that a picture was taken for; one of the backbone's own is none."""
    return None if said.candidates[0].base else said.label


def _doubts(
    unknown: Path, others: Sequence[Path], paths: Sequence[Path], mine: set[str]
) -> list[str]:
    """Sentences on strangers that may be none."""
    doubts = []
    inside = 0
    called: set[str] = set()
    for path in others:
        folders = [unknown.absolute().name, *path.relative_to(unknown).parts[:-1]]
        found = {*map(_label, folders)} & mine
        inside += bool(found)
        called |= found
    if called:
        names = ", ".join(sorted(called)[:NAMED]) + (", ..." if len(called) > NAMED else "")
        doubts.append(
            f"{inside} of the strangers lie in folders that are called as enrolled classes are "
            f"({names}); those that show them are no strangers."
        )
    if both := len({p.resolve() for p in others} & {p.resolve() for p in paths}):
        doubts.append(f"{both} of the strangers are among the known pictures too; take them out.")
    return doubts


def _label(folder: str) -> str:
    """The label that a folder's name gives; "" where it gives none."""
    try:
        return clean_label(folder)
    except LabelError:
        return ""
