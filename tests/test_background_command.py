"""Background statistics of any card from any folder: exact, whole or not there, said in words."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinc.backbone import Backbone
from edgeinc.cache import user_models_dir
from edgeinc.cards import parse_card, parse_yaml, read_card
from edgeinc.catalogue import add_background, measure_background, verify
from edgeinc.catalogue.background import (
    BATCH,
    LEAST_PICTURES,
    WIDEST,
    Sums,
    largest_background,
)
from edgeinc.cli import main
from edgeinc.cli.common import SHOWN
from edgeinc.engine import Engine
from edgeinc.errors import CardError, ImageError, InputError, ModelNotFoundError
from edgeinc.features import UNIT, Background, to_features
from edgeinc.parts import KINDS, draw_part
from edgeinc.weights import find_card, load_background
from tests.absent import ROOT
from tests.conftest import photo

KINDS_OF_PHOTOS = 20
SEEDS = 7


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """140 pictures in folders, one that is none, and a file of another kind."""
    folder = tmp_path_factory.mktemp("photos")
    for kind in range(KINDS_OF_PHOTOS):
        (folder / f"{kind:02}").mkdir()
        for i in range(SEEDS):
            cv2.imwrite(str(folder / f"{kind:02}" / f"{i}.png"), photo(kind, i))
    (folder / "03" / "broken.jpg").write_bytes(b"no picture")
    (folder / "03" / "notes.txt").touch()
    return folder


@pytest.fixture
def card(tiny_card: Path, tmp_path: Path) -> Path:
    """A card of one's own, written by hand, with its weights beside it."""
    folder = tmp_path / "mine"
    folder.mkdir()
    shutil.copy(tiny_card.with_name("tiny.onnx"), folder)
    words = tiny_card.read_text("utf-8").replace("title:", "# by hand\ntitle:")
    (folder / "tiny.yaml").write_text(words.rstrip("\n"), encoding="utf-8")
    return folder / "tiny.yaml"


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def arrays(content: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(content)) as archive:
        return dict(archive)


# -- what is measured ----------------------------------------------------------------


def test_statistics_are_those_of_the_features(tiny_card: Path, photos: Path) -> None:
    steps: list[tuple[int, int]] = []
    measured = measure_background(tiny_card, photos, progress=lambda *step: steps.append(step))
    count = KINDS_OF_PHOTOS * SEEDS
    assert measured.count == count
    assert steps[-1] == (count + 1, count + 1)
    assert [sentence.split()[0].rpartition("/")[2] for sentence in measured.skipped] == [
        "broken.jpg",
        "notes.txt",
    ]
    with Backbone.open(tiny_card) as backbone:
        files = sorted(photos.rglob("*.png"))
        features = to_features(backbone.embed(files), nonnegative=True)
    expected = Background.of(features)
    found = Background.from_bytes(measured.content)
    assert found.count == expected.count
    # Batches of another size are a rounding off on some processors: a step in some pictures.
    assert np.abs(found.mean - expected.mean).max() < 0.1 / UNIT
    whole = arrays(measured.content)
    covariance = np.cov(features.T / UNIT, bias=True)
    values = np.linalg.eigvalsh(covariance)[::-1]
    assert np.allclose(whole["values"], values[: len(whole["values"])], rtol=1e-5, atol=1e-6)
    again = whole["vectors"].T.astype(float) * whole["values"] @ whole["vectors"]
    assert np.abs(again - covariance).max() < 1e-3 * covariance.max()


def test_neither_order_nor_names_nor_threads_matter(
    tiny_card: Path, photos: Path, tmp_path: Path
) -> None:
    files = sorted(photos.rglob("*.png"))
    # More than a batch, so that the batches are others too.
    files = files + files[: BATCH + 20 - len(files)]
    for order, folder in ((1, tmp_path / "one"), (-1, tmp_path / "two")):
        folder.mkdir()
        for i, file in enumerate(files[::order]):
            (folder / f"{order}_{i:03}.png").symlink_to(file)
    found = {
        measure_background(tiny_card, tmp_path / name, threads=threads).content
        for name, threads in (("one", None), ("two", None), ("one", 1), ("two", 2))
    }
    assert len(found) == 1


def test_so_many_are_drawn_always_the_same(tiny_card: Path, photos: Path) -> None:
    some = [measure_background(tiny_card, photos, most=120) for _ in range(2)]
    assert some[0] == some[1]
    assert some[0].count in (119, 120)
    assert some[0].content != measure_background(tiny_card, photos).content


@pytest.mark.parametrize(("dim", "directions"), [(3, 3), (64, 4), (WIDEST + 1, 0)])
def test_a_file_holds_no_more_directions_than_were_seen(dim: int, directions: int) -> None:
    rng = np.random.default_rng(0)
    sums = Sums(dim)
    sums.add(to_features(rng.integers(0, 255, (5, dim), np.uint8), nonnegative=True))
    content = sums.to_bytes()
    assert len(content) <= largest_background(dim)
    whole = arrays(content)
    assert (whole["mean"].shape, whole["vectors"].shape) == ((dim,), (directions, dim))
    vectors = whole["vectors"].astype(float)
    assert (np.abs(vectors).max(axis=1) == vectors.max(axis=1)).all()
    assert (np.diff(whole["values"]) < 0).all()


def test_features_that_are_all_alike_have_no_directions() -> None:
    sums = Sums(4)
    sums.add(np.full((9, 4), 100, np.int16))
    assert arrays(sums.to_bytes())["values"].shape == (0,)


def test_every_file_is_below_a_megabyte() -> None:
    assert max(map(largest_background, (1, 3125, WIDEST, WIDEST + 1, 1 << 16))) < 1_000_000


# -- what it says no to --------------------------------------------------------------


def test_too_few_pictures(tiny_card: Path, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has 8 pictures .* needs 100 at least"):
        measure_background(tiny_card, photos / "03")
    with pytest.raises(InputError, match="99 pictures are too few"):
        measure_background(tiny_card, photos, most=LEAST_PICTURES - 1)
    for i in range(LEAST_PICTURES):
        (tmp_path / f"{i}.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match="has 0 pictures that can be read"):
        measure_background(tiny_card, tmp_path)
    (tmp_path / "empty").mkdir()
    for folder, said in (("empty", "holds no picture"), ("none", "does not exist")):
        with pytest.raises(ImageError, match=said):
            measure_background(tiny_card, tmp_path / folder)
    with pytest.raises(ModelNotFoundError, match="no model"):
        add_background("nothing", photos)


def test_a_card_that_takes_no_lines_is_refused_before_the_work(card: Path, photos: Path) -> None:
    plain = parse_yaml(card.read_text("utf-8"), "the card")
    card.write_text(json.dumps(plain), encoding="utf-8")
    before = tree(card.parent)

    def never(done: int, total: int) -> None:
        raise AssertionError("pictures were embedded")

    with pytest.raises(CardError, match="with -o"):
        add_background(card, photos, progress=never)
    assert tree(card.parent) == before


# -- where it goes -------------------------------------------------------------------


def test_a_card_of_ones_own_gets_it(card: Path, photos: Path, tmp_path: Path) -> None:
    before = card.read_text("utf-8")
    old = read_card(card)
    done = add_background(card, photos)
    assert card.read_text("utf-8") == f"{before}\n{done.lines}"
    assert (done.card, done.path.parent) == (read_card(card), card.parent)
    assert done.card.fingerprint == old.fingerprint
    background = load_background(find_card(card))
    assert background is not None
    assert (background.count, done.count, len(done.skipped)) == (140, 140, 2)
    assert verify(card).ok

    after = tree(card.parent)
    assert set(after) == {"tiny.onnx", "tiny.yaml", done.path.name}
    add_background(card, photos)
    assert tree(card.parent) == after

    # Lines that follow stay, and so does a file that somebody else gave its name.
    card.write_text(f"{card.read_text('utf-8')}# the end\nnotes: mine\n", encoding="utf-8")
    again = add_background(card, photos, most=110)
    assert again.path != done.path
    assert set(tree(card.parent)) == {"tiny.onnx", "tiny.yaml", again.path.name}
    assert card.read_text("utf-8") == f"{before}\n# the end\nnotes: mine\n{again.lines}"
    again.path.rename(card.with_name("own.npz"))
    named = card.read_text("utf-8").replace(again.path.name, "own.npz")
    card.write_text(named, encoding="utf-8")
    add_background(card, photos)
    assert set(tree(card.parent)) == {"tiny.onnx", "tiny.yaml", "own.npz", done.path.name}


def test_a_shipped_card_is_copied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    parts = [draw_part(KINDS[i % len(KINDS)], rng) for i in range(len(KINDS))]
    (tmp_path / "parts").mkdir()
    for i in range(LEAST_PICTURES):
        part = parts[i % len(parts)]
        shown = np.clip(part.astype(int) + 3 * (i // len(parts)) - 20, 0, 255)
        cv2.imwrite(str(tmp_path / "parts" / f"{i}.png"), shown)
    shipped = find_card("pebble")
    assert shipped.folder is not None
    before = tree(shipped.folder)
    status = main(["--json", "models", "background", "pebble", str(tmp_path / "parts")])
    out, err = capsys.readouterr()
    assert status == 0, err
    said = json.loads(out)
    card = find_card("pebble")
    assert card.folder == user_models_dir() / "pebble"
    assert f"delete {card.folder}" in err
    assert said["file"] == str(card.folder / Path(said["file"]).name)
    assert (said["name"], said["count"], said["skipped"]) == ("pebble", LEAST_PICTURES, 0)
    assert (card.fingerprint, card.files) == (shipped.fingerprint, shipped.files)
    with Backbone.open("pebble") as ours, Backbone.open(shipped) as theirs:
        assert np.array_equal(ours.embed(parts), theirs.embed(parts))
    background = load_background(card)
    assert background is not None
    assert background.count == LEAST_PICTURES
    assert tree(shipped.folder) == before
    # The shipped one is there by its path, and would be copied over the copy.
    with pytest.raises(CardError, match="a card of your own"):
        add_background(shipped.folder / "pebble.yaml", tmp_path / "parts")
    shutil.rmtree(card.folder)
    assert find_card("pebble") == shipped
    assert not list(user_models_dir().iterdir())


def test_output_writes_a_file_and_says_the_lines(
    card: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = card.read_text("utf-8")
    out = card.with_name("tiny.background.npz")
    assert main(["models", "background", str(card), str(photos), "-o", str(out)]) == 0
    lines, err = capsys.readouterr()
    assert card.read_text("utf-8") == before
    assert "background of 140 pictures" in err
    assert "warning: " in err
    card.write_text(f"{before}\n{lines}", encoding="utf-8")
    background = load_background(read_card(card))
    assert background is not None
    assert background.count == 140
    assert parse_card(card.read_text("utf-8")).background is not None
    assert set(tree(card.parent)) == {"tiny.onnx", "tiny.yaml", out.name}


def test_many_that_are_passed_over_take_few_lines(
    card: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(photos, tmp_path / "many")
    for i in range(30):
        (tmp_path / "many" / f"{i}.jpg").write_bytes(b"no picture")
    assert main(["models", "background", str(card), str(tmp_path / "many")]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("tiny: background of 140 pictures, in ")
    assert len(err.splitlines()) == SHOWN + 1
    assert f"and {32 - SHOWN} more" in err


# -- whole or not there --------------------------------------------------------------


@pytest.mark.parametrize("where", ["card", "copy", "file"])
def test_an_interruption_leaves_everything_as_it_was(
    where: str, card: Path, photos: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out" / "b.npz"
    output.parent.mkdir()
    output.write_bytes(b"what was here before")
    before = tree(tmp_path / "mine"), tree(output.parent)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        add_background(
            "pebble" if where == "copy" else card,
            photos,
            output=output if where == "file" else None,
            progress=interrupt,
        )
    assert (tree(tmp_path / "mine"), tree(output.parent)) == before
    assert not user_models_dir().exists() or not list(user_models_dir().iterdir())


def test_control_c(card: Path, photos: Path, tmp_path: Path) -> None:
    files = sorted(photos.rglob("*.png"))
    (tmp_path / "many").mkdir()
    for i in range(20_000):
        os.link(files[i % len(files)], tmp_path / "many" / f"{i}.png")
    before = tree(card.parent)
    process = subprocess.Popen(
        [sys.executable, "-m", "edgeinc", "models", "background", str(card), tmp_path / "many"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and len(list(card.parent.iterdir())) < 4:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out, err) == (130, "", "\nedgeinc: interrupted\n")
    assert tree(card.parent) == before


# No bytecode, because what Python writes of it under the limit is cut short and stays so.
LIMITED = """
import resource, sys
sys.dont_write_bytecode = True
from edgeinc.cli import main
from edgeinc.cli.common import SHOWN
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
raise SystemExit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("where", ["card", "copy", "file"])
def test_a_disk_that_refuses(where: str, card: Path, photos: Path, tmp_path: Path) -> None:
    """The same as a full one, but for the number of the error."""
    before = tree(card.parent)
    words = ["models", "background", "pebble" if where == "copy" else str(card), str(photos)]
    words += ["-o", str(card.with_name("b.npz"))] if where == "file" else []
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *words], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot be written to" in done.stderr
    assert "(File too large); make room" in done.stderr
    assert done.stderr.count("\n") == 1
    assert tree(card.parent) == before
    assert not user_models_dir().exists() or not list(user_models_dir().iterdir())


def test_a_card_that_cannot_be_replaced_keeps_no_new_file(card: Path, photos: Path) -> None:
    """Something takes the card's place while pictures are embedded: nothing is left behind."""

    def take_away(done: int, total: int) -> None:
        card.unlink(missing_ok=True)
        (card / "below").mkdir(parents=True, exist_ok=True)

    with pytest.raises(InputError, match="cannot be written"):
        add_background(card, photos, progress=take_away)
    assert sorted(path.name for path in card.parent.iterdir()) == ["tiny.onnx", "tiny.yaml"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "is a folder"),
        ("no/b.npz", "its folder does not exist; make it"),
        ("x" * 300, "name another file"),
    ],
)
def test_places_that_cannot_be_written(name: str, said: str, card: Path, photos: Path) -> None:
    before = tree(card.parent)
    with pytest.raises(InputError, match=said) as caught:
        add_background(card, photos, output=card.parent / name)
    assert "\n" not in str(caught.value)
    assert tree(card.parent) == before


def test_a_store_is_not_written_over(card: Path, photos: Path, tmp_path: Path) -> None:
    """Refused before the pictures are read, and the store is as it was."""
    path = tmp_path / "mine.db"
    with Engine.open(path) as engine:
        engine.enroll("nut", [photo(1, 0)])
    before = path.read_bytes()
    looked: list[int] = []
    with pytest.raises(InputError, match="maybe a store") as caught:
        add_background(card, photos, output=path, progress=lambda done, total: looked.append(done))
    assert "\n" not in str(caught.value)
    assert (looked, path.read_bytes()) == ([], before)
