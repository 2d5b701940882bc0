"""What a run was made of: kept in its checkpoint, so that it goes on with nothing else."""

from __future__ import annotations

import json
from dataclasses import asdict

from data import Pictures
from settings import Settings

from edgeinc.weights import find_card

KEPT = ("grid", "whiten", "stem", "widths", "blocks", "embedding", "held_out_classes")


def origin_of(settings: Settings, pictures: Pictures) -> dict[str, str]:
    """Everything that a run cannot change on its way, each as text, and its stages."""
    teachers = [find_card(teacher).files[0].sha256 for teacher in settings.teachers]
    texts = {name: json.dumps(getattr(settings, name)) for name in KEPT}
    stages = {f"stage {i + 1}": json.dumps(asdict(s)) for i, s in enumerate(settings.stages)}
    return {"pictures": pictures.digest, "teachers": json.dumps(teachers), **texts, **stages}


def differences(old: dict[str, str], new: dict[str, str], finished: int) -> list[str]:
    """What differs, of the stages only the finished ones; what `old` does not say does not count.

    >>> differences({"stem": "32", "stage 1": "a", "stage 2": "b"}, {"stem": "16"}, 1)
    ['stem', 'stage 1']
    """
    later = {f"stage {i + 1}" for i in range(finished, len(old))}
    told = [name for name, text in old.items() if text and name not in later]
    return [name for name in told if old[name] != new.get(name)]
