"""What the documentation says, held to what is there."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import click
import cv2
import pytest

from edgeinc.cards import Classifier, ModelCard, dump_card, parse_card, parse_yaml, read_card
from edgeinc.cli import COMMANDS, cli, main
from tests.conftest import photo
from tests.test_structure import LEVELS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
CARD_KEYS = {field.name for field in fields(ModelCard)} - {"folder"}

Json = Callable[..., list[Any]]


def text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def rows(name: str, heading: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    part = text(name).split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def keys(cell: str) -> tuple[set[str], dict[str, set[str]]]:
    """Top-level keys, and those of each entry of a list."""
    lists = dict(re.findall(r"`(\w+)` \[([^\]]+)\]", cell))
    inner = {name: set(re.findall(r"`(\w+)`", words)) for name, words in lists.items()}
    top = set(re.findall(r"`(\w+)`", re.sub(r"\[[^\]]+\]", "", cell)))
    return (top | CARD_KEYS if "and the card's" in cell else top), inner


def test_every_room_is_in_the_table_of_rooms() -> None:
    table = [(int(level), room.strip("`")) for level, room, _ in rows("architecture.md", "Rooms")]
    assert sorted(table) == sorted((level, room) for level in LEVELS for room in LEVELS[level])
    assert [level for level, _ in table] == sorted(level for level, _ in table)


def test_every_document_is_short_and_linked() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in sorted(DOCS.glob("*.md")):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 120
        assert f"docs/{path.name}" in readme
    for path in [ROOT / "README.md", *DOCS.glob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / link).exists() or link.startswith("benchmarks/results"), link


def test_the_example_of_a_card_is_one_and_has_every_key() -> None:
    example = re.search(r"```yaml\n(.*?)```", text("cards.md"), re.DOTALL)
    assert example is not None
    card = parse_card(example[1])
    assert parse_card(dump_card(card)) == card
    node = parse_yaml(example[1], "the example")
    assert isinstance(node, dict)
    assert set(node) == CARD_KEYS | {"schema"}
    given = {"name", "bytes", "sha256", "source", "runtime", "input", "embedding"}
    assert isinstance(node["files"], list)
    assert set(node["files"][0]) == given
    assert {key for file in node["files"] for key in file} == given | {"device"}


def test_the_fingerprint_is_over_what_is_said(tiny_card: Path) -> None:
    said = re.search(r"the sha256 over ([^.]+)\.", text("cards.md"))
    assert said is not None
    card = read_card(tiny_card)
    others = {
        "name": "other",
        "title": "other",
        "licence": "other",
        "homepage": None,
        "network": "other",
        "input": replace(card.input, crop="squash"),
        "layer": "other",
        "dim": 65,
        "nonnegative": False,
        "files": (),
        "labels": card.files[0],
        "classifier": Classifier(2, "0" * 64),
        "background": card.files[0],
        "notes": "other",
    }
    assert set(others) == CARD_KEYS
    changed = {
        key for key in others if replace(card, **{key: others[key]}).fingerprint != card.fingerprint
    }
    assert changed == set(re.findall(r"`(\w+)`", said[1]))


def test_every_command_and_option_is_documented() -> None:
    context = click.Context(cli)
    documented = [cell for cell, *_ in rows("shell.md", "Commands")]
    words = " ".join(documented)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert re.search(rf"`{name}\b", words), name
        if isinstance(command, click.Group):
            for below in command.list_commands(context):
                assert re.search(rf"`{name} {below}\b", words), below
    # And no other.
    assert {re.match(r"`(\w+)", cell)[1] for cell in documented} == set(COMMANDS)
    options = " ".join(cell for cell, *_ in rows("shell.md", "Global options"))
    for parameter in cli.params:
        assert parameter.opts[0] in options


@pytest.fixture
def run(
    tmp_path: Path,
    tiny_card: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Json:
    """Runs a command with `--json` in this process: its lines, read."""
    monkeypatch.setenv("EDGEINC_STORE", str(tmp_path / "s.db"))
    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos" / "a").mkdir(parents=True)
    for i in range(3):
        cv2.imwrite(str(tmp_path / "photos" / "a" / f"{i}.png"), photo(0, i))
    (tmp_path / "many").mkdir()
    for i in range(100):
        (tmp_path / "many" / f"{i}.png").symlink_to(tmp_path / "photos" / "a" / f"{i % 3}.png")
    shutil.copy(tiny_card.parent / "tiny.onnx", tmp_path / "other.onnx")

    def call(*words: str) -> list[Any]:
        status = main(["--json", "--backbone", str(tiny_card), *words])
        out, err = capfd.readouterr()
        assert status == 0, err
        return [json.loads(line) for line in out.splitlines()]

    return call


def test_json_keys_are_those_of_the_table(run: Json, tiny_card: Path) -> None:
    pytest.importorskip("h5py", reason="the extra `hdf5` is not installed")
    table = {cell: keys(said) for cell, _, said in rows("shell.md", "Commands")}
    calls = {
        "enroll LABEL": ["enroll", "b", "photos/a/0.png"],
        "enroll --negative": ["enroll", "--negative", "photos/a/1.png"],
        "enroll --from": ["enroll", "--from", "photos"],
        "predict": ["predict", "photos/a/1.png"],
        "search": ["search", "photos/a/1.png"],
        "classes": ["classes"],
        "samples": ["samples", "a"],
        "threshold": ["threshold", "a", "0.5"],
        "rename": ["rename", "b", "c"],
        "undo": ["undo"],
        "log": ["log"],
        "eval DIR`": ["eval", "photos"],
        "eval DIR --unknown": ["eval", "photos", "--unknown", "many"],
        "check": ["check"],
        "embed": ["embed", "photos", "-o", "e.h5"],
        "export": ["export", "x.edgeinc"],
        "merge": ["merge", "x.edgeinc"],
        "forget": ["forget", "b"],
        "purge": ["purge"],
        "models list": ["models", "list"],
        "models show": ["models", "show", str(tiny_card)],
        "models pull": ["models", "pull", str(tiny_card)],
        "models add": ["models", "add", "other.onnx", "--embedding", "pooled"],
        "models verify": ["models", "verify", str(tiny_card)],
        "models background": ["models", "background", str(tiny_card), "many", "-o", "b.npz"],
        "bench": ["bench", "--seconds", "0.1"],
        "doctor": ["doctor"],
        "demo": ["demo", "--shots", "2", "--stream", "2", "-o", "parts.png"],
    }
    assert len(calls) == len(table)
    more = ("enroll --negative", "enroll --from")
    for name, words in calls.items():
        (cell,) = [cell for cell in table if cell.startswith(f"`{name}")]
        top, inner = table[cell] if name not in more else table["`enroll LABEL FILE...`"]
        for record in run(*words):
            assert set(record) == top, name
            for key, said in inner.items():
                assert record[key], f"{name}: {key} is empty"
                assert {k for entry in record[key] for k in entry} == said, name
