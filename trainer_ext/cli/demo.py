"""The command that shows: demo serves the page that compares the two models of a run."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..hub.space import space_folder
from .app import Debug, app


@app.command()
def demo(
    run: Annotated[
        Path | None,
        typer.Argument(
            help="A finished run; default: the quickstart's, made first if there is none.", show_default=False
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Of the page's address, or the next that is free; default: 7860."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Serve a page that shows both models of a run beside each other.

    It answers on this machine alone, sends nothing elsewhere, and stops with Ctrl-C. For example

        trainer-ext demo runs/small --port 8000
    """
    variables = os.environ if port is None else {**os.environ, "GRADIO_SERVER_PORT": str(port)}
    words = [sys.executable, str(space_folder() / "app.py"), *([] if run is None else [str(run)])]
    os.execve(words[0], words, variables)  # the page takes this process: whoever stops it stops the page
