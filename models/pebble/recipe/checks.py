"""Values against the kinds that their records' annotations name, and against limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, get_args, get_origin, get_type_hints

Limit = tuple[str, Callable[[Any], bool]]
WORDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number (0.001, not 1e-3)",
    "bool": "true or false",
    "Path": "a path",
    "NoneType": "nothing",
    "Stage": "a stage",
}


class RecipeError(Exception):
    """What stops the recipe: one sentence saying what is wrong, one saying what to do."""


def check(where: str, record: Any, limits: Mapping[str, Limit]) -> None:
    """Raises `RecipeError` for the first field of a dataclass that is of another kind or too far.

    Fields that are None, where they may be, have no limit.
    """
    for name, hint in get_type_hints(type(record)).items():
        value = getattr(record, name)
        if not fits(value, hint):
            raise RecipeError(f"{where}: {name} is {_shown(value)}; it must be {_words(hint)}.")
        if value is not None and name in limits and not limits[name][1](value):
            raise RecipeError(f"{where}: {name} is {_shown(value)}; it must be {limits[name][0]}.")


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is what an annotation says; whole numbers are numbers, truth values not.

    >>> fits((1, 2), tuple[int, ...]), fits((1, 0.5), tuple[float, float]), fits(True, int)
    (True, True, False)
    """
    parts = get_args(hint)
    if get_origin(hint) is tuple:
        if not isinstance(value, tuple):
            return False
        if parts[1] is ...:
            return all(fits(v, parts[0]) for v in value)
        return len(value) == len(parts) and all(map(fits, value, parts))
    if parts:
        return any(fits(value, part) for part in parts)
    if isinstance(value, bool) and hint is not bool:
        return False
    if hint is float:
        return isinstance(value, (int, float)) and math.isfinite(value)
    return isinstance(value, hint)


def _words(hint: Any) -> str:
    parts = get_args(hint)
    if get_origin(hint) is tuple:
        if parts[1] is ...:
            return f"a list, each of it {_words(parts[0])}"
        return f"a list of {len(parts)}, each of it {_words(parts[0])}"
    return " or ".join(map(_words, parts)) if parts else WORDS[hint.__name__]


def _shown(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else repr(value)
