"""Labelled rows from one CSV file, or one line that says why not.

Reading is strict: the file is UTF-8 (a byte order mark is allowed), comma-separated, with a header and as many cells in
each row as in the header. What cannot be a row is refused with its line; what is merely useless (stray header rows,
empty texts) is dropped and counted.
"""

import csv
import difflib
import io
import itertools
import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

from .data_arguments import DataArguments
from .errors import InputError
from .rows import Row, Table, listed, read_text

# What other programs write for "no value" when they turn a table into CSV.
MISSING = frozenset({"nan", "null", "<na>"})
MOST = 1e18  # of a number to learn


def read_class(path: Path, args: DataArguments) -> Table:
    """Rows with one class name each; raises as :func:`read_table` does."""
    return read_table(path, args, parse=_class_name)


def read_classes(path: Path, args: DataArguments) -> Table:
    """Rows with any number of class names each, in one cell with `args.label_separator` between them."""
    return read_table(path, args, parse=_class_names)


def read_number(path: Path, args: DataArguments) -> Table:
    """Rows with a number each."""
    return read_table(path, args, parse=_number)


def read_texts(path: Path, args: DataArguments) -> Table:
    """Rows without labels: there need be no column of them."""
    return read_table(path, args, parse=None)


def read_table(path: Path, args: DataArguments, *, parse: Callable[[str, DataArguments], Hashable] | None) -> Table:
    """Reads the text, or the two texts, and the label of each row of a CSV file.

    Args:
        path: The file.
        args: Names the columns.
        parse: Turns a cell of the label column into a label; a `ValueError` says what is wrong with it. With None no
            label is read, and the rows have an empty one.

    Returns:
        The rows with a text (of a pair: with both), and how many were dropped for which reason.

    Raises:
        InputError: The file is missing, empty or not UTF-8, a row has too few or too many cells, a column is not
            there or named twice, a label cannot be one, or no row has a text.
    """
    records = _records(path)
    columns = {"text_column": args.text_column, "text_pair_column": args.text_pair_column}
    columns = {option: name for option, name in columns.items() if name}
    columns |= {"label_column": args.label_column} if parse else {}
    if not records:
        raise InputError(f"{path} is empty; it needs a header row ({','.join(columns.values())}) and rows below it.")
    header = [_plain(cell) for cell in records[0][1]]
    at = {option: _column(path, header, name=name, option=f"--{option}") for option, name in columns.items()}
    for option, other in itertools.combinations(at, 2):
        if at[option] == at[other]:
            raise InputError(
                f"--{option} and --{other} are both {columns[option]!r}; {path} has {listed(header)}: name one of each."
            )
    label_at = at.pop("label_column", None)

    rows, dropped = [], Counter()
    for line, cells in records[1:]:
        if len(cells) != len(header):
            raise InputError(
                f"{path}, line {line}: {len(cells)} cells where the header has {len(header)}; "
                'put a text that holds commas or line breaks between double quotes ("...").'
            )
        texts = [_plain(cells[position]) for position in at.values()]
        if [_plain(cell) for cell in cells] == header:
            dropped["stray header"] += 1
        elif any(map(_is_missing, texts)):
            dropped["empty"] += 1
        else:
            try:
                label = parse(_plain(cells[label_at]), args) if parse else ""
            except ValueError as error:
                raise InputError(f"{path}, line {line}: the label ({args.label_column!r}) is {error}") from None
            rows.append(Row(texts[0], label, *texts[1:]))
    if len(records) == 1:
        raise InputError(f"{path} has a header but no rows; give a file with at least one row per class.")
    if not rows:
        raise InputError(
            f"{path}: column {args.text_column!r} holds no text in any of its {len(records) - 1} rows (empty or NaN); "
            f"choose another with --text_column: {listed(header)}."
        )
    return Table(rows=tuple(rows), dropped=dropped)


def _class_name(cell: str, args: DataArguments) -> str:
    if _is_missing(cell):
        raise ValueError(f"empty or {cell!r}; give the row a class name or take it out.")
    return cell


def _class_names(cell: str, args: DataArguments) -> tuple[str, ...]:
    """No class at all is a label too."""
    names = {_plain(name) for name in cell.split(args.label_separator)}
    return tuple(sorted(name for name in names if not _is_missing(name)))


def _number(cell: str, args: DataArguments) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{cell!r}, which is no number; write it like 3.5, or take the row out.") from None
    if abs(number) > MOST:
        raise ValueError(f"{cell!r}, beyond {MOST:g}, whose square overflows in fp32; divide all of them by the same.")
    return number


def _records(path: Path) -> list[tuple[int, list[str]]]:
    """The rows of a file that are not blank, each with the line it ends on (from 1)."""
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        return [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise InputError(
            f"{path}, line {reader.line_num}: not readable as CSV ({error}); "
            "close every double quote and write a quote inside a text twice."
        ) from error


def _column(path: Path, header: Sequence[str], *, name: str, option: str) -> int:
    """Where the column called `name` stands in the header."""
    found = [position for position, column in enumerate(header) if column == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{path} has {len(found)} columns called {name!r}; rename all but one of them.")
    if len(header) == 1 and (mark := next((mark for mark in ";\t|" if mark in header[0]), None)):
        raise InputError(f"{path}: the header {header[0]!r} has no commas but {mark!r}; save it comma-separated.")
    folded = {column.casefold(): column for column in header if column}
    near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    guess = f"did you mean {option} {folded[near[0]]!r}?" if near else f"name the right one with {option}."
    raise InputError(f"{path} has no column {name!r}, only {listed(header)}; {guess}")


def _plain(cell: str) -> str:
    """A cell without white space around it (nor the byte order marks that joined files leave inside)."""
    return cell.strip().strip("\ufeff").strip()


def _is_missing(cell: str) -> bool:
    """Whether a cell shows nothing: empty, only invisible characters, or another program's word for no value."""
    return cell.casefold() in MISSING or not any(char.isprintable() and not char.isspace() for char in cell)
