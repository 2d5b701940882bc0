"""The ideas that `compare` tries: changes of the recipe's settings, each with a name."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from settings import RecipeError, Settings, changed


@dataclass(frozen=True, slots=True)
class Idea:
    """A name and the settings that it stands for."""

    name: str
    settings: Settings

    @property
    def folder(self) -> Path:
        """Where its training lies."""
        return self.settings.work / "ideas" / "".join(c if c.isalnum() else "-" for c in self.name)


def read_ideas(settings: Settings, path: Path) -> list[Idea]:
    """`base` changes the recipe for all ideas, `ideas` maps each one's name to its own changes.

    Raises `RecipeError` where the file is no such mapping.
    """
    try:
        raw = yaml.safe_load(path.read_text("utf-8"))
        base, ideas = dict(raw.get("base") or {}), dict(raw["ideas"])
    except (OSError, ValueError, KeyError, AttributeError, TypeError, yaml.YAMLError) as exc:
        raise RecipeError(
            f"{path} holds no ideas ({exc}); compare it with the recipe's own ideas.yaml."
        ) from exc
    common = replace(changed(settings, path, base), workers=1)
    return [Idea(str(name), changed(common, path, own or {})) for name, own in ideas.items()]


def table(ideas: list[Idea]) -> str:
    """Markdown, an idea a line, in the file's order; those that are not done are left out."""
    lines = ["| idea | averaged weights | last weights | distance to its teachers | minutes |"]
    lines.append("|---|---|---|---|---|")
    for idea in ideas:
        if (idea.folder / "found.json").exists():
            found = json.loads((idea.folder / "found.json").read_text("utf-8"))
            lines.append(
                f"| {idea.name} | {found['averaged']} | {found['student']}"
                f" | {found['distance']:.3f} | {found['minutes']:.0f} |"
            )
    return "\n".join(lines) + "\n"
