"""The global options: taken before a command, and after it too."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from edgeinc.cli.common import Settings
from edgeinc.devices import MOST_THREADS

__all__ = ["ALSO", "Place", "global_options", "take_after"]


class Place(click.Path):
    """Where a file or folder is, or is to be.

    Elsewhere an empty path means the working folder: here it is a variable that was not set.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuses an empty path; else as `click.Path`."""
        if value == "":
            self.fail(
                "it is empty; name a file or a folder ('.' is the working folder).", param, ctx
            )
        return super().convert(value, param, ctx)


ALSO = "Options of `edgeinc --help` are taken here too."

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


def global_options(**more: Any) -> list[click.Parameter]:
    """The options that every command takes, in the order of `edgeinc --help`.

    Args:
        more: What each of them is given besides.
    """
    return [click.Option([_word(name), name], **told, **more) for name, told in OPTIONS.items()]


def take_after(command: click.Command) -> click.Command:
    """Lets a command, and those of a group, take the global options after its name.

    An option of its own goes first.
    """
    # A module's command is one object, which may be called again in this process.
    if command.epilog == ALSO:
        return command
    command.epilog = ALSO
    own = {word for parameter in command.params for word in parameter.opts}
    command.params += [
        option
        for option in global_options(hidden=True, expose_value=False, callback=_settle)
        if own.isdisjoint(option.opts)
    ]
    if isinstance(command, click.Group):
        for below in command.commands.values():
            take_after(below)
    return command


def _settle(ctx: click.Context, option: click.Parameter, value: Any) -> Any:
    """Puts an option that was given after the command into the settings of that command."""
    settings, name = ctx.find_object(Settings), str(option.name)
    given = ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    # There are no settings while a shell completes a line.
    if given and settings is not None:
        ctx.obj = settings._replace(**{name: value})
    return value


def _word(name: str) -> str:
    return "--" + name.replace("_", "-")
