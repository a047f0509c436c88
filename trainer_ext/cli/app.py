"""The ground of the command line: the app, its two screens, and what every command does first and last."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from ..errors import one_line

# Typer would show its own tracebacks and wrap errors in boxes; ours are one line.
app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Make a text classifier smaller and faster, prove that it still computes the same, and measure what it lost.",
)
out, err = Console(), Console(stderr=True, soft_wrap=True)

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def fail(error: object, status: int) -> None:
    """End with one line on standard error."""
    err.print(Text(f"trainer-ext: {one_line(error, most=1000)}", style="red"))
    sys.exit(status)
