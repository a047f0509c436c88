"""The report: compression.json written and read, the one source of every published number.

Its parts are the frozen dataclasses of :mod:`trainer_ext.report.schema`, importable from here.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import InputError, one_line
from . import schema
from .schema import (
    SCHEMA_VERSION,
    ClassPair,
    ClassScores,
    CompressionReport,
    Data,
    Difference,
    Equivalence,
    Export,
    Inference,
    Latency,
    Model,
    Pair,
    Parameters,
    Quality,
    Scores,
    Sparsity,
    TrainingCost,
    Vocabulary,
)

FILE_NAME = "compression.json"

__all__ = [
    "FILE_NAME",
    "SCHEMA_VERSION",
    "ClassPair",
    "ClassScores",
    "CompressionReport",
    "Data",
    "Difference",
    "Equivalence",
    "Export",
    "Inference",
    "Latency",
    "Model",
    "Pair",
    "Parameters",
    "Quality",
    "Scores",
    "Sparsity",
    "TrainingCost",
    "Vocabulary",
    "from_dict",
    "from_json",
    "load",
    "save",
    "to_dict",
    "to_json",
    "utc_now",
]


def utc_now() -> str:
    """The present moment as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def to_dict(report: CompressionReport) -> dict[str, Any]:
    """The report as plain JSON values, checked; NumPy scalars become Python numbers.

    Raises:
        ValueError: a field has the wrong type, is out of range, NaN or infinite; the message has its dotted name.
    """
    values = schema.encode(report)
    from_dict(values)
    return values


def to_json(report: CompressionReport) -> str:
    """The report as the text of compression.json; raises as :func:`to_dict` does."""
    return json.dumps(to_dict(report), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def from_dict(values: Mapping[str, Any]) -> CompressionReport:
    """The report that these JSON values describe.

    Raises:
        ValueError: another schema version, an unknown or missing field, a wrong type, a number out of range or not
            finite; the message has the dotted name of the field.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{FILE_NAME} holds {type(values).__name__}, not an object; is this file a report?")
    version = values.get("schema_version")
    if type(version) is not int or version < 1:
        raise ValueError(f"schema_version: got {version!r}, a report has an integer >= 1; is this file a report?")
    if version > SCHEMA_VERSION:
        raise ValueError(
            f"schema_version: this report has version {version}, this package reads up to {SCHEMA_VERSION}. "
            "Upgrade it: pip install -U trainer-ext"
        )
    return schema.decode(CompressionReport, values)


def from_json(text: str) -> CompressionReport:
    """The report in the text of compression.json; raises as :func:`from_dict` does, and on text that is not JSON."""
    try:
        return from_dict(json.loads(text))
    except json.JSONDecodeError as error:
        raise ValueError(f"{FILE_NAME} is not JSON: {error}. Write it again with trainer-ext compress.") from error
    except RecursionError as error:
        raise ValueError(f"{FILE_NAME} is too deep: no report has so many levels; is this file a report?") from error


def save(report: CompressionReport, folder: str | os.PathLike[str]) -> Path:
    """Write compression.json into the folder, made if absent, whole or not at all; returns the file's path."""
    text = to_json(report)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / FILE_NAME
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=f".{FILE_NAME}.")
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(name, 0o644)  # mkstemp makes it private; a report is meant to be read
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return target


def load(path: str | os.PathLike[str]) -> CompressionReport:
    """Read a report from its file, or from the folder that holds it.

    Raises:
        InputError: there is no such file, or it is no report of this version (see :func:`from_dict`).
    """
    path = Path(path)
    file = path / FILE_NAME if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"No report at {file}; give a run folder or its {FILE_NAME}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text: {error}; give a run folder or its {FILE_NAME}.") from error
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}; give a run folder or its {FILE_NAME}.") from error
    try:
        return from_json(text)
    except ValueError as error:
        raise InputError(f"{file}: {one_line(error, most=600)}") from error
