"""The Makefile: when it installs anew."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[1] / "Makefile"
# Stands for a Python: `-m venv FOLDER` makes programs that note that they were called.
PYTHON = """#!/bin/sh
mkdir -p "$3/bin"
for program in pip pytest; do
  printf '#!/bin/sh\\necho %s >> calls\\ntest ! -e fail-%s\\n' $program $program > "$3/bin/$program"
  chmod +x "$3/bin/$program"
done
"""


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_other_pythons_are_installed_anew_when_the_project_changes(tmp_path: Path) -> None:
    shutil.copy(MAKEFILE, tmp_path)
    python, project = tmp_path / "python3.99", tmp_path / "pyproject.toml"
    python.write_text(PYTHON, encoding="utf-8")
    python.chmod(0o755)
    project.touch()
    os.utime(project, (1e9, 1e9))

    def calls() -> tuple[int, list[str]]:
        (tmp_path / "calls").write_text("", encoding="utf-8")
        words = ["make", "-s", "test-others", f"OTHERS={python}"]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, check=False)
        return done.returncode, (tmp_path / "calls").read_text(encoding="utf-8").split()

    assert calls() == (0, ["pip", "pytest"])
    assert calls() == (0, ["pytest"])
    (tmp_path / ".venv-python3.99" / "installed-dev").unlink()
    (tmp_path / "fail-pip").touch()
    assert calls() == (2, ["pip"])
    assert calls() == (2, ["pip"])
    (tmp_path / "fail-pip").unlink()
    assert calls() == (0, ["pip", "pytest"])
    os.utime(tmp_path / ".venv-python3.99" / "installed-dev", (9e8, 9e8))
    (tmp_path / "fail-pytest").touch()
    assert calls() == (2, ["pip", "pytest"])
    assert calls() == (2, ["pytest"])
