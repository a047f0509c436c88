"""Labelled rows from one CSV, TSV or JSON Lines file, or one line that says why not.

What cannot be a row is refused with its line; what is merely useless (stray header rows, empty texts) is dropped and
counted.
"""

import difflib
import itertools
import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

from .data_arguments import DataArguments
from .errors import InputError
from .rows import Row, Table, listed
from .table_files import plain, read_records

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
    """Reads the text, or the two texts, and the label of each row.

    Args:
        path: The file; its ending says how it is written (see table_files.py).
        args: Names the columns.
        parse: Turns a cell of the label column into a label; a `ValueError` says what is wrong with it. With None no
            label is read, and the rows have an empty one.

    Returns:
        The rows with a text (of a pair: with both), and how many were dropped for which reason.

    Raises:
        InputError: The file is missing, empty or cannot be read, a column is not there or named twice, a label cannot
            be one, or no row has a text.
    """
    columns = {"text_column": args.text_column, "text_pair_column": args.text_pair_column}
    columns = {option: name for option, name in columns.items() if name}
    columns |= {"label_column": args.label_column} if parse else {}
    wanted = dict.fromkeys(columns.values())
    if parse is _class_names:
        wanted[args.label_column] = args.label_separator
    header, records = read_records(path, wanted)
    at = {option: _column(path, header, name=name, option=f"--{option}") for option, name in columns.items()}
    for option, other in itertools.combinations(at, 2):
        if at[option] == at[other]:
            raise InputError(
                f"--{option} and --{other} are both {columns[option]!r}; {path} has {listed(header)}: name one of each."
            )
    label_at = at.pop("label_column", None)

    rows, dropped = [], Counter()
    for line, cells in records:
        texts = [plain(cells[position]) for position in at.values()]
        if [plain(cell) for cell in cells] == header:
            dropped["stray header"] += 1
        elif any(map(_is_missing, texts)):
            dropped["empty"] += 1
        else:
            try:
                label = parse(plain(cells[label_at]), args) if parse else ""
            except ValueError as error:
                raise InputError(f"{path}, line {line}: the label ({args.label_column!r}) is {error}") from None
            rows.append(Row(texts[0], label, *texts[1:]))
    if not records:
        raise InputError(f"{path} has a header but no rows; give a file with at least one row per class.")
    if not rows:
        raise InputError(
            f"{path}: column {args.text_column!r} holds no text in any of its {len(records)} rows (empty or NaN); "
            f"choose another with --text_column: {listed(header)}."
        )
    return Table(rows=tuple(rows), dropped=dropped)


def _class_name(cell: str, args: DataArguments) -> str:
    if _is_missing(cell):
        raise ValueError(f"empty or {cell!r}; give the row a class name or take it out.")
    return cell


def _class_names(cell: str, args: DataArguments) -> tuple[str, ...]:
    """No class at all is a label too."""
    names = {plain(name) for name in cell.split(args.label_separator)}
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


def _column(path: Path, header: Sequence[str], *, name: str, option: str) -> int:
    """Where the column called `name` stands in the header."""
    found = [position for position, column in enumerate(header) if column == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{path} has {len(found)} columns called {name!r}; rename all but one of them.")
    want, other = ("tabs", "csv") if path.suffix.lower() == ".tsv" else ("commas", "tsv")
    marks = ",;|" if want == "tabs" else ";\t|"
    if len(header) == 1 and (mark := next((mark for mark in marks if mark in header[0]), None)):
        rename = f", or name it .{other}" if mark in ",\t" else ""
        raise InputError(
            f"{path}: the header {header[0]!r} has no {want} but {mark!r}; save it {want[:-1]}-separated{rename}."
        )
    folded = {column.casefold(): column for column in header if column}
    near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    guess = f"did you mean {option} {folded[near[0]]!r}?" if near else f"name the right one with {option}."
    raise InputError(f"{path} has no column {name!r}, only {listed(header)}; {guess}")


def _is_missing(cell: str) -> bool:
    """Whether a cell shows nothing: empty, only invisible characters, or another program's word for no value."""
    return cell.casefold() in MISSING or not any(char.isprintable() and not char.isspace() for char in cell)
