"""Names: which two models are compared, told before anything slow is imported."""

from __future__ import annotations

import json
from pathlib import Path

from trainer_ext import InputError

QUICKSTART = Path("runs/quickstart")
SIDES = ("baseline", "compressed")


def choose(arguments: list[str], *, beside: Path) -> dict[str, str]:
    """Folder or Hub id of "baseline" and "compressed".

    Args:
        arguments: of the command line: the folder of a run, or nothing.
        beside: the folder in which `models.json` may lie; its folders are relative to it.

    Raises:
        InputError: there is no such run, or it is not finished; or `models.json` does not name two models.
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
        named = json.loads(file.read_text(encoding="utf-8"))
        names = {name: named[name] for name in SIDES}
        if odd := [value for value in names.values() if not isinstance(value, str)]:
            raise TypeError(f"{odd[0]!r} is no name")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f'{file.name} cannot be used ({error}); it holds {{"baseline": ID, "compressed": ID}}.'
        ) from error
    return {name: str(beside / value) if (beside / value).is_dir() else value for name, value in names.items()}
