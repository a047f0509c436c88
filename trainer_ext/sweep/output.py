"""Sweep files: a sweep written as JSON, CSV, Markdown and pictures, each whole or not at all, and read back strictly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..report import schema
from ..utils.files import write_bytes, write_text
from .plot import draw
from .results import SweepResult, as_csv
from .tables import markdown

SCHEMA_VERSION = 1
JSON, CSV, PAGE, PICTURE = "sweep.json", "sweep.csv", "sweep.md", "pareto"


def write_sweep(result: SweepResult, folder: Path) -> list[str]:
    """Write `sweep.json`, `sweep.csv`, `sweep.md`, `pareto.png` and `pareto.svg`.

    Args:
        result: of the sweep, with at least one row.
        folder: made if absent; files of the same names are replaced.

    Returns:
        What the user should know: why there are no pictures. Older pictures are then removed, since they would show
        other numbers.

    Raises:
        ValueError: a number is not finite, or a field has the wrong type; nothing is written then.
    """
    text = to_json(result)
    try:
        pictures, notes = draw(result), []
    except InputError as error:
        pictures, notes = {}, [f"No picture: {error}"]
    write_text(folder / CSV, as_csv(result.rows))
    for ending in ("png", "svg"):
        file = folder / f"{PICTURE}.{ending}"
        if ending in pictures:
            write_bytes(file, pictures[ending])
        else:
            file.unlink(missing_ok=True)
    write_text(folder / PAGE, markdown(result, f"{PICTURE}.svg" if pictures else None))
    write_text(folder / JSON, text)  # last: where it lies, the others do
    return notes


def read_sweep_json(folder: Path) -> SweepResult:
    """The sweep of a folder, or of its `sweep.json`.

    Raises:
        InputError: there is no such file, it is no sweep, or a newer version of this package wrote it.
    """
    file = folder / JSON if folder.is_dir() else folder
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"There is no {file}; give the folder of a sweep.") from error
    except (OSError, ValueError) as error:  # no UTF-8 and no JSON are ValueErrors
        raise InputError(f"{file} cannot be read ({error}); give the folder of a sweep.") from error
    try:
        return _decode(values)
    except ValueError as error:
        raise InputError(f"{file} is no sweep: {error}") from error


def to_json(result: SweepResult) -> str:
    """The text of `sweep.json`, seen to be readable.

    Raises:
        ValueError: a number is not finite, or a field has the wrong type; the message has its dotted name.
    """
    values = {"schema_version": SCHEMA_VERSION, **schema.encode(result)}
    _decode(values)
    return json.dumps(values, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _decode(values: Any) -> SweepResult:
    if not isinstance(values, dict):
        raise ValueError(f"it holds {type(values).__name__}, not an object.")
    version = values.get("schema_version")
    if type(version) is not int or version < 1:
        raise ValueError(f"schema_version is {version!r}, expected a whole number from 1 on.")
    if version > SCHEMA_VERSION:
        raise ValueError(
            f"schema_version is {version}, this package reads up to {SCHEMA_VERSION}; upgrade it: "
            "pip install -U trainer-ext"
        )
    return schema.decode(SweepResult, {name: value for name, value in values.items() if name != "schema_version"})
