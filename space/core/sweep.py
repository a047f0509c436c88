"""Read `sweep.csv`: models of several sizes, with their accuracy and speed.

Each row is a run, or a file that was exported from a run. The columns, in any order; other columns are ignored:

    name            name of the point, with the runtime if it is not PyTorch
    accuracy        of the compressed model, a fraction in [0, 1]
    accuracy_low    lower end of its 95 % interval
    accuracy_high   upper end of its 95 % interval
    speedup         median time of the baseline divided by that of the compressed model
    megabytes       size of its weights in units of 10^6 bytes
    folder          folder of the run, relative to the file; empty if the models were not kept
    metric          optional: "agreement" if the texts had no labels; `accuracy` is then the share of texts that the model
                    answers as the baseline does

A row with an empty number was not measured, and is left out.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from trainer_ext import InputError
from trainer_ext.report.schema import AGREEMENT

FILE_NAME = "sweep.csv"
NUMBERS = ("accuracy", "accuracy_low", "accuracy_high", "speedup", "megabytes")
COLUMNS = ("name", *NUMBERS, "folder")
MOST_POINTS = 60  # more would overlap in the picture


@dataclass(frozen=True)
class Point:
    """One row; `folder` is None if it does not contain both models."""

    name: str
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    speedup: float
    megabytes: float
    folder: Path | None
    is_agreement: bool = False  # whether `accuracy` is the share of texts that are answered as by the baseline


def find_sweep(compressed: str) -> Path | None:
    """Return the sweep file of a compressed model: in its folder, in its run, or next to its run; or None."""
    if not Path(compressed).is_dir():
        return None
    places = (Path(compressed).resolve(), *Path(compressed).resolve().parents)[:3]
    return next((place / FILE_NAME for place in places if (place / FILE_NAME).is_file()), None)


def read_sweep(file: Path) -> list[Point]:
    """Read the points of a sweep.

    Raises:
        InputError: A column is missing, a value is not a number or out of range, there are no rows or too many, or the
            file is not text.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.DictReader(opened)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"{file.name} has no column {', '.join(missing)}; it needs {', '.join(COLUMNS)}.")
            points = [_point(row, reader.line_num, file) for row in reader if _is_measured(row)]
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{file.name} cannot be read as a CSV file in UTF-8 ({error}); write it again.") from error
    if not 1 <= len(points) <= MOST_POINTS:
        raise InputError(f"{file.name} has {len(points)} rows; this page shows 1 to {MOST_POINTS}.")
    return points


def frontier(points: list[Point]) -> list[Point]:
    """Return the Pareto-optimal points, the slowest first: no other point is at least as accurate and as fast."""
    best = -math.inf
    found: list[Point] = []
    for point in sorted(points, key=lambda point: (-point.speedup, -point.accuracy)):
        if point.accuracy > best:
            best = point.accuracy
            found.append(point)
    return found[::-1]


def _is_measured(row: dict[str, str]) -> bool:
    """Return whether all numbers are given; a missing cell is an error that is found later."""
    return all(row[name] != "" for name in NUMBERS)


def _point(row: dict[str, str], line: int, file: Path) -> Point:
    """Check the values of a row and return it as a point."""
    try:
        numbers = {name: float(row[name]) for name in NUMBERS}
    except (TypeError, ValueError) as error:
        raise InputError(f"{file.name}, line {line}: {error}; {', '.join(NUMBERS)} must be numbers.") from error
    low, value, high = (numbers[name] for name in ("accuracy_low", "accuracy", "accuracy_high"))
    if not (
        0 <= low <= value <= high <= 1 and 0 < numbers["speedup"] < math.inf and 0 < numbers["megabytes"] < math.inf
    ):
        raise InputError(
            f"{file.name}, line {line}: accuracy must be in its interval and in [0, 1], and speedup and "
            f"megabytes must be above 0; got {numbers}."
        )
    folder = file.parent / (row["folder"] or "")
    if ".." in folder.parts[len(file.parent.parts) :] or not folder.is_relative_to(file.parent):
        raise InputError(f"{file.name}, line {line}: the folder {row['folder']!r} is outside the folder of the sweep.")
    kept = bool(row["folder"]) and all((folder / name).is_dir() for name in ("baseline", "compressed"))
    agreed = row.get("metric") == AGREEMENT
    return Point(row["name"] or "", **numbers, folder=folder if kept else None, is_agreement=agreed)
