"""Read and write `compression.json`, the source of every published number.

`encode` and `decode` turn any dataclass of this package into JSON values and back. Decoding is strict: the string "1" is
not a number, no field is ignored, and no number is NaN or infinite.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import GenericAlias
from typing import Any, TypeVar

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from ..errors import InputError, one_line
from ..utils.files import write_text
from .run_directory import FILE_NAME
from .schema import SCHEMA_VERSION, CompressionReport

_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
_SURROGATE = re.compile("[\ud800-\udfff]")
T = TypeVar("T")


def utc_now() -> str:
    """Return the current time in UTC as ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def save(report: CompressionReport, folder: str | os.PathLike[str]) -> Path:
    """Write `compression.json`; the file is never half written.

    Args:
        report: the numbers of a run.
        folder: created if missing.

    Returns:
        The path of the file.

    Raises:
        ValueError: A field is invalid, see `to_dict`; nothing is written.
    """
    target = Path(folder) / FILE_NAME
    write_text(target, to_json(report))
    return target


def load(path: str | os.PathLike[str]) -> CompressionReport:
    """Load a report.

    Args:
        path: `compression.json`, or the folder that contains it.

    Raises:
        InputError: There is no such file, or it is not a valid report (see `from_dict`).
    """
    path = Path(path)
    file = path / FILE_NAME if path.is_dir() else path
    hint = f"give the folder of a run or its {FILE_NAME}."
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"No report at {file}; {hint}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text: {error}; {hint}") from error
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}; {hint}") from error
    try:
        return from_json(text)
    except ValueError as error:
        raise InputError(f"{file}: {one_line(error, most=600)}") from error


def to_json(report: CompressionReport) -> str:
    """Return the text of `compression.json`; raises as `to_dict` does."""
    return json.dumps(to_dict(report), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str) -> CompressionReport:
    """Return the report in the text of `compression.json`; raises as `from_dict` does, and if the text is not JSON."""
    try:
        return from_dict(json.loads(text))
    except json.JSONDecodeError as error:
        raise ValueError(f"{FILE_NAME} is not JSON: {error}. Write it again with trainer-ext compress.") from error
    except RecursionError as error:
        raise ValueError(f"{FILE_NAME} is nested too deeply; is this file a report?") from error


def to_dict(report: CompressionReport) -> dict[str, Any]:
    """Return a report as JSON values; NumPy scalars become Python numbers.

    Raises:
        ValueError: A field has the wrong type or is out of range, NaN or infinite; the message names the field.
    """
    values = encode(report)
    from_dict(values)
    return values


def from_dict(values: Mapping[str, Any]) -> CompressionReport:
    """Return the report that JSON values describe.

    Raises:
        ValueError: The schema version is newer, or a field is unknown, missing, of the wrong type, out of range, NaN or
            infinite; the message names the field.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{FILE_NAME} contains {type(values).__name__}, not an object; is this file a report?")
    check_version(values, SCHEMA_VERSION)
    return decode(CompressionReport, values)


def check_version(values: Mapping[str, Any], newest: int) -> None:
    """Check the `schema_version` of a file before its fields are read.

    Args:
        values: what the file holds.
        newest: the version that this package writes.

    Raises:
        ValueError: The version is newer, or not a version at all.
    """
    version = values.get("schema_version")
    if type(version) is not int or version < 1:
        raise ValueError(
            f"schema_version: got {version!r}, expected an integer >= 1; did trainer-ext write this file?"
        )
    if version > newest:
        raise ValueError(
            f"schema_version: the file has version {version}, this package reads up to {newest}. Upgrade it: pip install -U trainer-ext"
        )


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of `compression.json`."""
    schema = _adapter(CompressionReport).json_schema()
    for part in schema["$defs"].values():
        if "properties" in part:
            part.setdefault("additionalProperties", False)  # which pydantic before 2.14 leaves out
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema["items"], "$defs": schema["$defs"]}


def encode(value: Any, name: str = "") -> Any:
    """Return a dataclass as JSON values; NumPy scalars become Python ones, tuples become lists.

    Args:
        value: a dataclass, or what its fields hold.
        name: path of the value, for messages.

    Raises:
        ValueError: JSON cannot represent a value (another type, a key that is not a string, NaN, infinity, a lone
            surrogate).
    """
    if dataclasses.is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {encode(_key(key, name), name): encode(item, _join(name, key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item, f"{name}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name}: got {value}, expected a finite number; write null for what was not measured.")
    if isinstance(value, str) and _SURROGATE.search(value):
        raise ValueError(f"{name}: {ascii(value)[:80]} contains a lone surrogate, which UTF-8 cannot represent.")
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise ValueError(f"{name}: got a {type(value).__name__}, expected a number, string, list or dictionary.")


def decode(kind: type[T], value: Any) -> T:
    """Return the object of a type that JSON values describe.

    Args:
        kind: a dataclass, or a list of one.
        value: what `encode` returned, or the same from a file.

    Raises:
        ValueError: A field is unknown, missing, of the wrong type, out of range, NaN or infinite; the message names it.
    """
    try:
        adapter = _adapter(kind)  # type: ignore[arg-type]  # mypy takes type[T] for unhashable
        return adapter.validate_json(f"[{json.dumps(encode(value))}]")[0]
    except ValidationError as error:
        raise ValueError(_describe(error.errors()[0])) from error


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[list[Any]]:
    """Return a strict adapter of `list[kind]`: pydantic takes a configuration for a list, but not for a dataclass."""
    items: Any = GenericAlias(list, (kind,))
    return TypeAdapter(items, config=_STRICT)


def _describe(error: ErrorDetails) -> str:
    """Word what pydantic found: the path of the field, its value, and what is expected."""
    name = ""
    for part in error["loc"][1:]:  # the first is the list of `_adapter`
        name = f"{name}[{part}]" if isinstance(part, int) else _join(name, part)
    match error["type"]:
        case "json_invalid":
            return "The values are nested too deeply; is this file a report?"
        case "missing":
            return f"{name}: missing; write null for what was not measured."
        case "unexpected_keyword_argument":
            return f"{name}: unknown field; written by another version, or misspelt?"
    value = error["input"]
    expected = error["msg"].removeprefix("Input should be ")
    return f"{name or 'report'}: got {value!r:.80} ({type(value).__name__}), expected {expected}."


def _key(key: Any, name: str) -> str:
    if not isinstance(key, str):
        raise ValueError(f"{name}: key {key!r} is not a string; the keys of a JSON object are strings.")
    return key


def _join(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key
