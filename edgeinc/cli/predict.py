"""`edgeinc predict`."""

from __future__ import annotations

from pathlib import Path

import click

from edgeinc.cli.common import Settings, emit, note, open_engine, pass_settings, printable, warn
from edgeinc.cli.options import Place, takes
from edgeinc.errors import ImageError
from edgeinc.types import Prediction

__all__ = ["predict_command"]


@takes("store", "backbone", "device", "strict", "threads", "head", "base_classes", "tta")
@click.command("predict")
@click.argument("files", nargs=-1, required=True, metavar="FILE|DIR...", type=Place())
@pass_settings
def predict_command(settings: Settings, files: tuple[str, ...]) -> int:
    """Say what pictures show, one line a picture.

    Of a folder every picture is taken, and other files are reported. An unreadable picture
    is reported and passed over, and so is a folder without pictures; the exit status is then 1.
    """
    failed = False
    with open_engine(settings) as engine:
        for name in files:
            try:
                pictures = _pictures(name)
            except ImageError as exc:
                note(f"edgeinc: {exc}")
                failed = True
                continue
            for path in pictures:
                try:
                    prediction = engine.predict(path)
                except ImageError as exc:
                    note(f"edgeinc: {exc}")
                    failed = True
                else:
                    emit(settings, _record(prediction), _line(prediction))
    return int(failed)


def _pictures(name: str) -> list[str]:
    """The pictures that an argument stands for; of a folder, the rest is reported."""
    if not _is_folder(name):
        return [name]
    from edgeinc.images import list_images

    found = list_images(name)
    warn(found.passed_over)
    return [str(path) for path in found.pictures]


def _is_folder(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except OSError:
        # What may not be looked at is left to the reading, which says so.
        return False


def _record(p: Prediction) -> dict[str, object]:
    return {
        "source": p.source,
        "label": p.label,
        "score": round(p.score, 6),
        "known": p.known,
        "familiarity": round(p.familiarity, 6),
        "threshold": round(p.threshold, 6),
        "candidates": [
            {"label": c.label, "score": round(c.score, 6), "base": c.base} for c in p.candidates
        ],
        "device": p.device,
        "placement": None if p.placement is None else p.placement._asdict(),
        "ms": round(p.ms, 3),
    }


def _line(p: Prediction) -> str:
    if p.label is not None:
        whose = "  (the backbone's own)" if p.candidates[0].base else ""
        answer = f"{p.label}  {p.score:.2f}{whose}"
    elif p.candidates:
        nearest = p.candidates[0].label
        if p.familiarity < p.threshold:
            why = f"familiarity {p.familiarity:.2f}, known from {p.threshold:.2f} on"
        else:
            why = "but more like a negative"
        answer = f"unknown  (nearest: {nearest}, {why})"
    else:
        answer = "unknown  (nothing is enrolled)"
    return f"{printable(str(p.source))}: {answer}"
