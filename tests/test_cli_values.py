"""Values that a person gives by mistake, to every option of every command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import click
import cv2
import pytest

from edgeinc.cli import COMMANDS, cli, main
from edgeinc.cli.options import Place
from tests.conftest import photo

Shell = Callable[..., tuple[int, str, str]]

# What each command needs to have something to do, but for options that are under test.
NEEDED = {
    "enroll": ["a", "p.png"],
    "predict": ["p.png"],
    "search": ["p.png"],
    "classes": [],
    "samples": ["a"],
    "forget": ["a"],
    "purge": [],
    "rename": ["a", "b"],
    "threshold": ["a", "auto"],
    "undo": [],
    "log": [],
    "eval": ["photos"],
    "check": [],
    "embed": ["photos", "--output", "e.h5"],
    "export": ["x.edgeinc"],
    "merge": ["other.db"],
    "models list": [],
    "models show": ["CARD"],
    "models pull": ["CARD"],
    "models add": ["missing.onnx"],
    "models background": ["CARD", "many", "--output", "b.npz"],
    "models verify": ["CARD"],
    "bench": ["--seconds", "0.1"],
    "doctor": [],
    "demo": ["--shots", "1", "--stream", "1", "--output", "d.png"],
}


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command of the shell that does something."""
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from ((f"{name} {below}", command.commands[below]) for below in command.commands)
        else:
            yield name, command


def test_what_a_command_writes_is_its_output() -> None:
    short = {
        (name, *parameter.opts)
        for name, command in commands()
        for parameter in command.params
        if {"-o", "--out", "--output"} & {*parameter.opts}
    }
    named = ("models background", "embed", "demo")
    assert short == {(name, "-o", "--output") for name in named}


def options_of(kind: type[click.ParamType]) -> list[tuple[str, str]]:
    """Each command with each of its options of a kind."""
    return [
        (name, parameter.opts[-1])
        for name, command in commands()
        for parameter in command.params
        if isinstance(parameter, click.Option) and isinstance(parameter.type, kind)
    ]


def put_in_order(folder: Path) -> None:
    """The pictures that the commands need."""
    (folder / "photos" / "a").mkdir(parents=True)
    (folder / "many").mkdir()
    cv2.imwrite(str(folder / "p.png"), photo(0, 0))
    cv2.imwrite(str(folder / "photos" / "a" / "0.png"), photo(0, 1))
    for i in range(100):
        (folder / "many" / f"{i}.png").symlink_to(folder / "p.png")


@pytest.fixture
def shell(
    tmp_path: Path,
    tiny_card: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Shell:
    """Runs a command on a store with one class: exit status, stdout, stderr."""
    monkeypatch.setenv("EDGEINC_STORE", str(tmp_path / "s.db"))
    monkeypatch.setenv("EDGEINC_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    put_in_order(tmp_path)

    def run(name: str, *more: str) -> tuple[int, str, str]:
        words = [*name.split(), *NEEDED[name], *more]
        given = [str(tiny_card) if word == "CARD" else word for word in words]
        status = main(["--backbone", str(tiny_card), *given])
        out, err = capfd.readouterr()
        return status, out, err

    assert run("enroll")[0] == 0
    return run


def test_every_command_is_tried() -> None:
    assert set(NEEDED) == {name for name, _ in commands()}


@pytest.mark.parametrize("value", ["-1", "0", str(10**20)], ids=["negative", "zero", "large"])
@pytest.mark.parametrize(("name", "option"), options_of(click.types.IntParamType))
def test_any_number_is_taken_or_refused_in_a_sentence(
    shell: Shell, name: str, option: str, value: str
) -> None:
    status, _, err = shell(name, option, value)
    assert status in (0, 1, 2)
    refusals = [line for line in err.splitlines() if line.startswith(("edgeinc: ", "Error: "))]
    assert len(refusals) == int(status != 0), err


def texts() -> Iterator[tuple[str, click.Command, click.Parameter]]:
    """Each command with each of its arguments and options that takes any text."""
    for name, command in commands():
        for parameter in command.params:
            if isinstance(parameter.type, (click.Path, click.types.StringParamType)):
                yield name, command, parameter


def test_every_text_that_may_be_a_path_is_a_place() -> None:
    others = {p.opts[-1] for _, _, p in texts() if not isinstance(p.type, Place)}
    assert others == {
        *("label", "old", "new", "value", "--sample"),
        *("--tensor", "--embedding", "--mean", "--std", "--licence", "--title"),
        # An empty one is the name of no model, nor of a device.
        *("name", "names", "--backbone", "--device"),
    }


@pytest.mark.parametrize(
    ("name", "command", "parameter"),
    [
        pytest.param(*one, id=f"{one[0]} {one[2].opts[-1]}")
        for one in texts()
        if isinstance(one[2].type, Place)
    ],
)
def test_an_empty_path_is_refused(
    capfd: pytest.CaptureFixture[str],
    name: str,
    command: click.Command,
    parameter: click.Parameter,
) -> None:
    words = []
    for one in command.params:
        if one is parameter or one.required or isinstance(one, click.Argument):
            words += [one.opts[-1]] if isinstance(one, click.Option) else []
            words.append("" if one is parameter else "x")
    assert main([*name.split(), *words]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("Error: ") == err.count("it is empty; name a f") == 1
    takes_folder = "DIR" in (parameter.metavar or "")
    assert ("folder" in err.partition("it is empty")[2]) == takes_folder


@pytest.mark.parametrize("words", [["--negative", ""], ["--negative", "p.png", ""], ["b", ""]])
def test_no_empty_path_is_enrolled(shell: Shell, words: list[str]) -> None:
    status = main(["enroll", *words])
    assert status in (1, 2)
    assert shell("classes")[1] == "     1  a\n"


def test_an_empty_variable_names_no_store(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert main(["--store", "", "classes"]) == 2
    monkeypatch.setenv("EDGEINC_STORE", "")
    assert "no store at edgeinc.db\n" in shell("log")[2]
    (tmp_path / "s.db").rename(tmp_path / "edgeinc.db")
    assert shell("classes")[1] == "     1  a\n"


def test_an_empty_name_is_that_of_no_backbone(
    shell: Shell, capfd: pytest.CaptureFixture[str]
) -> None:
    for words in (["classes"], ["embed", "photos", "-o", "e.h5"], ["bench"], ["log"]):
        assert main(["--backbone", "", *words]) == 1
        assert "There is no model ''" in capfd.readouterr().err
