"""The shell: `edgeinc COMMAND`, one thin command an operation.

Command modules are imported only when they are called, because a field device pays for
every import at every start.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import Any

import click

from edgeinc.cli.common import Settings
from edgeinc.cli.options import global_options
from edgeinc.errors import EdgeincError
from edgeinc.version import __version__

__all__ = ["main"]

# Where each command lives, in the order of `edgeinc --help`, with its one line there.
COMMANDS = {
    "enroll": ("enroll", "Learn a class from pictures."),
    "predict": ("predict", "Say what pictures show, one line a picture."),
    "search": ("search", "Find the enrolled examples nearest to a picture."),
    "classes": ("manage", "List what is enrolled."),
    "samples": ("manage", "List the examples of a class."),
    "forget": ("manage", "Take a class or one example out."),
    "purge": ("manage", "Destroy what was forgotten, beyond undo."),
    "rename": ("manage", "Give a class another name."),
    "threshold": ("manage", "Set how familiar a picture must be to be known as a class."),
    "undo": ("manage", "Take back the last operations."),
    "log": ("manage", "Show what was done to the store, newest first."),
    "eval": ("evaluate", "Measure accuracy."),
    "check": ("check", "Take a second look at everything enrolled."),
    "embed": ("features", "Write the features of a folder to HDF5."),
    "export": ("features", "Write what is enrolled to HDF5, or to an archive."),
    "merge": ("merge", "Add what other stores, or archives of stores, hold."),
    "models": ("models", "List, fetch, add and check backbones."),
    "bench": ("bench", "Measure speed on this device, and say how to run the backbone."),
    "doctor": ("doctor", "Show what this device has and lacks, and check the store."),
    "demo": ("demo", "Learn and recognise parts that are drawn on the spot."),
}

EXIT_INTERRUPTED = 130


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports and returns a command; None when there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"edgeinc.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.command(
    cls=LazyGroup,
    params=global_options(),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="edgeinc")
@click.pass_context
def cli(ctx: click.Context, /, **given: Any) -> None:
    """Learns new classes from a few pictures, on this device, and recognises them."""
    ctx.obj = Settings(**given)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the shell; returns its exit status: 0 done, 1 failed, 2 wrong usage.

    One that is ended by a signal cleans up first; its status is 128 and the signal's number.

    Args:
        arguments: Words after the program's name; `sys.argv[1:]` when None.
    """
    # A command is short: numpy's linear algebra would spend longer on waking its threads than
    # on the work, and take the cores from the backbone, which has threads of its own.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Nor does it make the garbage that is worth looking for after every 700 objects.
    gc.set_threshold(50_000, 20, 20)
    warnings.showwarning = _show_warning
    try:
        with _orderly_end():
            result = cli.main(arguments, prog_name="edgeinc", standalone_mode=False)
    except _Ended as exc:
        return 128 + exc.number
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("edgeinc: interrupted", err=True)
        return EXIT_INTERRUPTED
    except EdgeincError as exc:
        click.echo(f"edgeinc: {exc}", err=True)
        return 1
    except BrokenPipeError:
        # The reader of stdout went away (`| head`); what could be printed was printed.
        sys.stderr.close()
        return 1
    except OSError as exc:
        # What the rooms below do not translate: stdout on a full disk, a folder taken away.
        where = f"{exc.filename} cannot be used" if exc.filename else "The output cannot be written"
        why = exc.strerror or exc
        click.echo(f"edgeinc: {where} ({why}); check its folder and the room there.", err=True)
        return 1
    return result if isinstance(result, int) else 0


class _Ended(BaseException):
    """This process is to end, by the signal of this number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def _orderly_end() -> Iterator[None]:
    """Raises in the block what would else end the process on the spot.

    So a transaction is taken back at once, and no private copy of a store stays behind. What
    whoever started the process has ignored, or handles, is left to them.
    """
    caught = []
    if threading.current_thread() is threading.main_thread():
        numbers = [getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")]
        caught = [n for n in numbers if n is not None and signal.getsignal(n) is signal.SIG_DFL]
    for number in caught:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, signal.SIG_DFL)


def _end(number: int, _: FrameType | None) -> None:
    # A second one must not end the cleaning up.
    signal.signal(number, signal.SIG_IGN)
    raise _Ended(number)


def _show_warning(message: Warning | str, *where: object, **more: object) -> None:
    """Prints a warning as a line for people, without the place in the code."""
    click.echo(f"warning: {message}", err=True)
