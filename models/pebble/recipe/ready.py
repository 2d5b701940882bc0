"""What the steps will need, looked at before the first of them: hours may lie between."""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path

from files import disk_sentences
from settings import RecipeError, Settings

from edgeinc.weights import find_card

PACKAGES = {
    "train": ("torch",),
    "compare": ("torch", "onnx", "ai_edge_litert"),
    "curves": ("matplotlib",),
    "export": ("torch", "onnx", "ai_edge_litert"),
    "card": ("torch", "onnx", "ai_edge_litert"),
    "judge": ("torch", "onnx", "ai_edge_litert"),
}
WRITES = {"compare", "curves", "card", "judge"}


def ready(steps: tuple[str, ...], settings: Settings, out: Path) -> None:
    """Raises `RecipeError` for a missing package, teacher or judge, and an `out` that refuses."""
    needed = dict.fromkeys(package for step in steps for package in PACKAGES.get(step, ()))
    if missing := [package for package in needed if find_spec(package) is None]:
        raise RecipeError(
            f"Not installed: {', '.join(missing)}; in the checkout, pip install -e '.[training]'."
        )
    for teacher in settings.teachers:
        find_card(teacher)
    if "judge" in steps and settings.judge is not None:
        from judge import judged

        judged(settings.judge)
    if WRITES & set(steps):
        with disk_sentences(out):
            out.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=out):
                pass
