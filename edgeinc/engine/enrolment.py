"""Enrolling: pictures to embeddings to committed examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeinc.backbone import Backbone
from edgeinc.engine.memory import Memory
from edgeinc.errors import ImageError
from edgeinc.images import Picture, faults, labelled_images, make_thumbnail
from edgeinc.store import NewExample, class_of, clean_label
from edgeinc.types import NEGATIVE, EnrollReport

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["enroll_folder", "enroll_pictures", "several", "source_of"]

# A folder import commits this often: what was embedded before a power cut is kept.
IMPORT_BATCH = 256


Labelled = Sequence[tuple[str | None, Picture]]


class _Embedded(NamedTuple):
    """What is to be committed, how many it was made of, and what is to be said of them."""

    examples: list[NewExample]
    pictures: int
    unreadable: list[str]
    poor: list[str]


def enroll_pictures(
    backbone: Backbone,
    memory: Memory,
    labelled: Labelled,
    *,
    skip_unreadable: bool,
    thumbnails: bool,
) -> EnrollReport:
    """Embeds and commits (label, picture) pairs in one transaction; see `Engine.enroll`."""
    made = _embed(
        backbone, memory, labelled, skip_unreadable=skip_unreadable, thumbnails=thumbnails
    )
    return _commit(backbone, memory, made)


def _embed(
    backbone: Backbone,
    memory: Memory,
    labelled: Labelled,
    *,
    skip_unreadable: bool,
    thumbnails: bool,
) -> _Embedded:
    memory.refuse_use()
    for label in dict.fromkeys(label for label, _ in labelled):
        class_of(label)
    seen: dict[int, list[str]] = {}

    def look(picture: Picture, side: int, image: NDArray[np.uint8]) -> None:
        seen[id(picture)] = faults(image, side)

    rows, unreadable = backbone.embed_many(
        [picture for _, picture in labelled], skip_unreadable=skip_unreadable, look=look
    )
    examples = []
    for (label, picture), row in zip(labelled, rows, strict=True):
        if row is None:
            continue
        try:
            small = make_thumbnail(picture) if thumbnails else None
        except ImageError as exc:
            # A file is read once more for this, and may have gone meanwhile.
            if not skip_unreadable:
                raise
            unreadable.append(str(exc))
            continue
        examples.append(NewExample(label, row, source_of(picture), small))
    poor = [
        f"{source_of(picture) or f'picture {n}'} is enrolled, but {fault}"
        for n, (_, picture) in enumerate(labelled, 1)
        for fault in seen.get(id(picture), [])
    ]
    return _Embedded(examples, len(labelled), unreadable, poor)


def _commit(backbone: Backbone, memory: Memory, made: _Embedded) -> EnrollReport:
    change = memory.change(
        lambda store: store.enroll(
            made.examples, file=maker_of(backbone), file_sha256=backbone.file_sha256
        )
    )
    counts = memory.counts()
    negatives = counts.pop(NEGATIVE, 0)
    return EnrollReport(
        added=len(change.ids),
        skipped=made.pictures - len(change.ids),
        unreadable=len(made.unreadable),
        classes=counts,
        negatives=negatives,
        warnings=(*made.unreadable, *made.poor),
        ids=tuple(change.ids),
    )


def enroll_folder(
    backbone: Backbone,
    memory: Memory,
    folder: str | Path,
    progress: Callable[[int, int], None] | None,
    *,
    thumbnails: bool,
) -> EnrollReport:
    """Enrols one folder a label, in batches; see `Engine.enroll_folder`."""
    from concurrent.futures import ThreadPoolExecutor

    files, passed_over = labelled_images(folder)
    for label in dict.fromkeys(label for label, _ in files):
        clean_label(label)
    reports: list[EnrollReport] = []

    def finish(commit: Future[EnrollReport]) -> None:
        reports.append(commit.result())
        if progress is not None:
            progress(min(len(reports) * IMPORT_BATCH, len(files)), len(files))

    # A batch is committed, which waits for the disk, while the next one is embedded.
    with ThreadPoolExecutor(1, thread_name_prefix="edgeinc-commit") as thread:
        commit: Future[EnrollReport] | None = None
        for start in range(0, len(files), IMPORT_BATCH):
            batch = files[start : start + IMPORT_BATCH]
            made = _embed(backbone, memory, batch, skip_unreadable=True, thumbnails=thumbnails)
            if commit is not None:
                finish(commit)
            commit = thread.submit(_commit, backbone, memory, made)
        if commit is not None:
            finish(commit)
    return EnrollReport(
        added=sum(r.added for r in reports),
        skipped=sum(r.skipped for r in reports) + len(passed_over),
        unreadable=sum(r.unreadable for r in reports) + len(passed_over),
        classes=reports[-1].classes,
        negatives=reports[-1].negatives,
        warnings=(*passed_over, *(w for r in reports for w in r.warnings)),
        ids=tuple(i for r in reports for i in r.ids),
    )


def maker_of(backbone: Backbone) -> str:
    """What makes embeddings, as it is kept with them: the weights' file and the views."""
    views = f", views {' '.join(backbone.views)}" if backbone.views else ""
    return backbone.file_name + views


def source_of(picture: Picture) -> str | None:
    """Where a picture came from, as it is kept with the example."""
    return str(picture) if isinstance(picture, (str, Path)) else None


def several(pictures: Any) -> list[Picture]:
    """One picture or several, as a list."""
    one = isinstance(pictures, (str, bytes, bytearray, memoryview, np.ndarray))
    # What is no picture at all is refused where pictures are read.
    return [pictures] if one or not isinstance(pictures, Iterable) else list(pictures)
