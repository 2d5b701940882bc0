"""`edgeinc predict`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from edgeinc.cli.common import Settings, emit, note, open_engine, pass_settings
from edgeinc.errors import ImageError
from edgeinc.types import Prediction

__all__ = ["predict_command"]


@click.command("predict")
@click.argument("files", nargs=-1, required=True, metavar="FILE|DIR...", type=click.Path())
@pass_settings
def predict_command(settings: Settings, files: tuple[str, ...]) -> int:
    """Say what pictures show, one line a picture.

    Of a folder every picture is taken. An unreadable picture is reported and passed over;
    the exit status is then 1.
    """
    failed = False
    with open_engine(settings) as engine:
        for path in _pictures(files):
            try:
                prediction = engine.predict(path)
            except ImageError as exc:
                note(f"edgeinc: {exc}")
                failed = True
            else:
                emit(settings, _record(prediction), _line(prediction))
    return int(failed)


def _pictures(files: tuple[str, ...]) -> Iterator[str]:
    from edgeinc.images import list_images

    for name in files:
        if Path(name).is_dir():
            yield from (str(path) for path in list_images(name))
        else:
            yield name


def _record(p: Prediction) -> dict[str, object]:
    return {
        "source": p.source,
        "label": p.label,
        "score": round(p.score, 6),
        "known": p.known,
        "candidates": [
            {"label": c.label, "score": round(c.score, 6), "base": c.base} for c in p.candidates
        ],
        "device": p.device,
        "ms": round(p.ms, 3),
    }


def _line(p: Prediction) -> str:
    if p.label is not None:
        answer = f"{p.label}  {p.score:.2f}"
    elif p.candidates:
        answer = f"unknown  (nearest: {p.candidates[0].label})"
    else:
        answer = "unknown  (nothing is enrolled)"
    return f"{p.source}: {answer}"
