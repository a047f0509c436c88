"""Sweep: the models of several sizes that `sweep.csv` lists, in the run's folder or beside it.

A row is a run, or a file that was exported from one. Its columns, in any order and among others that are not read:

    name            what the point is called, with what runs it where that is not PyTorch
    accuracy        of the compressed model, a fraction in [0, 1]
    accuracy_low    lower end of its 95 % interval
    accuracy_high   upper end of it
    speedup         median time of the baseline over that of the compressed model
    megabytes       of its weights, 10^6 bytes each
    folder          of the run, relative to the file; empty where the models were not kept

A row in which one of the numbers is empty was not measured, and is left out.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from trainer_ext import InputError

FILE_NAME = "sweep.csv"
NUMBERS = ("accuracy", "accuracy_low", "accuracy_high", "speedup", "megabytes")
COLUMNS = ("name", *NUMBERS, "folder")
MOST_POINTS = 60  # more cannot be told apart


@dataclass(frozen=True)
class Point:
    """One row; `folder` is None where there are no two models to open."""

    name: str
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    speedup: float
    megabytes: float
    folder: Path | None


def find_sweep(compressed: str) -> Path | None:
    """The file that belongs to this compressed model: beside it, in its run, or beside its run."""
    if not Path(compressed).is_dir():
        return None
    places = (Path(compressed).resolve(), *Path(compressed).resolve().parents)[:3]
    return next((place / FILE_NAME for place in places if (place / FILE_NAME).is_file()), None)


def read_sweep(file: Path) -> list[Point]:
    """The points of a sweep.

    Raises:
        InputError: a column is missing, a number is none or out of its range, there are too many rows or none, or the
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
        raise InputError(f"{file.name} is no table in UTF-8 ({error}); write it again.") from error
    if not 1 <= len(points) <= MOST_POINTS:
        raise InputError(f"{file.name} has {len(points)} rows; this page shows 1 to {MOST_POINTS}.")
    return points


def frontier(points: list[Point]) -> list[Point]:
    """The points that no other one beats, being at least as accurate and as fast and better in one; slowest first."""
    best, found = -math.inf, []
    for point in sorted(points, key=lambda point: (-point.speedup, -point.accuracy)):
        if point.accuracy > best:
            best = point.accuracy
            found.append(point)
    return found[::-1]


def _is_measured(row: dict[str, str]) -> bool:
    """Whether no number was left empty; a cell that is not there at all is another matter."""
    return all(row[name] != "" for name in NUMBERS)


def _point(row: dict[str, str], line: int, file: Path) -> Point:
    try:
        numbers = {name: float(row[name]) for name in NUMBERS}
    except (TypeError, ValueError) as error:
        raise InputError(f"{file.name}, line {line}: {error}; {', '.join(NUMBERS)} are numbers.") from error
    low, value, high = (numbers[name] for name in ("accuracy_low", "accuracy", "accuracy_high"))
    if not (
        0 <= low <= value <= high <= 1 and 0 < numbers["speedup"] < math.inf and 0 < numbers["megabytes"] < math.inf
    ):
        raise InputError(
            f"{file.name}, line {line}: accuracy must lie in its interval and in [0, 1], and speedup and megabytes "
            f"above 0; got {numbers}."
        )
    folder = file.parent / (row["folder"] or "")
    if ".." in folder.parts[len(file.parent.parts) :] or not folder.is_relative_to(file.parent):
        raise InputError(f"{file.name}, line {line}: the folder {row['folder']!r} leads out of that of the sweep.")
    kept = bool(row["folder"]) and all((folder / name).is_dir() for name in ("baseline", "compressed"))
    return Point(row["name"] or "", **numbers, folder=folder if kept else None)
