"""Packages that are not there, for tests that start a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]

# The finders of modules and distributions find everything but these.
HEAD = """
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MODULES:
            return None
        return self.finder.find_spec(name, path, target)

    def find_distributions(self, context):
        if not hasattr(self.finder, "find_distributions"):
            return []
        found = self.finder.find_distributions(context)
        return [one for one in found if one.metadata["Name"] not in DISTRIBUTIONS]

MODULES, DISTRIBUTIONS = {modules!r}, {distributions!r}
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""


def before_others(folder: object, variable: str = "PYTHONPATH") -> str:
    """A search path with a folder before whatever the caller has there."""
    return os.pathsep.join(filter(None, (str(folder), os.environ.get(variable))))


def run_without(
    script: str,
    *arguments: object,
    modules: tuple[str, ...],
    distributions: tuple[str, ...] = (),
) -> subprocess.CompletedProcess[str]:
    """Runs a script in a process where some packages are not installed, nor in its children."""
    head = HEAD.format(modules=modules, distributions=distributions)
    with tempfile.TemporaryDirectory() as first:
        # Python imports it at every start; children have the same path.
        (Path(first) / "sitecustomize.py").write_text(head)
        return subprocess.run(
            [sys.executable, "-c", "import sys\n" + script, *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": before_others(first)},
            capture_output=True,
            text=True,
            check=False,
        )
