"""HDF5 files: whole or not there, in pieces, labels in order, errors in words."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinc import Engine
from edgeinc.backbone import Backbone
from edgeinc.errors import InputError, LabelError, TensorNotFoundError
from edgeinc.export import MOST_ROWS, embed_folder, export_hdf5
from edgeinc.features import to_features
from tests.absent import ROOT, run_without
from tests.conftest import photo

h5py = pytest.importorskip("h5py", reason="the extra `hdf5` is not installed")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three labels, `b` before `a` in no order but the alphabet's; links stand for many."""
    folder = tmp_path_factory.mktemp("photos")
    for kind, label in enumerate(["b", "a", "c"]):
        (folder / label).mkdir()
        for i in range(3):
            cv2.imwrite(str(folder / label / f"{i}.png"), photo(kind, i))
    return folder


@pytest.fixture(scope="module")
def many(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More pictures than are written at a time, some of them unreadable."""
    folder = tmp_path_factory.mktemp("many")
    for label in ("a", "b"):
        (folder / label).mkdir()
        for i in range(MOST_ROWS // 2 + 30):
            (folder / label / f"{i:03}.png").symlink_to(photos / label / f"{i % 3}.png")
    for i in (0, 100, 140):
        link = folder / "a" / f"{i:03}.png"
        link.unlink()
        link.write_bytes(b"no picture")
    (folder / "a" / "notes.txt").touch()
    return folder


def read(path: Path) -> tuple[np.ndarray, list[int], list[str]]:
    with h5py.File(path) as file:
        assert set(file) == {"features", "labels", "label_names"}
        assert (file["features"].dtype, file["labels"].dtype) == (np.float32, np.int64)
        names = [name.decode() for name in file["label_names"][:]]
        return file["features"][:], file["labels"][:].tolist(), names


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_more_than_one_piece_and_what_cannot_be_read(
    many: Path, tiny_card: Path, tmp_path: Path
) -> None:
    steps: list[tuple[int, int]] = []
    written = embed_folder(
        many,
        tmp_path / "e.h5",
        backbone=tiny_card,
        progress=lambda *step: steps.append(step),
    )
    half = MOST_ROWS // 2 + 30
    assert written.shape == (2 * half - 3, 64)
    assert [Path(s.split(" ")[0]).name for s in written.skipped] == [
        "notes.txt",
        "000.png",
        "100.png",
        "140.png",
    ]
    assert steps == [(MOST_ROWS, 2 * half), (2 * half, 2 * half)]
    features, labels, names = read(tmp_path / "e.h5")
    assert labels == [0] * (half - 3) + [1] * half
    assert names == ["a", "b"]
    with Backbone.open(tiny_card) as backbone:
        each = {
            label: [backbone.activations(many / label / f"{i:03}.png") for i in (3, 1, 2)]
            for label in ("a", "b")
        }
    readable = [("a", i) for i in range(half) if i not in (0, 100, 140)]
    readable += [("b", i) for i in range(half)]
    expected = np.stack([each[label][i % 3] for label, i in readable])
    assert np.array_equal(features, expected)
    assert left(tmp_path) == ["e.h5"]
    # The room that was taken beforehand has been given back.
    assert (tmp_path / "e.h5").stat().st_size < features.nbytes + 256 * 64 * 4 + 2**16


def test_labels_are_those_that_enrolling_would_give(
    photos: Path, tiny_card: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    names = [unicodedata.normalize("NFD", "b\u00e9"), "b\u00e9", " z", "B"]
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "0.png").symlink_to(photos / "a" / "0.png")
    embed_folder(folder, tmp_path / "e.h5", backbone=tiny_card)
    _, labels, found = read(tmp_path / "e.h5")
    assert found == ["B", "b\u00e9", "z"]
    assert sorted(labels) == [0, 1, 1, 2]
    (folder / "tab\there").mkdir()
    (folder / "tab\there" / "0.png").symlink_to(photos / "a" / "0.png")
    with pytest.raises(LabelError, match="control character"):
        embed_folder(folder, tmp_path / "f.h5", backbone=tiny_card)


@pytest.mark.parametrize("layer", [None, "maps"])
def test_values_of_an_open_backbone(
    layer: str | None, photos: Path, tiny_card: Path, tmp_path: Path
) -> None:
    with Backbone.open(tiny_card, tensor=layer) as backbone:
        written = embed_folder(photos, tmp_path / "e.h5", backbone=backbone)
        expected = backbone.activations(photos / "b" / "2.png")
        with pytest.raises(InputError, match="open backbone"):
            embed_folder(photos, tmp_path / "f.h5", backbone=backbone, tensor="maps")
    assert written.shape == (9, *expected.shape)
    features, labels, names = read(tmp_path / "e.h5")
    assert (names, labels) == (["a", "b", "c"], [0] * 3 + [1] * 3 + [2] * 3)
    assert np.array_equal(features[5], expected)


def test_an_interrupted_run_leaves_no_file_and_the_old_one_as_it_was(
    many: Path, tiny_card: Path, tmp_path: Path
) -> None:
    target = tmp_path / "e.h5"
    target.write_bytes(b"what was here before")

    def interrupt(done: int, total: int) -> None:
        assert left(tmp_path) != ["e.h5"]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_folder(many, target, backbone=tiny_card, progress=interrupt)
    assert left(tmp_path) == ["e.h5"]
    assert target.read_bytes() == b"what was here before"


def test_two_runs_at_once_do_not_meet(photos: Path, tiny_card: Path, tmp_path: Path) -> None:
    target = tmp_path / "e.h5"

    def again(done: int, total: int) -> None:
        embed_folder(photos, target, backbone=tiny_card)

    embed_folder(photos, target, backbone=tiny_card, progress=again)
    assert read(target)[0].shape == (9, 64)
    assert left(tmp_path) == ["e.h5"]


def test_empty_paths(
    photos: Path, tiny_card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    with pytest.raises(InputError, match="is empty"):
        embed_folder("", tmp_path / "e.h5", backbone=tiny_card)
    with pytest.raises(InputError, match="is empty"):
        embed_folder(photos, "", backbone=tiny_card)
    with pytest.raises(TensorNotFoundError, match="no tensor named ''"):
        embed_folder(photos, tmp_path / "e.h5", backbone=tiny_card, tensor="")
    assert not (tmp_path / "e.h5").exists()


def test_nothing_readable_leaves_no_file(tiny_card: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "a").mkdir(parents=True)
    with pytest.raises(InputError, match="no picture"):
        embed_folder(folder, tmp_path / "e.h5", backbone=tiny_card)
    (folder / "a" / "0.png").touch()
    with pytest.raises(InputError, match="nothing was written"):
        embed_folder(folder, tmp_path / "e.h5", backbone=tiny_card)
    assert left(tmp_path) == ["photos"]


@pytest.mark.parametrize(
    ("name", "said"),
    [("no/e.h5", "its folder does not exist; make it"), ("", "a folder"), ("x" * 300, "too long")],
)
def test_places_that_cannot_be_written(
    name: str, said: str, photos: Path, tiny_card: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        embed_folder(photos, tmp_path / name, backbone=tiny_card)
    assert "\n" not in str(caught.value)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        embed_folder(photos, tmp_path / "file" / "e.h5", backbone=tiny_card)
    assert left(tmp_path) == ["file"]


# No bytecode, because what Python writes of it under the limit is cut short and stays so.
LIMITED = """
import resource, sys
sys.dont_write_bytecode = True
from edgeinc.cli import main
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
raise SystemExit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("limit", [100, 100_000, 1_000_000])
def test_a_disk_that_refuses(limit: int, photos: Path, tiny_card: Path, tmp_path: Path) -> None:
    """The same as a full one, but for the number of the error; HDF5 alone would crash."""
    words = ["--backbone", tiny_card, "embed", photos, "-o", tmp_path / "e.h5"]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *map(str, words)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "e.h5 cannot be written (File too large); it may take 1 MiB" in done.stderr
    assert done.stderr.count("\n") == 1
    assert left(tmp_path) == []


def test_without_h5py(photos: Path, tiny_card: Path, tmp_path: Path) -> None:
    script = "from edgeinc.cli import main; raise SystemExit(main(sys.argv[1:]))"
    words = ["--backbone", tiny_card, "--store", tmp_path / "s.db"]
    for command in (["embed", photos, "-o", tmp_path / "e.h5"], ["export", tmp_path / "x.h5"]):
        done = run_without(script, *words, *command, modules=("h5py",))
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            "edgeinc: HDF5 files need h5py; install it with: pip install 'edgeinc[hdf5]'\n"
        )
    assert left(tmp_path) in ([], ["s.db"])


def enrolled(store: Path, card: Path, given: dict[str, int]) -> Any:
    engine = Engine.open(store, backbone=card)
    for kind, (label, n) in enumerate(given.items()):
        engine.enroll(label, [photo(kind, i) for i in range(n)])
    return engine


def test_export_is_in_canonical_order(tiny_card: Path, tmp_path: Path) -> None:
    with enrolled(tmp_path / "s.db", tiny_card, {"b": 2, "a": 3, "\u00e9": 1}) as engine:
        assert export_hdf5(engine, tmp_path / "x.h5") == (6, 64)
        rows = engine.backbone.embed([photo(1, i) for i in range(3)])
        snapshot = engine.fitted().snapshot
    features, labels, names = read(tmp_path / "x.h5")
    assert (names, labels) == (["a", "b", "\u00e9"], [0, 0, 0, 1, 1, 2])
    assert np.array_equal(features, snapshot.rows.astype(np.float32) / 32767)
    # What the heads are fitted to: square roots, of length 1.
    expected = to_features(rows, nonnegative=True) / 32767
    assert {row.tobytes() for row in features[:3]} == {
        row.astype(np.float32).tobytes() for row in expected
    }
    assert np.linalg.norm(features, axis=1) == pytest.approx(1, abs=1e-3)


def test_negatives_stay_out(tiny_card: Path, tmp_path: Path) -> None:
    with enrolled(tmp_path / "s.db", tiny_card, {"b": 2, "a": 3}) as engine:
        export_hdf5(engine, tmp_path / "without.h5")
        engine.enroll(None, [photo(7, i) for i in range(4)])
        assert export_hdf5(engine, tmp_path / "x.h5") == (5, 64)
        found, wanted = read(tmp_path / "x.h5"), read(tmp_path / "without.h5")
        assert np.array_equal(found[0], wanted[0])
        assert found[1:] == wanted[1:]
        for label in ("a", "b"):
            engine.forget(label)
        assert export_hdf5(engine, tmp_path / "x.h5") == (0, 64)


def test_export_of_nothing(tiny_card: Path, tmp_path: Path) -> None:
    with enrolled(tmp_path / "s.db", tiny_card, {}) as engine:
        assert export_hdf5(engine, tmp_path / "x.h5") == (0, 64)
    features, labels, names = read(tmp_path / "x.h5")
    assert (features.shape, labels, names) == ((0, 64), [], [])


def test_export_replaces_an_old_file_or_leaves_it(tiny_card: Path, tmp_path: Path) -> None:
    with enrolled(tmp_path / "s.db", tiny_card, {"a": 1}) as engine:
        for n in (2, 3):
            engine.enroll("a", photo(7, n))
            assert export_hdf5(engine, tmp_path / "x.h5") == (n, 64)
        with pytest.raises(InputError, match="a folder"):
            export_hdf5(engine, tmp_path)
    assert read(tmp_path / "x.h5")[0].shape == (3, 64)


def test_a_store_is_never_written_over(photos: Path, tiny_card: Path, tmp_path: Path) -> None:
    path = tmp_path / "line3.h5"
    with Engine.open(path, backbone=tiny_card) as engine:
        engine.enroll("a", photo(0, 0))
        with pytest.raises(InputError, match="is a database"):
            export_hdf5(engine, path)
        with pytest.raises(InputError, match="is a database"):
            embed_folder(photos, path, backbone=tiny_card)
    with Engine.open(path, backbone=tiny_card) as engine:
        assert [c.label for c in engine.classes()] == ["a"]
    assert left(tmp_path) == ["line3.h5"]
