"""The recipe's settings: one YAML file read into frozen records.

Every number that changes the result is in that file; paths may also be given on the command line,
because they belong to a machine and not to the recipe.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml
from checks import Limit, RecipeError, check

__all__ = ["RecipeError", "Settings", "Stage", "changed", "checked", "read_settings"]


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of training at one picture size (a change of size compiles the network anew)."""

    size: int
    passes: float
    batch: int
    crop: tuple[float, float] = (0.4, 1.0)
    rate: float | None = None  # the peak; where it is given, a new cycle of the rate begins
    hold_out: bool = False  # leave the held-out classes out, to measure on them honestly


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the recipe needs to know; sizes in pixels, passes in epochs."""

    pictures: Path
    work: Path
    teachers: tuple[str, ...]
    stages: tuple[Stage, ...]
    whiten: float  # has no best value for all teachers: every recipe says its own
    judge: Path | None = None
    name: str = "backbone"
    licence: str = "unknown"
    about: str = ""
    seed: int = 1
    stored_size: int = 64
    grid: int = 4
    least_pictures: int = 2000
    held_out_classes: int = 40
    stem: int = 32
    widths: tuple[int, ...] = (64, 128, 192)
    blocks: tuple[int, ...] = (2, 3, 2)
    embedding: int = 512
    map_weight: float = 0.5
    label_weight: float = 0.05
    rate: float = 0.0025
    weight_decay: float = 0.05
    average: float = 0.999
    jitter: float = 0.2
    workers: int = 2
    threads: int = 1
    compile: bool = True
    input_size: int = 96
    calibration: int = 512
    background: int = 20000


def _above(least: float) -> Limit:
    return (f"more than {least:g}", lambda value: value > least)


def _from(least: int, most: float = math.inf) -> Limit:
    words = f"{least} or more" if most == math.inf else f"{least} to {most:g}"
    return (words, lambda value: least <= value <= most)


SIXTEENS = ("a multiple of 16", lambda value: value >= 16 and value % 16 == 0)
SOME = ("one or more", lambda value: len(value) > 0)
NAME = ("of letters, digits and . _ -", lambda value: bool(re.fullmatch(r"[A-Za-z0-9._-]+", value)))
CROP = ("two shares, 0 < low <= high <= 1", lambda value: 0 < value[0] <= value[1] <= 1)
WIDE = ("one or more, none below 1", lambda value: len(value) > 0 and min(value) > 0)
DEEP = ("one or more, none below 0", lambda value: len(value) > 0 and min(value) >= 0)
LIMITS: Mapping[str, Limit] = {
    "teachers": SOME,
    "stages": SOME,
    "name": NAME,
    "seed": _from(0),
    "stored_size": _from(8),
    "grid": _from(1),
    "least_pictures": _from(1),
    "held_out_classes": _from(0),
    "stem": _from(1),
    "widths": WIDE,
    "blocks": DEEP,
    "embedding": _from(1),
    "map_weight": _from(0),
    "label_weight": _from(0),
    "whiten": _from(0),
    "rate": _above(0),
    "weight_decay": _from(0),
    "average": _from(0, 1),
    "jitter": _from(0, 1),
    "workers": _from(1),
    "threads": _from(1),
    "input_size": SIXTEENS,
    "calibration": _from(1),
    "background": _from(1),
}
STAGE_LIMITS: Mapping[str, Limit] = {
    "size": SIXTEENS,
    "passes": _above(0),
    "batch": _from(1),
    "crop": CROP,
    "rate": _above(0),
}
PATHS = ("pictures", "work", "judge")


def read_settings(path: Path, **given: Path | None) -> Settings:
    """Read a YAML file; a path given here by name replaces the file's (`None` leaves it).

    Relative paths in the file are relative to the file.
    Raises `RecipeError` for a missing file, an unknown key or a value of the wrong kind.
    """
    try:
        raw = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"{path} is missing; give the recipe with --config FILE.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise RecipeError(f"{path} cannot be read as YAML ({exc}); mend it.") from exc
    if not isinstance(raw, dict):
        raise RecipeError(f"{path} is no mapping of settings; compare it with recipe.yaml.")
    values = _values(path, raw)
    for name in PATHS:
        if values.get(name) is not None:
            if not isinstance(values[name], str):
                raise RecipeError(f"{path}: {name} is {values[name]!r}; it must be a path.")
            values[name] = (path.parent / Path(values[name]).expanduser()).resolve()
    values.update({k: v.expanduser().resolve() for k, v in given.items() if v is not None})
    try:
        settings = Settings(**values)
    except TypeError as exc:
        raise RecipeError(f"{path}: {exc}; compare it with recipe.yaml.") from exc
    return checked(path, settings)


def changed(settings: Settings, path: Path, raw: Mapping[Any, Any]) -> Settings:
    """Settings with some replaced, as `path` names them; no paths.

    Raises `RecipeError` for an unknown key, a path or a value of the wrong kind.
    """
    if not isinstance(raw, Mapping):
        raise RecipeError(f"{path}: {raw!r} is no mapping of settings; compare it with ideas.yaml.")
    values = _values(path, raw)
    if fixed := sorted(set(PATHS) & set(values)):
        raise RecipeError(f"{path} changes {', '.join(fixed)}; ideas share these, remove them.")
    return checked(path, replace(settings, **values))


def checked(path: Path, settings: Settings) -> Settings:
    """The settings, if all of their values make sense; `RecipeError` for the first that does not.

    Kinds follow from the annotations above, limits from `LIMITS` and `STAGE_LIMITS`.
    """
    check(str(path), settings, LIMITS)
    for number, stage in enumerate(settings.stages, 1):
        check(f"{path}, stage {number}", stage, STAGE_LIMITS)
        if stage.batch < settings.workers:
            raise RecipeError(f"{path}, stage {number}: batch is less than workers; raise it.")
    if len(settings.widths) != len(settings.blocks):
        raise RecipeError(f"{path}: widths and blocks are of different lengths; give each a pair.")
    return settings


def _values(path: Path, raw: Mapping[Any, Any]) -> dict[str, Any]:
    """What a mapping says, with lists as tuples and stages as records."""
    unknown = sorted(set(map(str, raw)) - {field.name for field in fields(Settings)})
    if unknown:
        raise RecipeError(f"{path} has unknown settings: {', '.join(unknown)}; remove them.")
    values: dict[str, Any] = {k: _tupled(v) for k, v in raw.items()}
    if "stages" in values:
        try:
            values["stages"] = tuple(Stage(**stage) for stage in values["stages"])
        except TypeError as exc:
            raise RecipeError(f"{path}: {exc}; compare its stages with recipe.yaml.") from exc
    return values


def _tupled(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _tupled(v) for k, v in value.items()}
    if isinstance(value, list):
        return tuple(_tupled(v) for v in value)
    return value
