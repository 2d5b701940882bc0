"""The recipe's settings: one YAML file read into frozen records.

Every number that changes the result is in that file; paths may also be given on the command line,
because they belong to a machine and not to the recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml


class RecipeError(Exception):
    """What stops the recipe: one sentence saying what is wrong, one saying what to do."""


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
    judge: Path | None = None
    name: str = "backbone"
    licence: str = "unknown"
    about: str = ""
    seed: int = 1
    stored_size: int = 64
    grid: int = 4
    least_pictures: int = 2000
    held_out_classes: int = 0
    stem: int = 32
    widths: tuple[int, ...] = (64, 128, 192)
    blocks: tuple[int, ...] = (2, 3, 2)
    embedding: int = 512
    map_weight: float = 0.5
    label_weight: float = 0.05
    whiten: float = 0.5
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
            values[name] = (path.parent / Path(str(values[name])).expanduser()).resolve()
    values.update({k: v.expanduser().resolve() for k, v in given.items() if v is not None})
    try:
        settings = Settings(**values)
    except TypeError as exc:
        raise RecipeError(f"{path}: {exc}; compare it with recipe.yaml.") from exc
    if not settings.stages or not settings.teachers:
        raise RecipeError(f"{path} names no stages or no teachers; at least one of each is needed.")
    return settings


def changed(settings: Settings, path: Path, raw: Mapping[Any, Any]) -> Settings:
    """Settings with some replaced, as `path` names them; no paths.

    Raises `RecipeError` for an unknown key or a stage that is none.
    """
    return replace(settings, **_values(path, raw))


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
