"""The global options, before a command and after it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from edgeinc.cli import COMMANDS, cli, main
from edgeinc.cli.common import Settings
from edgeinc.cli.options import ALSO

GIVEN = Settings("before.db", None, "auto", False, False, "auto", False, 2, False)
AFTER: dict[str, tuple[str | None, str, Any]] = {
    "--store": ("after.db", "store", "after.db"),
    "--backbone": ("pebble", "backbone", "pebble"),
    "--head": ("ridge", "head", "ridge"),
    "--base-classes": (None, "base_classes", True),
    "--tta": (None, "tta", True),
    "--device": ("X,key=value", "device", "X,key=value"),
    "--strict": (None, "strict", True),
    "--threads": ("3", "threads", 3),
    "--json": (None, "json", True),
}


def commands() -> Iterator[tuple[str, ...]]:
    """Every command of the shell that does something, as it is called."""
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        if isinstance(command, click.Group):
            yield from ((name, below) for below in command.list_commands(context))
        else:
            yield (name,)


def parsed(path: tuple[str, ...], words: list[str]) -> tuple[Settings, dict[str, object]]:
    """The settings that a command would run with, and what else it was given."""
    context = click.Context(cli, obj=GIVEN)
    group: click.Group = cli
    for name in path[:-1]:
        below = group.get_command(context, name)
        assert isinstance(below, click.Group)
        group, context = below, below.make_context(name, [], parent=context, resilient_parsing=True)
    command = group.get_command(context, path[-1])
    assert command is not None
    context = command.make_context(path[-1], words, parent=context)
    settings = context.find_object(Settings)
    assert settings is not None
    return settings, context.params


def needed(path: tuple[str, ...]) -> list[str]:
    """What a command cannot do without."""
    context = click.Context(cli)
    command = cli.get_command(context, path[0])
    if isinstance(command, click.Group):
        command = command.get_command(context, path[1])
    assert command is not None
    words: list[str] = []
    for parameter in command.params:
        if parameter.required:
            words += [parameter.opts[0]] if isinstance(parameter, click.Option) else []
            words.append("1")
    return words


@pytest.mark.parametrize("path", [*commands()], ids=" ".join)
def test_every_command_takes_every_global_option_after_it(path: tuple[str, ...]) -> None:
    assert set(AFTER) == {p.opts[0] for p in cli.params} - {"--version", "--help"}
    usual, own = parsed(path, needed(path))
    assert usual == GIVEN
    for option, (value, name, read) in AFTER.items():
        words = [option] if value is None else [option, value]
        for line in ([*words, *needed(path)], [*needed(path), *words]):
            settings, params = parsed(path, line)
            # The one after the command wins, and the others stay as they were given before.
            assert settings == GIVEN._replace(**{name: read}), line
            assert params == own


@pytest.mark.parametrize("path", [*commands()], ids=" ".join)
def test_help_of_a_command_names_them_in_one_line(
    path: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*path, "--help"]) == 0
    said = capfd.readouterr().out
    assert said.count(ALSO) == 1
    assert "--base-classes" not in said


def test_what_follows_two_dashes_is_no_option() -> None:
    settings, params = parsed(("predict",), ["--json", "--", "--strict", "a.jpg"])
    assert settings == GIVEN._replace(json=True)
    assert params["files"] == ("--strict", "a.jpg")


def test_an_option_of_a_command_goes_before_a_global_one() -> None:
    from edgeinc.cli.options import take_after

    @click.command("own")
    @click.option("--device", "camera")
    def own(camera: str) -> None:
        """One with an option of its own."""

    context = take_after(own).make_context("own", ["--device", "x"], obj=GIVEN)
    assert context.params == {"camera": "x"}
    assert context.find_object(Settings) == GIVEN


def test_the_store_after_a_command_goes_before_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGEINC_STORE", str(tmp_path / "environment.db"))
    one, other = tmp_path / "one.db", tmp_path / "other.db"
    for words, named in (
        (["log"], tmp_path / "environment.db"),
        (["--store", str(one), "log"], one),
        (["--store", str(one), "log", "--store", str(other)], other),
    ):
        assert main(words) == 0
        assert capfd.readouterr().err == f"there is no store at {named}\n"
    assert main(["models", "--json", "list"]) == main(["models", "list", "--json"]) == 0
    one_line, same = map(json.loads, capfd.readouterr().out.splitlines())
    assert one_line == same


def test_wrong_values_after_a_command(capfd: pytest.CaptureFixture[str]) -> None:
    for words in (["--threads", "0"], ["--head", "none"], ["--jsonn"]):
        assert main(["classes", *words]) == 2
        assert words[0] in capfd.readouterr().err
