"""The main job on real pictures with a public int8 backbone, through the shell."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from edgeinc.cli import main

BACKBONE = "mobilenet_v1_0.25_128_quant"
ENROLLED = 10
TESTED = 10


@pytest.fixture(scope="module")
def flowers(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Flowers-17 as two folders of links, `enrol` and `test`, one folder a label."""
    root = tmp_path_factory.mktemp("flowers")
    with tarfile.open(shared / "data" / "flowers17.tar") as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(root / "all")
    by_label: dict[str, list[Path]] = {}
    for path in sorted((root / "all").rglob("*.jpg")):
        by_label.setdefault(path.parent.name, []).append(path)
    assert len(by_label) == 17
    for label, paths in by_label.items():
        # The split of the Coral imprinting test: the first 20 are for testing.
        for part, chosen in (("test", paths[:TESTED]), ("enrol", paths[20 : 20 + ENROLLED])):
            folder = root / part / label
            folder.mkdir(parents=True)
            for path in chosen:
                (folder / path.name).symlink_to(path)
    return root


def test_flowers_are_enrolled_and_recognised(
    flowers: Path,
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("ai_edge_litert", reason="the backbone is a .tflite file")
    monkeypatch.setenv("EDGEINC_MODELS", str(shared / "models"))
    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EDGEINC_STORE", str(tmp_path / "s.db"))

    def run(*words: str) -> dict[str, object]:
        assert main(["--json", *words]) == 0
        record: dict[str, object] = json.loads(capfd.readouterr().out)
        return record

    run("models", "pull", BACKBONE)
    enrolled = run("--backbone", BACKBONE, "enroll", "--from", str(flowers / "enrol"))
    assert enrolled["added"] == 17 * ENROLLED
    # From here on the store names its backbone.
    result = run("eval", str(flowers / "test"))
    assert result["n"] == 17 * TESTED
    # 0.79 with these ten shots; chance is 0.06.
    assert 0.7 < float(str(result["top1"])) < 1
    assert float(str(result["top5"])) > 0.9
    daisy = next((flowers / "test" / "daisy").iterdir())
    assert run("predict", str(daisy))["source"] == str(daisy)
    matches = run("search", str(daisy), "-k", "3")["matches"]
    assert isinstance(matches, list)
    assert len(matches) == 3
