"""Batch input: texts from a file or a text box, with labels where there are some, or one line that says why not."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from compare import MOST_CHARACTERS, check_text

from trainer_ext import InputError
from trainer_ext.data.arguments import DataArguments
from trainer_ext.data.readers import read_texts
from trainer_ext.data.records import Example, Examples, listed, read_text
from trainer_ext.report.schema import CompressionReport
from trainer_ext.tasks.registry import task_of

MOST_ROWS = 5_000
MOST_BYTES = 4_000_000
KINDS = [".csv", ".txt"]
PASTED = Path("the pasted texts")
_ON_THE_PAGE = {"--text_column": "the text column", "--label_column": "the label column", "--test_file": "the file"}
_OF_A_RUN = ("text_column", "label_column", "label_separator", "max_length")


def arguments(report: CompressionReport | None, problem_type: str | None) -> DataArguments:
    """How the run read its data, as its report tells; without a run each model reads as much as it can."""
    told = report.recipe if report else {}
    args = DataArguments(problem_type=problem_type)
    if not told:
        return replace(args, max_length=MOST_CHARACTERS)
    args = replace(
        args, **{name: _told(told[name], like=getattr(args, name), name=name) for name in _OF_A_RUN if name in told}
    )
    if args.max_length < 1:
        raise InputError(f"The report says max_length={args.max_length}; a text has a token or more.")
    return args


def _told(value: Any, *, like: Any, name: str) -> Any:
    """A field of the recipe as the type that it has here; a number may be written as a word."""
    try:
        if isinstance(value, str | int):
            return type(like)(value)
    except ValueError:
        pass
    raise InputError(f"The report says {name}={value!r}, which is no {'number' if isinstance(like, int) else 'word'}.")


def read_texts_of(file: Path | None, pasted: str, args: DataArguments) -> Examples:
    """The texts that were given in one of the two ways.

    Args:
        file: a CSV file with a header, or a TXT file with a text per line.
        pasted: a text per line.
        args: names the columns of a CSV file; with an empty `label_column` its rows have no labels.

    Returns:
        The rows and how many were left out for which reason, as the package's own reading has it.

    Raises:
        InputError: nothing or both were given, too much, or what cannot be read; a text is too long.
    """
    if file is None:
        return _checked(_lines(pasted), PASTED)
    if pasted.strip():
        raise InputError("There are pasted texts and a file; remove one of them.")
    with _named(file):
        if file.suffix.lower() == ".txt":
            _check_bytes(file)
            return _checked(_lines(read_text(file)), Path(file.name))
        if file.suffix.lower() != ".csv":
            raise InputError(f"{file} is none of the kinds that this page reads: {', '.join(KINDS)}.")
        _check_bytes(file)
        if not args.text_column:
            raise InputError(f"Name the column of the texts; {file} has {listed(columns_of(file))}.")
        return _checked((task_of(args).read if args.label_column else read_texts)(file, args), Path(file.name))


def columns_of(file: Path) -> list[str]:
    """The header of a CSV file; no columns where another kind of file has none.

    Raises:
        InputError: it cannot be read.
    """
    if file.suffix.lower() != ".csv":
        return []
    with _named(file):
        _check_bytes(file)
        first = next(csv.reader(io.StringIO(read_text(file), newline="")), [])
    return [cell.strip() for cell in first if cell.strip()]


def likely(columns: list[str], *names: str) -> str:
    """The first of the columns that is called like one of the names, whatever its case; empty where none is."""
    by_name = {column.casefold(): column for column in reversed(columns)}
    return next((by_name[name.casefold()] for name in names if name.casefold() in by_name), "")


def _lines(text: str) -> Examples:
    lines = [line.strip() for line in io.StringIO(text.strip(), newline=None)]
    rows = tuple(Example(line, "") for line in lines if line)
    return Examples(rows, Counter({"empty": len(lines) - len(rows)} if len(rows) < len(lines) else {}))


def _checked(table: Examples, source: Path) -> Examples:
    """The table, if it is no more than this page takes."""
    if not table.rows:
        raise InputError("There is no text; paste some, one per line, or choose a file.")
    if len(table.rows) > MOST_ROWS:
        raise InputError(
            f"{source} has {len(table.rows):,} texts; this page takes at most {MOST_ROWS:,}: give a part of them."
        )
    if sum(len(row.text) for row in table.rows) > MOST_BYTES:
        raise InputError(f"{source} is longer than {MOST_BYTES:,} characters; give a part of it.")
    for number, row in enumerate(table.rows, start=1):
        try:
            check_text(row.text)
            row.text.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"{source}, text {number:,}: it holds half a character; write it again.") from error
        except InputError as error:
            raise InputError(f"{source}, text {number:,}: {error}") from error
    return table


def _check_bytes(file: Path) -> None:
    size = file.stat().st_size
    if size > MOST_BYTES:
        raise InputError(f"{file} has {size:,} bytes; this page takes at most {MOST_BYTES:,}: give a part of it.")
    if b"\0" in file.read_bytes():
        raise InputError(
            f"{file} is no text file in UTF-8: it holds zero bytes, as spreadsheets (.xlsx), pictures and UTF-16 do; "
            "save the table as CSV in UTF-8."
        )


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Let messages name the file and the page's own fields, not where the file lies here and the command line's."""
    try:
        yield
    except csv.Error as error:
        raise InputError(f"{file.name} is not readable as CSV ({error}).") from error
    except InputError as error:
        message = str(error).replace(str(file), file.name)
        for option, field in _ON_THE_PAGE.items():
            message = message.replace(option, field)
        raise InputError(message) from error
