"""Choose the two models, and make the quickstart's run if there is none; nothing slow is imported here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from trainer_ext import InputError

QUICKSTART = Path("runs/quickstart")
RECIPE = Path("recipes/quickstart")
SIDES = ("baseline", "compressed")


def choose(arguments: list[str], *, beside: Path) -> dict[str, str]:
    """Return the folder or Hub id of the "baseline" and the "compressed" model.

    Args:
        arguments: The command line: the folder of a run, or nothing.
        beside: The folder that may contain `models.json`, whose folders are relative to it.

    Raises:
        InputError: The run does not exist or is not finished, or `models.json` does not name two models.
    """
    file = beside / "models.json"
    if arguments or not file.exists():
        run = Path(*arguments[:1]) if arguments else QUICKSTART
        names = {name: str(run / name) for name in SIDES}
        if missing := [name for name in names.values() if not Path(name).is_dir()]:
            way_out = "give the folder of a finished run" if arguments else "make one: make quickstart"
            raise InputError(f"There is no model in {missing[0]}; {way_out}.")
        return names
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        names = {name: content[name] for name in SIDES}
        for value in names.values():
            if not isinstance(value, str):
                raise TypeError(f"{value!r} is not a name")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f'{file.name} cannot be used ({error}); it must contain {{"baseline": ID, "compressed": ID}}.'
        ) from error
    return {name: str(beside / value) if (beside / value).is_dir() else value for name, value in names.items()}


def commands(recipe: Path, run: Path) -> list[list[str]]:
    """Return the two commands of the quickstart, those of `make quickstart`: write the data, then train and compress."""
    data = f"{run}-data"
    return [
        [sys.executable, str(recipe / "corpus.py"), data],
        [sys.executable, "-m", "trainer_ext", "compress", str(recipe / "quickstart.yaml")]
        + ["--data_dir", data, "--output_dir", str(run), "--resume"],
    ]


def ensure(run: Path, *, checkout: Path) -> None:
    """Make the quickstart's run, unless it exists or the checkout has no recipe; an interrupted run is continued.

    Args:
        run: Folder of the run.
        checkout: Folder that contains `recipes/`.

    Raises:
        InputError: A command failed; its output is on the terminal.
    """
    recipe = checkout / RECIPE
    if all((run / name).is_dir() for name in SIDES) or not recipe.is_dir():
        return
    sys.stderr.write(
        f"No run in {run} yet: making it takes about five minutes. If you stop it, it continues next time.\n"
    )
    for command in commands(recipe, run):
        if status := subprocess.run(command, stdin=subprocess.DEVNULL).returncode:
            raise InputError(f"No run could be made in {run} (exit status {status}); the lines above say why.")
