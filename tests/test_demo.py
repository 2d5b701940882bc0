"""The demo: what it measures, what it writes, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgeinc.cli import main
from edgeinc.demo import NEWCOMER, demo_table, run_demo
from edgeinc.engine import Engine
from edgeinc.errors import InputError
from edgeinc.images import read_image
from edgeinc.parts import KINDS


@pytest.fixture
def engine(tmp_path: Path, tiny_card: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """On a store that nothing is in."""
    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path / "cache"))
    with Engine.open(tmp_path / "s.db", backbone=tiny_card, threads=1) as opened:
        yield opened


def test_the_demo_learns_recognises_and_learns_one_more(engine: Engine, tmp_path: Path) -> None:
    lines: list[str] = []
    picture = tmp_path / "new" / "sheet.png"
    result = run_demo(engine, picture, shots=3, stream=10, seed=1, on_event=lines.append)
    assert result.n == 20
    assert [row.label for row in result.rows] == [*sorted(set(KINDS) - {NEWCOMER}), NEWCOMER]
    assert [row.shown for row in result.rows] == [2, 2, 2, 2, 2, 10]
    assert result.top1 == sum(row.right for row in result.rows) / 20
    assert {c.label: c.examples for c in engine.classes()} == dict.fromkeys(KINDS, 3)
    assert 0 <= result.rejected_before <= result.shown_before == 10
    assert len(lines) == 9
    assert read_image(picture).shape[1] > 10 * 160
    table = demo_table(result).splitlines()
    assert len(table) == 1 + len(KINDS) + 2
    assert table[-1].startswith(f"{result.top1:.1%} of 20 pictures right")


def test_the_demo_refuses_what_makes_no_sense(engine: Engine, tmp_path: Path) -> None:
    for shots, stream in [(0, 5), (5, 0), (-1, 5), (10**20, 5), (5, 10**20)]:
        with pytest.raises(InputError, match=f"asked for {shots} and {stream}"):
            run_demo(engine, tmp_path / "a.png", shots=shots, stream=stream)
    with pytest.raises(InputError, match="-1 is no seed"):
        run_demo(engine, tmp_path / "a.png", seed=-1)
    for name in ("a.text", "a"):
        with pytest.raises(InputError, match="suffix"):
            run_demo(engine, tmp_path / name, shots=1, stream=1)
    assert engine.classes() == []
    engine.enroll("a", np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(InputError, match="does not exist yet"):
        run_demo(engine, tmp_path / "a.png", shots=1, stream=1)


def test_the_shell_s_last_line_is_json(
    tmp_path: Path,
    tiny_card: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    words = ["--backbone", str(tiny_card), "demo", "--shots", "2", "--stream", "5"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    result = json.loads(out.splitlines()[-1])
    assert result.keys() == {"top1", "n", "picture"}
    assert result["n"] == 15
    assert read_image(result["picture"]).ndim == 3
    assert "wing nut" in err
    # Its store is thrown away, the person's is not touched.
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "demo-output"]
