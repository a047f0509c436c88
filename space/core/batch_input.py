"""Read the texts to compare: from a file, from the text box, or from the test split of the run.

Error messages name the file and the fields of the page, not paths of this machine and options of the command line.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from core.compare import check_text
from core.limits import MOST_CHARACTERS
from trainer_ext import InputError
from trainer_ext.data.arguments import DataArguments
from trainer_ext.data.cleaning import evenly
from trainer_ext.data.readers import read_texts
from trainer_ext.data.records import Example, Examples, listed, read_text
from trainer_ext.data.tables import SUFFIXES as TABLES, table_columns
from trainer_ext.report.run_directory import RunDirectory
from trainer_ext.report.schema import CompressionReport
from trainer_ext.tasks.dataset import load_data
from trainer_ext.tasks.registry import task_of
from trainer_ext.utils.yaml import read_yaml

MOST_ROWS = 5_000
MOST_BYTES = 4_000_000
KINDS = [*TABLES, ".txt"]
PASTED = Path("the pasted texts")
_FIELDS_ON_THE_PAGE = {
    "--text_pair_column": "the column of the second text",
    "--text_column": "the text column",
    "--label_columns": "the label columns",
    "--label_column": "the label column",
    "--test_file": "the file",
}
_READ_AS = ("text_column", "label_column", "label_separator", "max_length", "doc_stride", "max_answer_length")


def arguments(
    report: CompressionReport | None, problem_type: str | None, *, task: str = DataArguments.task
) -> DataArguments:
    """Return how the run read its data, from its report; without a report, texts are cut only where the models cut them."""
    recipe = report.recipe if report else {}
    args = DataArguments(task=task, problem_type=problem_type)
    if not recipe:
        return replace(args, max_length=MOST_CHARACTERS)
    fields_of_run: dict[str, Any] = {
        name: _convert(recipe[name], like=getattr(args, name), name=name) for name in _READ_AS if name in recipe
    }
    if isinstance(recipe.get("text_pair_column"), str):
        fields_of_run["text_pair_column"] = recipe["text_pair_column"]
    if isinstance(recipe.get("label_columns"), list):
        fields_of_run["label_columns"] = [str(name) for name in recipe["label_columns"]]
    args = replace(args, **fields_of_run)
    if args.max_length < 1:
        raise InputError(f"The report has max_length={args.max_length}; it must be 1 or more.")
    return args


def _convert(value: Any, *, like: Any, name: str) -> Any:
    """Return a field of the recipe in the type of `like`; a number may be written as text."""
    try:
        if isinstance(value, str | int):
            return type(like)(value)
    except ValueError:
        pass
    raise InputError(f"The report has {name}={value!r}; it must be {'a number' if isinstance(like, int) else 'text'}.")


def read_texts_of(file: Path | None, pasted: str, args: DataArguments) -> Examples:
    """Read texts from a file or from the text box.

    Args:
        file: A table (CSV, TSV or JSON Lines), or a TXT file with one text per line.
        pasted: The text box, with one text per line, or with two and a tab between them if there is a `text_pair_column`.
        args: The columns of a table; if `label_column` is empty, its rows have no labels.

    Returns:
        The rows, and the number of rows left out by reason, as the command line reads and counts them.

    Raises:
        InputError: Nothing or both were given, the file cannot be read, or it or one of its texts is too long.
    """
    if file is None:
        return _checked(_lines(pasted, PASTED, args), PASTED)
    if pasted.strip():
        raise InputError("There are both pasted texts and a file; remove one of them.")
    with _named(file):
        if file.suffix.lower() == ".txt":
            _check_bytes(file)
            return _checked(_lines(read_text(file), file, args), Path(file.name))
        if not is_table(file):
            raise InputError(f"This page cannot read {file}; choose one of these kinds: {', '.join(KINDS)}.")
        _check_bytes(file)
        if not args.text_column:
            raise InputError(f"Choose the column of the texts; {file} has {listed(columns_of(file))}.")
        return _checked((task_of(args).read if args.label_column else read_texts)(file, args), Path(file.name))


def columns_of(file: Path) -> list[str]:
    """Return the column names of a table; none for other kinds of files.

    Raises:
        InputError: The file cannot be read.
    """
    if not is_table(file):
        return []
    with _named(file):
        _check_bytes(file)
        return [name for name in table_columns(file) if name]


def is_table(file: Path) -> bool:
    """Return whether a file is a table by its name: CSV, TSV or JSON."""
    return file.suffix.lower() in TABLES


def likely(columns: list[str], *names: str) -> str:
    """Return the column that matches the first possible name, ignoring case, or "" if there is none."""
    by_name = {column.casefold(): column for column in reversed(columns)}
    return next((by_name[name.casefold()] for name in names if name.casefold() in by_name), "")


def _lines(text: str, source: Path, args: DataArguments) -> Examples:
    """Return one row for each line that is not empty.

    Raises:
        InputError: A line should have two texts, and has not.
    """
    lines = [line.strip() for line in io.StringIO(text.strip(), newline=None)]
    rows = tuple(Example(line, "") for line in lines if line)
    if args.text_pair_column:
        halves = [[part.strip() for part in line.split("\t")] for line in lines]
        for number, (line, found) in enumerate(zip(lines, halves, strict=True), start=1):
            if line and not (len(found) == 2 and all(found)):
                raise InputError(
                    f"{source}, line {number}: the models read pairs, so a line needs two texts with one tab between them, as "
                    "a spreadsheet copies two columns."
                )
        rows = tuple(Example(found[0], "", found[1]) for line, found in zip(lines, halves, strict=True) if line)
    return Examples(rows, Counter({"empty": len(lines) - len(rows)} if len(rows) < len(lines) else {}))


def _checked(table: Examples, source: Path) -> Examples:
    """Return the table if the page can take it; else raise an InputError."""
    if not table.rows:
        raise InputError("There is no text; paste some, one per line, or choose a file.")
    if len(table.rows) > MOST_ROWS:
        raise InputError(
            f"{source} has {len(table.rows):,} texts; this page takes at most {MOST_ROWS:,}. Give a part of them."
        )
    if sum(len(row.text) + len(row.pair) for row in table.rows) > MOST_BYTES:
        raise InputError(f"{source} is longer than {MOST_BYTES:,} characters; give a part of it.")
    for number, row in enumerate(table.rows, start=1):
        try:
            for text in filter(None, (row.text, row.pair)):
                check_text(text)
                text.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"{source}, text {number:,} contains half a character; type it again.") from error
        except InputError as error:
            raise InputError(f"{source}, text {number:,}: {error}") from error
    return table


def _check_bytes(file: Path) -> None:
    size = file.stat().st_size
    if size > MOST_BYTES:
        raise InputError(f"{file} has {size:,} bytes; this page takes at most {MOST_BYTES:,}. Give a part of it.")
    if b"\0" in file.read_bytes():
        raise InputError(
            f"{file} is not a text file in UTF-8: it contains zero bytes, like spreadsheets (.xlsx), pictures and UTF-16. "
            "Save the table as CSV in UTF-8."
        )


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Change error messages: a file name in place of its path, fields of the page in place of options."""
    try:
        yield
    except InputError as error:
        message = str(error).replace(str(file), file.name)
        for option, field in _FIELDS_ON_THE_PAGE.items():
            message = message.replace(option, field)
        raise InputError(message) from error


def data_of_run(compressed: str) -> DataArguments | None:
    """Return where the data of a run are; None if there is no recipe, or its data are no longer on this machine.

    Args:
        compressed: The folder of the compressed model, or its Hub id, which has no run.
    """
    run = RunDirectory(Path(compressed).resolve().parent)
    if not run.recipe.is_file():
        return None
    values = read_yaml(run.recipe)
    args = DataArguments(**{field.name: values[field.name] for field in fields(DataArguments) if field.name in values})
    if not args.data_dir:
        return None
    folder = run.where_started(args.data_dir, [*args.train_files, args.test_file])
    return replace(args, data_dir=folder) if Path(folder).expanduser().is_dir() else None


def test_split(args: DataArguments, labels: list[str]) -> tuple[str, Examples]:
    """Read the test split that the run reports first.

    Args:
        args: How the run read its data.
        labels: Label names by class id.

    Returns:
        The name of the split, and its rows, cleaned as the command line cleans them.

    Raises:
        InputError: The files have changed and cannot be read.
    """
    data = load_data(args, labels=labels)
    name, split = next(iter(data.tests.items()))
    pairs = split["text_pair"] if "text_pair" in split.column_names else [""] * len(split)
    found = zip(split["text"], split["label"], pairs, strict=True)
    rows = [Example(text, _label(value, labels), pair) for text, value, pair in found]
    kept = evenly(rows, most=MOST_ROWS)
    part = f", {len(kept):,} of {len(rows):,} rows" if len(kept) < len(rows) else ""
    dropped = {reason.partition(": ")[2]: n for reason, n in data.dropped.items() if reason.startswith("test: ")}
    file = data.train_file if args.test_share else args.test_file
    return f"{name}, {Path(args.data_dir or '').name}/{file}{part}", Examples(tuple(kept), Counter(dropped))


def _label(value: Any, labels: list[str]) -> str | tuple[str, ...]:
    """Return the label of a class id, or the labels that are 1 in a list of numbers."""
    if isinstance(value, int):
        return labels[value]
    return tuple(label for label, on in zip(labels, value, strict=True) if on)
