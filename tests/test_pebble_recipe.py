"""The recipe of the embedded backbone, as far as it needs no training package."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import MISSING, fields, replace
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from edgeinc.backbone import Backbone
from edgeinc.errors import ModelNotFoundError
from edgeinc.images import list_images
from tests.absent import before_others

pytest.importorskip("onnx", reason="the recipe needs the extra onnx")
pytest.importorskip("ai_edge_litert", reason="the recipe needs the extra litert")

RECIPE = Path(__file__).parent.parent / "models" / "pebble" / "recipe"
CONFIG = RECIPE.parent / "recipe.yaml"
SIZE = 32

if not RECIPE.is_dir():
    pytest.skip("the recipe is not part of an installed package", allow_module_level=True)


@pytest.fixture(scope="module")
def recipe() -> Iterator[dict[str, ModuleType]]:
    """The recipe's modules; they import each other by their short names, as the command does."""
    before = set(sys.modules)
    sys.path.insert(0, str(RECIPE))
    names = (
        "data",
        "files",
        "graph",
        "ideas",
        "judge",
        "lines",
        "maps",
        "onnx_file",
        "origin",
        "plan",
        "quantise",
        "ready",
        "sessions",
        "settings",
        "teachers",
    )
    try:
        yield {
            name: importlib.import_module(name)
            for name in (*names, "shots", "tflite_file", "workers")
        }
    finally:
        sys.path.remove(str(RECIPE))
        for name in set(sys.modules) - before:
            if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == RECIPE:
                del sys.modules[name]


def weights() -> dict[str, NDArray[np.float32]]:
    """The state of a small network of the recipe's kind, at random."""
    rng = np.random.default_rng(1)
    state: dict[str, NDArray[np.float32]] = {}

    def conv(at: str, wide: int, out: int, side: int) -> None:
        scale = np.sqrt(2 / (wide * side * side))
        state[f"{at}.0.weight"] = rng.normal(0, scale, (out, wide, side, side)).astype(np.float32)
        for key, low, high in (
            ("weight", 0.5, 1.5),
            ("bias", -0.2, 0.2),
            ("running_mean", -0.2, 0.2),
            ("running_var", 0.5, 1.5),
        ):
            state[f"{at}.1.{key}"] = rng.uniform(low, high, out).astype(np.float32)

    conv("pebble.body.0", 3, 8, 4)
    conv("pebble.body.1", 8, 16, 2)
    conv("pebble.body.2.first", 16, 16, 3)
    conv("pebble.body.2.second", 16, 16, 3)
    conv("pebble.body.3", 16, 24, 1)
    state["to_labels.weight"] = np.zeros((2, 24), np.float32)
    return state


def pictures(n: int, seed: int) -> NDArray[np.uint8]:
    """Blurred noise: smooth enough to look like something."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (n, 8, 8, 3), np.uint8)
    return np.stack([cv2.resize(c, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) for c in coarse])


def cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Mean cosine of rows."""
    length = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(1) / length).mean())


def test_both_files_carry_one_network(recipe: dict[str, ModuleType]) -> None:
    steps = recipe["graph"].build(weights())
    quantised = recipe["quantise"].quantise(steps, pictures(16, 1), SIZE)
    exact = recipe["onnx_file"].Float(steps, SIZE)
    onnx = recipe["sessions"].Onnx(recipe["onnx_file"].qdq_model(quantised))
    tflite = recipe["sessions"].TfLite(recipe["tflite_file"].tflite_model(quantised))
    shown = pictures(20, 2)
    rows = [np.concatenate([f(p) for p in shown]).astype(np.float64) for f in (onnx, tflite)]
    real = np.concatenate([exact.all(p)["embedding"] for p in shown]).astype(np.float64)
    assert rows[0].shape == (20, 24)
    assert rows[0].max() > 100
    assert np.abs(rows[0] - rows[1]).max() <= 1
    assert cosine(rows[0], rows[1]) > 0.9999
    assert cosine(rows[0], real) > 0.995
    scale = float(recipe["quantise"].pooled(quantised).scale)
    assert np.abs(rows[0] * scale - real).mean() < 0.02 * real.max()


def test_batch_norm_is_folded_and_work_is_counted(recipe: dict[str, ModuleType]) -> None:
    state = weights()
    steps = recipe["graph"].build(state)
    first = steps[0]
    gamma, var = state["pebble.body.0.1.weight"], state["pebble.body.0.1.running_var"]
    expected = state["pebble.body.0.0.weight"] * (gamma / np.sqrt(var + 1e-5))[:, None, None, None]
    np.testing.assert_allclose(first.weight, expected, rtol=1e-5)
    assert [step.name for step in steps][-1] == "embedding"
    by_hand = 8 * 3 * 16 * 16**2 + 16 * 8 * 4 * 8**2 + 2 * 16 * 16 * 9 * 8**2 + 24 * 16 * 8**2
    assert recipe["graph"].macs(steps, SIZE) == by_hand


def folder_of(root: Path, counts: dict[str, int]) -> Path:
    """A folder a label with so many pictures, and one broken file."""
    rng = np.random.default_rng(0)
    for label, count in counts.items():
        (root / label).mkdir(parents=True)
        for i in range(count):
            picture = rng.integers(0, 256, (20, 30, 3), np.uint8)
            cv2.imwrite(str(root / label / f"{i}.png"), picture)
    (root / "broken.jpg").write_bytes(b"no picture")
    return root


def test_data_survives_bad_pictures_and_lone_classes(
    recipe: dict[str, ModuleType], tmp_path: Path
) -> None:
    root = folder_of(tmp_path / "pictures", {"a": 4, "b": 3, "lone": 1})
    settings = replace(
        recipe["settings"].read_settings(CONFIG, pictures=root, work=tmp_path / "work"),
        least_pictures=8,
        stored_size=16,
    )
    found = recipe["data"].prepare(settings)
    assert found.pixels.shape == (8, 16, 16, 3)
    assert found.names == ("a", "b")
    assert sorted(found.labels.tolist()) == [-1, 0, 0, 0, 0, 1, 1, 1]
    again = recipe["data"].prepare(settings)
    np.testing.assert_array_equal(found.pixels, again.pixels)
    other = replace(settings, stored_size=32)
    with pytest.raises(recipe["settings"].RecipeError, match="was made from"):
        recipe["data"].prepare(other)


def test_too_few_pictures_and_missing_teachers_are_said(
    recipe: dict[str, ModuleType], tmp_path: Path
) -> None:
    error = recipe["settings"].RecipeError
    root = folder_of(tmp_path / "pictures", {"a": 2})
    settings = recipe["settings"].read_settings(CONFIG, pictures=root, work=tmp_path / "work")
    with pytest.raises(error, match="fewer than 2000"):
        recipe["data"].prepare(settings)
    with pytest.raises(error, match="no folder"):
        recipe["data"].prepare(replace(settings, pictures=tmp_path / "nowhere"))
    found = recipe["data"].prepare(replace(settings, least_pictures=2))
    with pytest.raises(ModelNotFoundError, match="nobody"):
        recipe["teachers"].embed_all(replace(settings, teachers=("nobody",)), found)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("sizes: 3\n", "unknown settings: sizes"), ("- 1\n", "no mapping"), (":\n:", "YAML")],
)
def test_bad_settings_are_said(
    recipe: dict[str, ModuleType], tmp_path: Path, text: str, sentence: str
) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(recipe["settings"].RecipeError, match=sentence):
        recipe["settings"].read_settings(tmp_path / "recipe.yaml")


def test_every_pass_shows_every_picture_once(recipe: dict[str, ModuleType]) -> None:
    plan, stage = recipe["plan"], recipe["settings"].Stage(32, 2, 7)
    rows = np.arange(100, 151)
    made = plan.Plan((rows,), (15,))
    seen = np.concatenate([plan.rows_at(made, stage, 0, step, 1) for step in range(15)])
    np.testing.assert_array_equal(np.sort(seen[:51]), rows)
    np.testing.assert_array_equal(np.sort(seen[51:102]), rows)
    assert seen[:51].tolist() != seen[51:102].tolist()


def test_a_stage_with_a_rate_begins_a_new_cycle(recipe: dict[str, ModuleType]) -> None:
    plan, stage = recipe["plan"], recipe["settings"].Stage
    settings = replace(
        recipe["settings"].read_settings(CONFIG),
        stages=(stage(32, 1, 10), stage(48, 1, 10), stage(64, 1, 10, rate=0.1)),
        rate=1.0,
    )
    made = plan.Plan((np.arange(1),) * 3, (50, 50, 100))
    first, second = (plan.cycle_at(settings, made, step) for step in (99, 100))
    assert (first.first, first.end, second.first, second.end) == (0, 100, 100, 200)
    rates = [plan.cycle_at(settings, made, step).rate(step) for step in range(200)]
    assert max(rates[:100]) == pytest.approx(1.0, rel=1e-3)
    assert rates[99] < 0.01
    assert max(rates[100:]) == pytest.approx(0.1, rel=1e-3)


def test_stages_leave_held_out_classes_out(recipe: dict[str, ModuleType]) -> None:
    data, stage = recipe["data"], recipe["settings"].Stage
    settings = replace(
        recipe["settings"].read_settings(CONFIG),
        stages=(stage(32, 1, 10, hold_out=True), stage(32, 1, 10)),
        held_out_classes=40,
    )
    names = tuple(f"n{i:02d}" for i in range(20))
    labels = np.repeat(np.arange(-1, 20, dtype=np.int16), 5)
    found = data.Pictures(np.zeros((105, 4, 4, 3), np.uint8), labels, names)
    out = data.held_out(settings, names)
    assert len(out) == 4  # a fifth of the classes, where 40 would be more
    made = recipe["plan"].make_plan(settings, found)
    assert set(labels[made.rows[0]].tolist()) == set(range(-1, 20)) - set(out.tolist())
    assert made.rows[1].tolist() == list(range(105))
    assert made.steps == (8, 10)


def test_held_out_classes_are_no_background(recipe: dict[str, ModuleType], tmp_path: Path) -> None:
    data, names = recipe["data"], [f"n{i:02d}" for i in range(20)]
    root = folder_of(tmp_path / "pictures", dict.fromkeys(names, 1))
    (root / "loose.png").write_bytes(next((root / "n00").iterdir()).read_bytes())
    settings = recipe["settings"].read_settings(CONFIG, pictures=root, work=tmp_path)
    (tmp_path / "links").mkdir()
    found = list_images(data.link_others(settings, tmp_path / "links")).pictures
    out = {names[i] for i in data.held_out(settings, tuple(names))}
    assert len(out) == 4
    assert {p.parent.name for p in found} == {"links", *names} - out


def test_ideas_change_the_recipe(recipe: dict[str, ModuleType], tmp_path: Path) -> None:
    settings = recipe["settings"].read_settings(CONFIG, work=tmp_path)
    ours = recipe["ideas"].read_ideas(settings, CONFIG.parent / "ideas.yaml")
    assert len({idea.folder for idea in ours}) == len(ours) > 5
    assert all(stage.hold_out for idea in ours for stage in idea.settings.stages)
    file = tmp_path / "ideas.yaml"
    file.write_text("base: {seed: 5}\nideas: {plain: , fast: {rate: 0.5}}\n")
    plain, fast = recipe["ideas"].read_ideas(settings, file)
    assert (plain.settings.seed, plain.settings.rate) == (5, settings.rate)
    assert (fast.settings.seed, fast.settings.rate) == (5, 0.5)
    fast.folder.mkdir(parents=True)
    found = {"averaged": "1 ± 2", "student": "3 ± 4", "distance": 0.5, "minutes": 6.2}
    (fast.folder / "found.json").write_text(json.dumps(found))
    assert "| fast | 1 ± 2 | 3 ± 4 | 0.500 | 6 |" in recipe["ideas"].table([plain, fast])
    assert "plain" not in recipe["ideas"].table([plain, fast])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[]", "no ideas"),
        ("base: {}", "no ideas"),
        ("ideas: {one: {speed: 3}}", "unknown settings: speed"),
        ("ideas: {one: {stages: [{sizes: 3}]}}", "compare its stages"),
    ],
)
def test_bad_ideas_are_said(
    recipe: dict[str, ModuleType], tmp_path: Path, text: str, sentence: str
) -> None:
    file = tmp_path / "ideas.yaml"
    file.write_text(text)
    settings = recipe["settings"].read_settings(CONFIG, work=tmp_path)
    with pytest.raises(recipe["settings"].RecipeError, match=sentence):
        recipe["ideas"].read_ideas(settings, file)


def test_a_teacher_is_read_at_its_last_map(
    recipe: dict[str, ModuleType], tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EDGEINC_MODELS", str(shared / "models"))
    name = "mobilenet_v1_0.25_128_quant"
    root = folder_of(tmp_path / "pictures", {"a": 4, "b": 3})
    settings = replace(
        recipe["settings"].read_settings(CONFIG, pictures=root, work=tmp_path / "work"),
        least_pictures=7,
        teachers=(name,),
    )
    found = recipe["data"].prepare(settings)
    (maps,) = recipe["teachers"].embed_all(settings, found)
    assert maps.shape == (7, 4, 4, 256)
    size = (128, 128)
    enlarged = cv2.resize(found.pixels[0][:, :, ::-1], size, interpolation=cv2.INTER_CUBIC)
    with Backbone.open(name) as backbone:
        embedding = backbone.embed([enlarged]).astype(np.float64)
    pooled = ((maps[0] / 255.0) ** 2).mean((0, 1))[None]
    assert cosine(pooled, embedding) > 0.99


def test_cells_average_by_overlap(recipe: dict[str, ModuleType]) -> None:
    means = recipe["teachers"].cell_means(7, 4)
    np.testing.assert_allclose(means.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(means.sum(0), 4 / 7, rtol=1e-6)
    assert means[0, 2] == 0


def test_episodes_tell_signal_from_noise(recipe: dict[str, ModuleType]) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 20)
    noise = rng.random((120, 16))
    signal = noise + 3 * np.eye(16)[labels]
    keys = {"ways": 4, "shots": 3, "queries": 10, "draws": 30}
    blind, _ = recipe["shots"].episodes(recipe["shots"].feature(noise), labels, **keys)
    clear, _ = recipe["shots"].episodes(recipe["shots"].feature(signal), labels, **keys)
    assert blind < 0.4
    assert clear > 0.95


def test_a_run_goes_on_only_where_its_finished_stages_stay(recipe: dict[str, ModuleType]) -> None:
    goes_on = recipe["plan"].same_so_far
    assert goes_on((10, 20), (10, 20, 5), 30)
    assert goes_on((10, 20), (10, 40), 15)
    assert not goes_on((10, 20), (10, 40), 30)
    assert not goes_on((10, 20), (5, 25), 12)
    assert not goes_on((10, 20), (10,), 15)


BAD = [
    ("teachers: one", "teachers is 'one'; it must be a list"),
    ("teachers: [1]", "teachers is"),
    ("teachers: []", "it must be one or more"),
    ("stages: 3", "compare its stages"),
    ("stages: [{size: 40, passes: 1, batch: 8}]", "stage 1: size is 40; it must be a multiple"),
    ("stages: [{size: 32, passes: 0, batch: 8}]", "passes is 0; it must be more than 0"),
    ("stages: [{size: 32, passes: .inf, batch: 8}]", "passes is inf"),
    ("stages: [{size: 32, passes: 1, batch: 1}]", "batch is less than workers"),
    ("stages: [{size: 32, passes: 1, batch: 8, crop: [0.4]}]", "a list of 2"),
    ("stages: [{size: 32, passes: 1, batch: 8, crop: [0.9, 0.4]}]", "0 < low <= high"),
    ("stages: [{size: 32, passes: 1, batch: 8, rate: 1e-3}]", "'1e-3'; it must be a number"),
    ("workers: 0", "workers is 0; it must be 1 or more"),
    ("threads: true", "threads is True; it must be a whole number"),
    ("input_size: 100", "input_size is 100"),
    ("widths: [64, 128]", "different lengths"),
    ("name: a/b", "name is 'a/b'; it must be of letters"),
    ("compile: 1", "true or false"),
    ("pictures: 3", "pictures is 3; it must be a path"),
    ("work: ", "work is None; it must be a path"),
    ("rate: -1", "more than 0"),
]


@pytest.mark.parametrize(("line", "sentence"), BAD)
def test_values_of_the_wrong_kind_are_said(
    recipe: dict[str, ModuleType], tmp_path: Path, line: str, sentence: str
) -> None:
    raw = yaml.safe_load(CONFIG.read_text("utf-8"))
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump({**raw, **yaml.safe_load(line)}))
    with pytest.raises(recipe["settings"].RecipeError, match=re.escape(sentence)):
        recipe["settings"].read_settings(file)


def test_what_a_recipe_leaves_out_is_as_in_ours(recipe: dict[str, ModuleType]) -> None:
    settings = recipe["settings"]
    ours = settings.read_settings(CONFIG)
    own = {"judge", "name", "licence", "about"}
    defaults = {f.name: f.default for f in fields(settings.Settings) if f.default is not MISSING}
    assert {k: v for k, v in defaults.items() if k not in own} == {
        k: getattr(ours, k) for k in defaults if k not in own
    }


def test_half_a_picture_is_left_out(recipe: dict[str, ModuleType], tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    whole, half = tmp_path / "whole.jpg", tmp_path / "half.jpg"
    cv2.imwrite(str(whole), picture)
    half.write_bytes(whole.read_bytes()[:-400])
    read = recipe["data"].read_rgb(whole)
    np.testing.assert_array_equal(read, cv2.imread(str(whole))[:, :, ::-1])
    assert recipe["data"].read_rgb(half) is None


def test_half_a_log_line_is_survived(recipe: dict[str, ModuleType], tmp_path: Path) -> None:
    log, lines = tmp_path / "log.jsonl", recipe["lines"]
    for step in (50, 100, 150):
        lines.append_line(log, {"step": step, "whole": 0.5})
    log.write_bytes(log.read_bytes()[:-9])
    lines.append_line(log, {"step": 100, "whole": 0.25})
    assert lines.read_lines(log) == [{"step": 50, "whole": 0.5}, {"step": 100, "whole": 0.25}]


def small_world(
    recipe: dict[str, ModuleType], tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """Settings of a folder of 7 pictures and one small teacher."""
    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EDGEINC_MODELS", str(shared / "models"))
    root = folder_of(tmp_path / "pictures", {"a": 4, "b": 3})
    return replace(
        recipe["settings"].read_settings(CONFIG, pictures=root, work=tmp_path / "work"),
        least_pictures=7,
        stored_size=16,
        teachers=("mobilenet_v1_0.25_128_quant",),
    )


def test_maps_are_gone_on_with_only_where_they_belong(
    recipe: dict[str, ModuleType], tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = small_world(recipe, tmp_path, shared, monkeypatch)
    maps, (teacher,) = recipe["maps"], settings.teachers
    monkeypatch.setattr(maps, "CHUNK", 2)
    found = recipe["data"].prepare(settings)
    path = maps.maps_of(settings, teacher)
    with pytest.raises(recipe["settings"].RecipeError, match="run the step `teach` first"):
        maps.open_maps(settings, found)
    written = maps.begin(settings, found, teacher, 5)
    written[:] = 7
    for chunk in (0, 1, 3):
        maps.mark(path, chunk)
    # An interruption here leaves the third chunk to do, and nothing else.
    maps.begin(settings, found, teacher, 5)
    assert maps.unfinished(settings, found, teacher) == [2]
    with pytest.raises(recipe["settings"].RecipeError, match="chunks to do: 1"):
        maps.open_maps(settings, found)
    maps.mark(path, 2)
    (opened,) = maps.open_maps(settings, found)
    assert opened.shape == (7, 4, 4, 5)
    assert opened.min() == 7

    # Other pictures of the same number, another grid, another depth: all is to do again.
    other = replace(found, digest="another")
    with pytest.raises(recipe["settings"].RecipeError, match="chunks to do: 4"):
        maps.open_maps(settings, other)
    for again, pictures_, depth in (
        (settings, other, 5),
        (replace(settings, grid=2), other, 5),
        (replace(settings, grid=2), other, 6),
    ):
        maps.begin(again, pictures_, teacher, depth)
        assert maps.unfinished(again, pictures_, teacher) == [0, 1, 2, 3]
        for chunk in range(4):
            maps.mark(path, chunk)
        assert maps.unfinished(again, pictures_, teacher) == []
    path.unlink()
    maps.begin(replace(settings, grid=2), other, teacher, 6)
    assert maps.unfinished(replace(settings, grid=2), other, teacher) == [0, 1, 2, 3]


def test_teaching_goes_on_after_an_interruption(
    recipe: dict[str, ModuleType], tmp_path: Path, shared: Path
) -> None:
    rng = np.random.default_rng(0)
    root = tmp_path / "pictures"
    root.mkdir()
    for i in range(2100):
        cv2.imwrite(str(root / f"{i}.bmp"), rng.integers(0, 256, (8, 8, 3), np.uint8))
    raw = yaml.safe_load(CONFIG.read_text("utf-8"))
    raw.update(least_pictures=2, stored_size=8, teachers=["mobilenet_v1_0.25_128_quant"])
    config = tmp_path / "recipe.yaml"
    config.write_text(yaml.safe_dump(raw))
    command = [sys.executable, str(RECIPE), "teach", "--config", str(config)]
    command += ["--pictures", str(root)]
    paths = {"EDGEINC_CACHE": str(tmp_path / "cache"), "EDGEINC_MODELS": str(shared / "models")}
    keys: dict[str, Any] = {
        "env": {**os.environ, **paths, "PYTHONPATH": before_others(CONFIG.parents[2])},
        "stderr": subprocess.PIPE,
        "text": True,
        "start_new_session": True,  # as from a shell: the interruption is for all its processes
    }
    # On a busy machine all may be done before the interruption comes: then once more.
    for attempt in range(5):
        whole = [*command, "--work", str(tmp_path / f"work{attempt}")]
        marks = tmp_path / f"work{attempt}" / "teachers" / "mobilenet_v1_0.25_128_quant.chunks"
        with subprocess.Popen(whole, **keys) as process:
            while process.poll() is None and not (marks.is_dir() and any(marks.iterdir())):
                time.sleep(0.02)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            _, said = process.communicate()
        if process.returncode and len(list(marks.glob("*"))) < 5:
            break
    assert process.returncode == 130
    assert said.splitlines()[-1] == "recipe: interrupted; run the same command to go on."
    assert "Traceback" not in said
    kept = {mark.name: mark.stat().st_mtime_ns for mark in marks.iterdir()}
    assert 1 <= len(kept) < 5
    subprocess.run(whole, check=True, **keys)
    now = {mark.name: mark.stat().st_mtime_ns for mark in marks.iterdir()}
    assert sorted(now) == [f"{chunk:05d}" for chunk in range(5)]
    assert {name: now[name] for name in kept} == kept
    cells = np.load(marks.with_suffix(".npy"))
    assert cells.shape[0] == 2100
    assert cells.any((1, 2, 3)).all()


@pytest.mark.parametrize("fresh", [False, True])
def test_workers_do_every_task_and_end(recipe: dict[str, ModuleType], fresh: bool) -> None:
    each = recipe["workers"].each
    assert sorted(each(abs, range(-5, 0), 2, fresh=fresh)) == [1, 2, 3, 4, 5]
    with pytest.raises(ZeroDivisionError):
        list(each(reciprocal := Fraction(1).__truediv__, [1, 0, 2], 1, fresh=fresh))
    assert list(each(reciprocal, [], 2)) == []
    assert not multiprocessing.active_children()


def test_a_killed_worker_ends_the_step_with_a_sentence(recipe: dict[str, ModuleType]) -> None:
    error = recipe["settings"].RecipeError
    with pytest.raises(error, match=r"A worker was killed, .* choose fewer `workers`"):
        list(recipe["workers"].each(signal.raise_signal, [signal.SIGKILL, signal.SIGKILL], 2))
    # The other one, which would go on for long, is ended.
    sleeping = recipe["workers"].each(time.sleep, [0, 600], 2)
    next(sleeping)
    assert multiprocessing.active_children()
    sleeping.close()
    assert not multiprocessing.active_children()


def test_workers_end_when_their_main_process_is_killed() -> None:
    work = "import time; print('begun', flush=True); time.sleep(600)"
    script = f"from workers import each; list(each(exec, [{work!r}], 1))"
    paths = os.pathsep.join([str(RECIPE), before_others(CONFIG.parents[2])])
    with subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.kill()
        # Until the worker, which has the other end of the pipe too, has ended.
        assert process.communicate(timeout=60)[0] == b""


def test_maps_of_an_older_recipe_are_taken_as_they_are(
    recipe: dict[str, ModuleType], tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = small_world(recipe, tmp_path, shared, monkeypatch)
    maps, (teacher,) = recipe["maps"], settings.teachers
    found = recipe["data"].prepare(settings)
    assert len(found.digest) == 64
    path = maps.maps_of(settings, teacher)
    maps.begin(settings, found, teacher, 5)
    maps.mark(path, 0)
    path.with_suffix(".json").unlink()
    assert maps.unfinished(settings, found, teacher) == [0]
    done = settings.work / "data" / "done.json"
    kept = json.loads(done.read_text("utf-8"))
    del kept["digest"]
    done.write_text(json.dumps(kept))
    older = recipe["data"].prepare(settings)
    assert older.digest == ""
    assert len(maps.open_maps(settings, older)) == 1


def test_a_run_goes_on_with_nothing_else(
    recipe: dict[str, ModuleType], tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = small_world(recipe, tmp_path, shared, monkeypatch)
    origin, stage = recipe["origin"], recipe["settings"].Stage
    settings = replace(settings, stages=(stage(32, 1, 8), stage(48, 1, 8)))
    found = recipe["data"].prepare(settings)
    first = origin.origin_of(settings, found)

    def other(finished: int, **change: Any) -> list[str]:
        now = origin.origin_of(replace(settings, **change), found)
        return list(origin.differences(first, now, finished))

    assert other(2) == []
    assert other(0, whiten=0.7, rate=1.0, jitter=0.0) == ["whiten"]
    assert other(1, teachers=(*settings.teachers, "mobilenet_v2_1.0_224_quant")) == ["teachers"]
    changed = (settings.stages[0], stage(64, 2, 8), stage(96, 1, 8))
    assert other(1, stages=changed) == []
    assert other(2, stages=changed) == ["stage 2"]
    assert origin.differences({}, first, 1) == []


def test_a_full_disk_is_said_and_leaves_no_parts(
    recipe: dict[str, ModuleType], tmp_path: Path
) -> None:
    resource = pytest.importorskip("resource", reason="limits of a process are of POSIX")
    files, error = recipe["files"], recipe["settings"].RecipeError
    files.write_bytes(tmp_path / "small", b"before")
    files.reserve(tmp_path / "array.npy", (10, 10))[:] = 3
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(error, match="disk is full"):
            files.write_bytes(tmp_path / "small", bytes(200_000))
        with pytest.raises(error, match="disk is full"):
            files.reserve(tmp_path / "array.npy", (1000, 1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["array.npy", "small"]
    assert (tmp_path / "small").read_bytes() == b"before"
    assert files.reserve(tmp_path / "array.npy", (10, 10)).min() == 3
    assert files.reserve(tmp_path / "array.npy", (1000, 1000)).max() == 0


def test_all_looks_first_at_what_its_last_steps_need(
    recipe: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready, error = recipe["ready"], recipe["settings"].RecipeError
    settings = recipe["settings"].read_settings(CONFIG, work=tmp_path, judge=tmp_path / "none")
    with pytest.raises(ModelNotFoundError, match="nobody"):
        ready.ready(("data",), replace(settings, teachers=("nobody",)), tmp_path)
    monkeypatch.setattr(ready, "PACKAGES", {"judge": ("onnx", "no_such_package")})
    with pytest.raises(error, match="Not installed: no_such_package"):
        ready.ready(("data", "judge"), settings, tmp_path)
    monkeypatch.setattr(ready, "PACKAGES", {})
    with pytest.raises(error, match="fewer than two classes"):
        ready.ready(("data", "judge"), settings, tmp_path)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(error, match="cannot be written"):
        ready.ready(("card",), settings, tmp_path / "file")
    ready.ready(("data", "card"), settings, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_pictures_of_classes_are_read_in_order(
    recipe: dict[str, ModuleType], tmp_path: Path
) -> None:
    root = folder_of(tmp_path / "pictures", {"a": 10, "b": 12, "few": 3})
    judge = recipe["judge"]
    assert judge.judged(root) == ["a", "b"]
    squares = judge.read_squares(root, ["b", "a"], 16)
    assert squares.pixels.shape == (22, 16, 16, 3)
    assert squares.labels.tolist() == [1] * 10 + [0] * 12
    with pytest.raises(recipe["settings"].RecipeError, match="no readable picture"):
        judge.read_squares(root, ["none"], 16)


def test_strangers_of_the_benchmarks_are_the_classes_held_out(
    recipe: dict[str, ModuleType], tmp_path: Path
) -> None:
    tiny = pytest.importorskip("benchmarks.tiny", reason="benchmarks are not part of a package")
    names = tuple(f"n{i:08d}" for i in range(200))
    settings = recipe["settings"].read_settings(CONFIG, pictures=tmp_path, work=tmp_path)
    chosen = recipe["data"].held_out(settings, names)
    assert tiny.drawn(names) == tuple(names[i] for i in chosen)
