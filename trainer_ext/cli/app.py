"""What all commands share: the typer app, output and errors, the `--debug` option, and how a command line is recorded."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn, cast

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from .._version import __version__
from ..errors import one_line
from ..hub import sanitize


class InOrder(TyperGroup):
    """Lists the commands in the order in which one needs them."""

    order = (
        "compress",
        "export",
        "benchmark",
        "demo",
        "push",
        "sweep",
        "trim",
        "check",
        "energy",
        "import-nn-pruning",
    )

    def list_commands(self, ctx) -> list[str]:
        """Return the names of the commands."""
        return sorted(super().list_commands(ctx), key=self.order.index)


# Errors are one line here, so typer's tracebacks and boxes are off.
app = typer.Typer(
    cls=InOrder,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
out, err = Console(), Console(stderr=True, soft_wrap=True)

START = """\
trainer-ext makes a text classifier smaller and faster, and measures what was lost.

A fine-tuned model, and a table of texts with labels (.csv, .tsv or .jsonl):
    trainer-ext compress MODEL data.csv

A fine-tuned model, and texts without labels, one per line:
    trainer-ext compress MODEL texts.txt

A base model that is not trained for your classes yet:
    trainer-ext compress MODEL data.csv --baseline_epochs 3

MODEL is a folder or a Hub id. Each makes MODEL-small/ with both models and all numbers.
All commands: trainer-ext --help. What one does: trainer-ext compress --help.\
"""

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
# The base of typer's errors about a command's arguments; not every version of typer has a public name for it.
UsageError = cast("type[Exception]", typer.BadParameter.__base__)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"trainer-ext {__version__}")
        raise typer.Exit


@app.callback()
def start(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Make a text classifier smaller and faster, check that the result is correct, and measure what was lost."""
    if context.invoked_subcommand is None:
        typer.echo(START)


def fail(error: object, status: int) -> NoReturn:
    """Print an error in one line on standard error, and exit.

    Args:
        error: the message.
        status: exit status.
    """
    err.print(Text(f"trainer-ext: {one_line(error, most=1000)}", style="red"))
    sys.exit(status)


def usage_message(error) -> str:
    """Return what is wrong with the arguments of a command, with the value that was given.

    Args:
        error: a `UsageError`.
    """
    options = getattr(getattr(error, "param", None), "opts", ())
    given = [value for word, value in zip(sys.argv, [*sys.argv[1:], ""], strict=True) if word in options]
    got = f", got {given[-1]!r}" if given else ""
    command = error.ctx.command_path if error.ctx else "trainer-ext"
    return f"{error.format_message().rstrip('.')}{got}; see `{command} --help`."


def command_line(command: str, words: Sequence[str]) -> str:
    """Return a command line as reports and tables show it, without private paths and tokens.

    Args:
        command: its name.
        words: the arguments.
    """
    return shlex.join(["trainer-ext", command, *sanitize.command(words)])
