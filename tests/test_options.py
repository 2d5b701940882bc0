"""The global options, before a command and after it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import click
import pytest

from edgeinc.cli import COMMANDS, cli, main
from edgeinc.cli.common import Settings
from edgeinc.cli.options import ALSO, takes
from tests.test_cli_values import NEEDED, put_in_order

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


def found(path: tuple[str, ...]) -> click.Command:
    """The command itself."""
    context = click.Context(cli)
    command = cli.get_command(context, path[0])
    if isinstance(command, click.Group):
        command = command.get_command(context, path[1])
    assert command is not None
    return command


def needed(path: tuple[str, ...]) -> list[str]:
    """What a command cannot do without."""
    words: list[str] = []
    for parameter in found(path).params:
        if parameter.required:
            words += [parameter.opts[0]] if isinstance(parameter, click.Option) else []
            words.append("1")
    return words


def taken(path: tuple[str, ...]) -> list[str]:
    """The global options that the help of a command says that it takes."""
    context = click.Context(cli)
    command = cli.get_command(context, path[0])
    if isinstance(command, click.Group):
        command = command.get_command(context, path[1])
    assert command is not None
    assert command.epilog is not None
    return command.epilog.split(ALSO)[1].split()


@pytest.mark.parametrize("path", [*commands()], ids=" ".join)
def test_a_command_takes_what_it_has_a_use_for_after_it(path: tuple[str, ...]) -> None:
    assert set(AFTER) == {p.opts[0] for p in cli.params} - {"--version", "--help"}
    usual, own = parsed(path, needed(path))
    assert usual == GIVEN
    for option, (value, name, read) in AFTER.items():
        words = [option] if value is None else [option, value]
        for line in ([*words, *needed(path)], [*needed(path), *words]):
            if option in taken(path):
                settings, params = parsed(path, line)
                # The one after the command wins, and the others stay as they were before.
                assert settings == GIVEN._replace(**{name: read}), line
                assert params == own
            else:
                with pytest.raises(click.UsageError, match=f"has no use for {option};"):
                    parsed(path, line)


@pytest.mark.parametrize("path", [*commands()], ids=" ".join)
def test_what_changes_no_answer_is_said_to(
    path: tuple[str, ...], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a command that has no use for it; nothing is refused there."""
    monkeypatch.setattr(found(path), "callback", lambda **_: None)
    for option in ("--head", "--base-classes", "--tta"):
        value = AFTER[option][0]
        words = [option] if value is None else [option, value]
        for line in ([*words, *path], [*path[:-1], *words, path[-1]]):
            assert main([*line, *needed(path)]) == 0
            said = f"`edgeinc {' '.join(path)}` has no use for {option}; it changes nothing.\n"
            assert capfd.readouterr().err == ("" if option in taken(path) else said)


def test_the_rest_may_stand_before_any_command(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEINC_STORE", str(tmp_path / "environment.db"))
    words = ["--device", "npu", "--strict", "--threads", "2", "--backbone", "pebble", "--json"]
    assert main([*words, "--store", str(tmp_path / "s.db"), "models", "list"]) == 0
    assert json.loads(capfd.readouterr().out)["models"]


class Recorder(Settings):
    """Settings that note which of them are read."""

    read: ClassVar[set[str]] = set()

    def __getattribute__(self, name: str) -> Any:
        """Notes it."""
        Recorder.read.add(name)
        return super().__getattribute__(name)


@pytest.mark.parametrize("path", [*commands()], ids=" ".join)
def test_a_command_reads_what_it_takes(
    path: tuple[str, ...],
    tmp_path: Path,
    tiny_card: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if path[0] in ("embed", "export"):
        pytest.importorskip("h5py", reason="the extra `hdf5` is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("edgeinc.cli.Settings", Recorder)
    put_in_order(tmp_path)
    common = ["--store", str(tmp_path / "s.db"), "--backbone", str(tiny_card)]
    name = " ".join(path)
    assert main([*common, "enroll", *NEEDED["enroll"]]) == 0
    words = ["x.h5"] if name == "export" else NEEDED[name]
    Recorder.read.clear()
    # Where a backbone is given, the store's is not asked for.
    for before in (common, common[:2]):
        main([*before, *path, *(str(tiny_card) if word == "CARD" else word for word in words)])
    # The result of the demo is JSON anyway.
    assert {AFTER[option][1] for option in taken(path)} - Recorder.read <= {"json"}


@pytest.mark.parametrize("path", [*commands()], ids=" ".join)
def test_help_of_a_command_names_what_it_takes(
    path: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*path, "--help"]) == 0
    said = capfd.readouterr().out
    assert said.endswith(f"\n  {ALSO}\n  {' '.join(taken(path))}\n")
    for option in {*AFTER} - {*taken(path)}:
        assert not re.search(rf"{option}\b", said)


def test_the_page_of_the_shell_says_which_commands_take_what_changes_answers() -> None:
    page = (Path(__file__).parents[1] / "docs" / "shell.md").read_text(encoding="utf-8")
    for option in ("--head", "--base-classes", "--tta"):
        (row,) = re.findall(rf"^\| `{option}.*?taken by (.*?)[.;:] ", page, re.MULTILINE)
        takers = {" ".join(path) for path in commands() if option in taken(path)}
        assert takers == {*re.findall(r"`(\w+)`", row)}, option


def test_what_follows_two_dashes_is_no_option() -> None:
    settings, params = parsed(("predict",), ["--json", "--", "--strict", "a.jpg"])
    assert settings == GIVEN._replace(json=True)
    assert params["files"] == ("--strict", "a.jpg")


def test_an_option_of_a_command_goes_before_a_global_one() -> None:
    @takes("device")
    @click.command("own")
    @click.option("--device", "camera")
    def own(camera: str) -> None:
        """One with an option of its own."""

    context = own.make_context("own", ["--device", "x"], obj=GIVEN)
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
