"""Write the results of a sweep as JSON, CSV, Markdown and plots, and read the JSON back.

No file is ever half written, and nothing that does not fit the schema is written or read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..report.io import check_version, decode, encode
from ..utils.files import write_bytes, write_text
from .plot import FORMATS, draw
from .results import SweepResult, as_csv
from .tables import markdown

SCHEMA_VERSION = 1
JSON, CSV, PAGE, PICTURE = "sweep.json", "sweep.csv", "sweep.md", "pareto"


def write_sweep(result: SweepResult, folder: Path) -> list[str]:
    """Write `sweep.json`, `sweep.csv`, `sweep.md`, `pareto.png` and `pareto.svg`.

    Args:
        result: of the sweep, with at least one row.
        folder: created if missing; files of the same names are replaced.

    Returns:
        Notes for the user: why there are no plots, if there are none. Older plots are then removed, since they would show
        other numbers.

    Raises:
        ValueError: A number is not finite, or a field has the wrong type; nothing is written then.
    """
    text = to_json(result)
    pictures: dict[str, bytes] = {}
    notes = []
    try:
        pictures = draw(result)
    except InputError as error:
        notes.append(f"No plot: {error}")
    write_text(folder / CSV, as_csv(result.rows))
    for ending in FORMATS:
        file = folder / f"{PICTURE}.{ending}"
        if ending in pictures:
            write_bytes(file, pictures[ending])
        else:
            file.unlink(missing_ok=True)
    write_text(folder / PAGE, markdown(result, f"{PICTURE}.svg" if pictures else None))
    write_text(folder / JSON, text)  # last: if it exists, so do the others
    return notes


def read_sweep_json(folder: Path) -> SweepResult:
    """Read the results of a sweep from its folder, or from its `sweep.json`.

    Raises:
        InputError: There is no such file, it is not from a sweep, or a newer version of this package wrote it.
    """
    file = folder / JSON if folder.is_dir() else folder
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"There is no {file}; give the folder of a sweep.") from error
    except (OSError, ValueError) as error:  # wrong encoding and wrong JSON are ValueErrors
        raise InputError(f"{file} cannot be read ({error}); give the folder of a sweep.") from error
    try:
        return _decode(values)
    except ValueError as error:
        raise InputError(f"{file} is not the result of a sweep: {error}") from error


def to_json(result: SweepResult) -> str:
    """Return the text of `sweep.json`.

    Raises:
        ValueError: A number is not finite, or a field has the wrong type; the message has its dotted name.
    """
    values = {"schema_version": SCHEMA_VERSION, **encode(result)}
    _decode(values)
    return json.dumps(values, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _decode(values: Any) -> SweepResult:
    if not isinstance(values, dict):
        raise ValueError(f"it holds {type(values).__name__}, not an object.")
    check_version(values, SCHEMA_VERSION)
    return decode(SweepResult, {name: value for name, value in values.items() if name != "schema_version"})
