"""Quickstart: its run is made where there is none yet, by the commands of `make quickstart`, once, in about ten minutes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from names import SIDES

from trainer_ext import InputError

RECIPE = Path("recipes/quickstart")


def commands(recipe: Path, run: Path) -> list[list[str]]:
    """What writes the data beside the run, and what trains, compresses and measures; an interrupted run continues."""
    data = f"{run}-data"
    return [
        [sys.executable, str(recipe / "corpus.py"), data],
        [sys.executable, "-m", "trainer_ext", "compress", str(recipe / "quickstart.yaml")]
        + ["--data_dir", data, "--output_dir", str(run), "--resume"],
    ]


def ensure(run: Path, *, checkout: Path) -> None:
    """Make the run if it is not there and the recipe is; the commands show their progress on the terminal.

    Raises:
        InputError: a command failed; it has said why.
    """
    recipe = checkout / RECIPE
    if all((run / name).is_dir() for name in SIDES) or not recipe.is_dir():
        return
    sys.stderr.write(f"No run in {run} yet: it is made now, in about ten minutes; stopped, it continues next time.\n")
    for command in commands(recipe, run):
        if status := subprocess.run(command, stdin=subprocess.DEVNULL).returncode:
            raise InputError(f"No run could be made in {run} (exit status {status}); the lines above say why.")
