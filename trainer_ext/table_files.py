"""Table files: the rows of a CSV, TSV or JSON Lines file as cells of text, each with its line, or one line that says why not.

The ending says which: `.tsv` has tabs between its cells; `.jsonl`, `.ndjson` and `.json` have an object on each line, whose
keys are the columns; everything else is CSV. Reading is strict: UTF-8 (a byte order mark is allowed), a header in CSV and
TSV, as many cells in each row as there, every quote closed, no key twice.
"""

import csv
import io
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from .errors import InputError
from .rows import NO_TEXT, read_text

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
_OBJECTS = frozenset({".jsonl", ".ndjson", ".json"})

Records = list[tuple[int, list[str]]]


def read_records(path: Path, wanted: Mapping[str, str | None]) -> tuple[list[str], Records]:
    """The columns of a file, and its rows that are not blank.

    Args:
        path: The file.
        wanted: Columns that are read; of JSON Lines others may hold anything. Each with what is put between the words
            of a list there, or None where no list may be.

    Returns:
        Header, and per row the line it ends on (from 1) and its cells: as many as the header has. A value that JSON Lines
        lack, or have as null, is an empty cell.

    Raises:
        InputError: The file cannot be read, is empty, or a row cannot be one.
    """
    kind = path.suffix.lower()
    if kind in _OBJECTS:
        return _objects(path, wanted)
    return _cells(path, wanted, "\t" if kind == ".tsv" else ",")


def plain(cell: str) -> str:
    """A cell without white space around it (nor the byte order marks that joined files leave inside)."""
    return cell.strip().strip("\ufeff").strip()


def _cells(path: Path, wanted: Collection[str], delimiter: str) -> tuple[list[str], Records]:
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True, delimiter=delimiter)
    try:
        records = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise InputError(
            f"{path}, line {reader.line_num}: not readable as {'CSV' if delimiter == ',' else 'TSV'} ({error}); "
            "close every double quote and write a quote inside a text twice."
        ) from error
    if not records:
        raise InputError(f"{path} is empty; it needs a header row ({delimiter.join(wanted)}) and rows below it.")
    header = [plain(cell) for cell in records[0][1]]
    for line, cells in records[1:]:
        if len(cells) != len(header):
            raise InputError(
                f"{path}, line {line}: {len(cells)} cells where the header has {len(header)}; put a text that holds "
                f'{"commas" if delimiter == "," else "tabs"} or line breaks between double quotes ("...").'
            )
    return header, records[1:]


def _objects(path: Path, wanted: Mapping[str, str | None]) -> tuple[list[str], Records]:
    rows: list[tuple[int, dict[str, Any]]] = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line, object_pairs_hook=_once)
        except (ValueError, RecursionError) as error:
            why = error
            if isinstance(error, json.JSONDecodeError):
                why = f"{error.msg} at character {error.colno}"  # without the line, which is always its first
            elif isinstance(error, RecursionError):
                why = "it is too deep"
            raise InputError(
                f"{path}, line {number}: not readable as JSON Lines ({why}); write one object on each line."
            ) from error
        if not isinstance(found, dict):
            raise InputError(
                f"{path}, line {number}: {line[:40]!r} is no JSON object; write one on each line, such as "
                '{"text": "...", "label": "..."}.'
            )
        rows.append((number, found))
    if not rows:
        raise InputError(f"{path} is empty; it needs an object on each line, with the keys {', '.join(wanted)}.")
    header = list(dict.fromkeys(name for _, row in rows for name in row))
    records = []
    for number, row in rows:
        try:
            cells = {name: _word(row[name], mark) for name, mark in wanted.items() if name in row}
        except ValueError as error:
            raise InputError(f"{path}, line {number}: {error}") from None
        records.append((number, [cells.get(name, "") for name in header]))
    return header, records


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found


def _word(value: Any, separator: str | None) -> str:
    """A value of JSON as a CSV file would have it."""
    if isinstance(value, list) and separator is not None:
        words = [_word(part, None) for part in value]
        if mixed := [word for word in words if separator in word]:
            raise ValueError(f"{mixed[0]!r} holds {separator!r}; choose another --label_separator.")
        return separator.join(words)
    if isinstance(value, list | dict):
        raise ValueError(f"{json.dumps(value)[:80]} stands where a text or a label is wanted; write a string.")
    if isinstance(value, str):
        if NO_TEXT.search(value):
            raise ValueError(f"{ascii(value)[:80]} holds a zero byte or half a character; write it again.")
        return value
    return "" if value is None else json.dumps(value)
