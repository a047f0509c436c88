"""The header and the cells of CSV, TSV and JSON files, as spreadsheets, databases and pandas write them.

The suffix says which delimiter is tried first; the header decides.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from .records import NO_TEXT, lines_of, read_text

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_JSON = frozenset({".jsonl", ".ndjson", ".json"})
# The first line that Excel understands. What has a meaning of its own in a table cannot stand between cells.
_NAMED_DELIMITER = re.compile(r'"?sep=([^"\\\r\n])"?(?:\r\n|\r|\n|$)', re.IGNORECASE)
_BLANKS = re.compile(r"\s*")
_BACKSLASH = re.compile(r'\\(["\\])?')
_GIANT = 2**17  # characters of a cell, above which the csv module refuses it unless it is told otherwise
_LIMIT = threading.RLock()  # the largest cell is a setting of the whole process
Records = list[tuple[int, list[str]]]  # line number and cells
_Rows = list[tuple[int, int, list[str]]]  # first line, last line and cells


def plain(cell: str) -> str:
    """Return a cell without surrounding white space and byte order marks, which joined files have inside."""
    return cell.strip().strip("\ufeff").strip()


def read_records(path: Path, wanted: Mapping[str, str | None]) -> tuple[list[str], Records, str]:
    """Return the header of a CSV, TSV or JSON file, and its rows that are not blank.

    `.jsonl`, `.ndjson` and `.json` files have one object per line, or are one array of objects; the keys are the columns.
    All others have a header, and a delimiter between cells: a tab in `.tsv` files and else a comma, if the header has the
    wanted columns so, or else another one of `DELIMITERS`.

    Args:
        path: the file.
        wanted: the columns to read. The value is the separator for lists in JSON, or None where a list is an error.

    Returns:
        The header, and per row the line on which it ends (from 1) and its cells, as many as the header has. A missing key
        or a null is an empty cell. If the header lacks a wanted column, there may be no rows. Third, a line that says what
        was read in another way than the suffix says, or "".

    Raises:
        InputError: The file cannot be read or is empty, or a row is not valid.
    """
    return (_read_json if path.suffix.lower() in _JSON else _read_cells)(path, wanted)


def read_header(path: Path) -> list[str]:
    """Return the names of the columns of a CSV or TSV file, by the delimiter that gives most of them.

    Raises:
        InputError: The file or its header cannot be read, or the file is empty.
    """
    headers, lines, before = _headers(path)
    mark = max(headers, key=lambda mark: len(headers[mark]))
    header = headers[mark]
    if not header:
        raise InputError(f"{path} is empty; it needs a header row and rows below it.")
    if _is_odd(header):
        header = _table(path, lines, mark, before, ())[0]
    if (longest := max(map(len, header))) > _GIANT:
        raise InputError(
            f"{path}, line 1: a cell of {longest:,} characters names no column; write a header row above."
        )
    return header


def table_columns(path: Path) -> list[str]:
    """Return the names of the columns of a table of any kind; of a JSON file those of all its objects.

    Raises:
        InputError: The file cannot be read, or holds nothing.
    """
    return read_records(path, {})[0] if path.suffix.lower() in _JSON else read_header(path)


def _headers(path: Path) -> tuple[dict[str, list[str]], list[str], int]:
    """Return the header as each delimiter gives it, that of the suffix first; the lines; the number of lines before them."""
    text, before = read_text(path), 0
    own = "\t" if path.suffix.lower() == ".tsv" else ","
    marks = [own, *(mark for mark in DELIMITERS if mark != own)]
    if named := _NAMED_DELIMITER.match(text):
        marks, before, text = [named[1]], 1, text[named.end() :]
    lines = io.StringIO(text, newline="").readlines()
    return {mark: _header(lines, mark) for mark in marks}, lines, before


def _read_cells(path: Path, wanted: Collection[str]) -> tuple[list[str], Records, str]:
    headers, lines, before = _headers(path)
    own = next(iter(headers))
    if not headers[own]:
        raise InputError(f"{path} is empty; it needs a header row ({own.join(wanted)}) and rows below it.")
    mark = next((mark for mark in headers if _has(headers[mark], wanted, alone=mark == own)), None)
    if mark is None:
        mark = max(headers, key=lambda mark: len(headers[mark]))
        try:
            return *_table(path, lines, mark, before, wanted)[:2], ""
        except InputError:  # less telling than what the header lacks, which the caller says
            if _is_odd(headers[mark]):
                raise
            return headers[mark], [], ""
    header, rows, notes = _table(path, lines, mark, before, wanted)
    if mark != own:
        notes.insert(0, f"{DELIMITERS[mark]} between the cells")
    return header, rows, f"{path} is read with {' and '.join(notes)}." if notes else ""


def _header(lines: Sequence[str], mark: str) -> list[str]:
    """Return the first row that is not blank."""
    with _any_length(lines):
        rows = (list(map(plain, cells)) for cells in csv.reader(lines, delimiter=mark))
        return next((cells for cells in rows if any(cells)), [])


def _is_odd(header: Sequence[str]) -> bool:
    """Return whether a header looks as if a quote in it were not closed."""
    return any(len(cell) > _GIANT or len(cell.splitlines()) > 1 for cell in header)


@contextlib.contextmanager
def _any_length(lines: Sequence[str]) -> Iterator[None]:
    """Let the csv module read cells of any length meanwhile."""
    with _LIMIT:
        before = csv.field_size_limit()
        csv.field_size_limit(max(before, min(sum(map(len, lines)) + 1, 2**31 - 1)))  # a C long has 32 bits on Windows
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _has(header: Sequence[str], wanted: Collection[str], *, alone: bool) -> bool:
    return set(wanted) <= set(header) and (alone or len(header) > 1)


def _table(
    path: Path, lines: Sequence[str], mark: str, before: int, wanted: Collection[str]
) -> tuple[list[str], Records, list[str]]:
    """Return the header, the rows, and what was read in an unusual way.

    Args:
        path: the file, for messages.
        lines: its lines, with their ends.
        mark: the delimiter.
        before: number of lines before these, for messages.
        wanted: the columns to read.

    Raises:
        InputError: The rows cannot be told apart.
    """
    notes: list[str] = []
    try:
        rows = _rows(lines, mark, before)
        joined = next(_joined(rows, lines, mark), None)
        if joined is not None:
            raise ValueError(
                f"line {joined[0] + before}: a double quote makes one text of this line and the next ones, to line "
                f"{joined[1] + before}, and they look like rows of their own; write each quote inside a text twice, and "
                "such a text between quotes, or take single quotes out."
            )
    except ValueError as error:
        found = _read_otherwise(lines, mark, before, wanted)
        if found is None:
            raise InputError(f"{path}, {error}") from error
        rows, note = found
        notes.append(note)
    header = [plain(cell) for cell in rows[0][2]]
    return header, [(end + before, cells) for _, end, cells in rows[1:]], notes


def _rows(lines: Sequence[str], mark: str, before: int, **options: Any) -> _Rows:
    """Return the rows that are not blank, the header among them; all have as many cells, or a `ValueError` is raised."""
    reader = csv.reader(lines, strict=True, delimiter=mark, **options)
    rows: _Rows = []
    start = 1
    try:
        with _any_length(lines):
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    rows.append((start, reader.line_num, cells))
                start = reader.line_num + 1
    except csv.Error as error:
        last = f" to {reader.line_num + before}" if reader.line_num > start else ""
        raise ValueError(
            f"line {start + before}{last}: not readable as {'TSV' if mark == chr(9) else 'CSV'} ({error}); "
            "close every double quote and write a quote inside a text twice."
        ) from error
    width = len(rows[0][2]) if rows else 0
    if len(rows) > 1 and all(len(cells) == width + 1 and not plain(cells[-1]) for _, _, cells in rows[1:]):
        rows[1:] = [(start, end, cells[:-1]) for start, end, cells in rows[1:]]  # a delimiter at the end of each line
    if len(rows) > 1 and [cells[:-width] for _, _, cells in rows[1:]] == [[str(n)] for n in range(1, len(rows))]:
        rows[1:] = [
            (start, end, cells[1:]) for start, end, cells in rows[1:]
        ]  # R numbers rows in a column without a name
    for _, end, cells in rows:
        if len(cells) != width:
            raise ValueError(
                f"line {end + before}: {len(cells)} cells where the header has {width}; put a text that holds "
                f'{DELIMITERS.get(mark, repr(mark))} or line breaks between double quotes ("..."), and write empty '
                "cells at the end of a row too."
            )
    return rows


def _joined(rows: _Rows, lines: Sequence[str], mark: str) -> Iterator[tuple[int, int]]:
    """Yield the first and last lines of rows with a quoted cell that has swallowed others.

    Each of its lines has as many cells as the header, and in one column all of them have values of other rows, such as
    class names. In text between tabs, and in a giant cell, the first is enough.
    """
    width = len(rows[0][2]) if rows else 0
    joined = [row for row in rows[1:] if row[0] < row[1]]
    if not joined:
        return
    whole = [cells for start, end, cells in rows[1:] if start == end]
    known = [{plain(cells[column]) for cells in whole} - {""} for column in range(width)]
    for start, end, cells in joined:
        giant = max(map(len, cells)) > _GIANT
        parts = [line.rstrip("\r\n").split(mark) for line in lines[start - 1 : end]]
        if all(len(part) == width for part in parts) and (
            giant
            or width > 1
            and (
                mark == "\t"
                or any(all(plain(part[column]) in known[column] for part in parts) for column in range(width))
            )
        ):
            yield start, end


def _read_otherwise(lines: Sequence[str], mark: str, before: int, wanted: Collection[str]) -> tuple[_Rows, str] | None:
    r"""Return the rows with quotes written \" as MySQL and Spark do, or between tabs with quotes that mean nothing."""
    if any('\\"' in line for line in lines):
        escaped = [_BACKSLASH.sub(lambda found: found[0] if found[1] else "\\\\", line) for line in lines]
        try:
            rows = _rows(escaped, mark, before, escapechar="\\")
            if not any(_joined(rows, escaped, mark)):
                return rows, 'quotes inside texts written \\"'
        except ValueError:
            pass
    if mark != "\t":
        return None  # a text with a comma is quoted, so quotes have a meaning
    try:
        rows = _rows(lines, mark, before, quoting=csv.QUOTE_NONE)
    except ValueError:
        return None
    as_written_with_quotes = any(
        len(cell) > 2 and cell[0] == cell[-1] == '"' and '""' in cell[1:-1] for _, _, cells in rows for cell in cells
    )
    if as_written_with_quotes or not _has([plain(cell) for cell in rows[0][2]], wanted, alone=True):
        return None
    return rows, "double quotes as part of the texts"


def _read_json(path: Path, wanted: Mapping[str, str | None]) -> tuple[list[str], Records, str]:
    text = read_text(path)
    values = _array(text, path) if text.lstrip().startswith("[") else _json_lines(text, path)
    rows: list[tuple[int, dict[str, Any]]] = []
    for number, found in values:
        if not isinstance(found, dict):
            raise InputError(
                f"{path}, line {number}: {json.dumps(found, ensure_ascii=False)[:40]!r} is not a JSON object; write one "
                'on each line, such as {"text": "...", "label": "..."}.'
            )
        rows.append((number, found))
    if not rows:
        raise InputError(f"{path} is empty; it needs an object on each line, with the keys {', '.join(wanted)}.")
    header = list(dict.fromkeys(name for _, row in rows for name in row))
    records = []
    for number, row in rows:
        try:
            cells = {name: _as_cell(row[name], separator) for name, separator in wanted.items() if name in row}
        except ValueError as error:
            raise InputError(f"{path}, line {number}: {error}") from None
        records.append((number, [cells.get(name, "") for name in header]))
    return header, records, ""


def _json_lines(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    """Yield the line and the value of each line."""
    for number, line in enumerate(lines_of(text), start=1):
        if line.strip():
            try:
                yield number, json.loads(line, object_pairs_hook=_unique_keys)
            except (ValueError, RecursionError) as error:
                raise _not_json(path, number, error) from error


def _array(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    """Yield the first line and the value of each element of one array."""
    decoder = json.JSONDecoder(object_pairs_hook=_unique_keys)
    at, line, counted, comma = text.index("[") + 1, 1, 0, ""
    try:
        while (at := _behind_blanks(text, at)) == len(text) or text[at] != "]":
            if not text.startswith(comma, at):
                raise ValueError("a comma or ] is missing")
            at = _behind_blanks(text, at + len(comma))
            value, end = decoder.raw_decode(text, at)
            line, counted = line + text.count("\n", counted, at), at
            yield line, value
            at, comma = end, ","
        if text[at + 1 :].strip():
            raise ValueError("there is something behind the array")
    except (ValueError, RecursionError) as error:
        raise _not_json(path, line + text.count("\n", counted, at), error) from error


def _behind_blanks(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return found.end() if found else at


def _not_json(path: Path, line: int, error: Exception) -> InputError:
    why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    if isinstance(error, json.JSONDecodeError):
        why = f"{error.msg} at character {error.colno}"  # without the line number, which is that of a part
    return InputError(
        f"{path}, line {line}: not readable as JSON Lines ({why}); write one object on each line, or one array of them."
    )


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found


def _as_cell(value: Any, separator: str | None) -> str:
    """Return a JSON value as a cell of a CSV file."""
    if isinstance(value, list) and separator is not None:
        words = [_as_cell(item, None) for item in value]
        if bad := [word for word in words if separator in word]:
            raise ValueError(f"{bad[0]!r} holds {separator!r}; choose another --label_separator.")
        return separator.join(words)
    if isinstance(value, list | dict):
        hint = ", or for several classes give --problem_type multi_label_classification"
        if isinstance(value, dict):
            hint = " (pandas: to_json(orient='records', lines=True))"
        raise ValueError(f"{json.dumps(value)[:80]} is not a text or a label; write a string{hint}.")
    if isinstance(value, str):
        if NO_TEXT.search(value):
            raise ValueError(f"{ascii(value)[:80]} holds a zero byte or half a character; write it again.")
        return value
    return "" if value is None else json.dumps(value)
