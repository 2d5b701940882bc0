"""The global options: taken before a command, and after it too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from edgeinc.cli.common import Settings, note
from edgeinc.devices import MOST_THREADS

__all__ = ["ALSO", "OPTIONS", "Place", "global_options", "is_given", "say_useless", "takes"]

C = TypeVar("C", bound=click.Command)

ALSO = "Of the options of `edgeinc --help` it takes:"

ANSWERS = ("head", "base_classes", "tta")
"""What is never passed over without a word: who gives one wants another answer."""


class Place(click.Path):
    """Where a file or folder is, or is to be.

    Elsewhere an empty path means the working folder: here it is a variable that was not set.
    Which of the two it is, is told by what the help calls it: DIR, FILE or FILE|DIR.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuses an empty path; else as `click.Path`."""
        if value == "":
            shown = "" if param is None else param.metavar or str(param.name).upper()
            folder = "a folder ('.' is the working folder)" if "DIR" in shown else ""
            file = "a file" if "FILE" in shown or not folder else ""
            self.fail(f"it is empty; name {' or '.join(filter(None, (file, folder)))}.", param, ctx)
        return super().convert(value, param, ctx)


# By the names of `Settings`.
OPTIONS: dict[str, dict[str, Any]] = {
    "store": {
        "type": Place(),
        "metavar": "FILE",
        "envvar": "EDGEINC_STORE",
        "default": "edgeinc.db",
        "show_default": True,
        "help": "The store; $EDGEINC_STORE sets it too.",
    },
    "backbone": {
        "metavar": "NAME|CARD",
        "help": (
            "A model's name or card; default: the store's own, for a new store the embedded one."
        ),
    },
    "head": {
        "type": click.Choice(["auto", "proto", "ridge", "lda", "knn"]),
        "default": "auto",
        "show_default": True,
        "help": "How classes are told apart.",
    },
    "base_classes": {
        "is_flag": True,
        "help": "Keep the backbone's own classes beside the enrolled.",
    },
    "tta": {"is_flag": True, "help": "Look at three views of each picture, in 3x the time."},
    "device": {
        "metavar": "NAME",
        "default": "auto",
        "show_default": True,
        "help": (
            "cpu, npu, gpu, or a provider or delegate by name: NAME,key=value,... "
            "(docs/devices.md)."
        ),
    },
    "strict": {"is_flag": True, "help": "Fail rather than leave any of it to the CPU."},
    "threads": {
        "type": click.IntRange(1, MOST_THREADS),
        "help": "Threads of the backbone; default: the physical cores.",
    },
    "json": {"is_flag": True, "help": "Print results as JSON."},
}


def global_options() -> list[click.Parameter]:
    """The options that are taken before any command, in the order of `edgeinc --help`."""
    return [_option(name) for name in OPTIONS]


def takes(*names: str) -> Callable[[C], C]:
    """Declares the global options that a command has a use for: it takes them after its name too.

    Any other is refused there. Before the command all are taken, since they may be in an alias
    for all commands; of those that change answers it is said that they do not. `--json` is of
    use to every command, and an option of its own goes before a global one. A group takes all,
    for the commands in it.

    Args:
        names: By the names of `Settings`.
    """

    def declare(command: C) -> C:
        group = isinstance(command, click.Group)
        own = {word for parameter in command.params for word in parameter.opts}
        taken = [name for name in OPTIONS if group or name in names or name == "json"]
        for name in OPTIONS:
            if _word(name) not in own:
                callback = _settle if name in taken else _refuse
                command.params.append(
                    _option(name, hidden=True, expose_value=False, callback=callback)
                )
        if not group:
            # After that mark its lines are left as they are.
            command.epilog = f"\b\n{ALSO}\n{' '.join(map(_word, taken))}"
        return command

    return declare


def is_given(ctx: click.Context, name: str) -> bool:
    """Whether an option stands on the command line; one in the environment is for any command."""
    return ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _settle(ctx: click.Context, option: click.Parameter, value: Any) -> Any:
    """Puts an option that was given after the command into the settings of that command."""
    settings, name = ctx.find_object(Settings), str(option.name)
    # There are no settings while a shell completes a line.
    if is_given(ctx, name) and settings is not None:
        ctx.obj = settings._replace(**{name: value})
    return value


def _refuse(ctx: click.Context, option: click.Parameter, value: Any) -> Any:
    """Refuses an option that the command has no use for; before its name it changes nothing."""
    say_useless(ctx, str(option.name), ctx.command_path)
    return value


def say_useless(ctx: click.Context, name: str, words: str) -> None:
    """Says of a global option, where it is given, that what `words` call has no use for it.

    Args:
        ctx: Of the command.
        name: The option, by the names of `Settings`.
        words: The command, and what of it has no use for the option.

    Raises:
        click.UsageError: It stands after the command's name.
    """
    above, said = ctx.parent, f"`{words}` has no use for {_word(name)}"
    if is_given(ctx, name):
        raise click.UsageError(f"{said}; leave it out.", ctx)
    given = False
    while name in ANSWERS and above is not None:
        given, above = given or is_given(above, name), above.parent
    if given:
        note(f"{said}; it changes nothing.")


def _option(name: str, **more: Any) -> click.Option:
    return click.Option([_word(name), name], **OPTIONS[name], **more)


def _word(name: str) -> str:
    return "--" + name.replace("_", "-")
