"""Labelled rows from one CSV file, or one line that says why not.

Reading is strict: the file is UTF-8 (a byte order mark is allowed), comma-separated, with a header and as many cells in
each row as in the header. What cannot be a row is refused with its line; what is merely useless (stray header rows,
empty texts) is dropped and counted.
"""

import codecs
import csv
import difflib
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError

# What other programs write for "no value" when they turn a table into CSV.
MISSING = frozenset({"nan", "null", "<na>"})


@dataclass(frozen=True)
class Row:
    """One labelled text.

    Attributes:
        text: The text as written, without white space around it.
        label: The name of its class, without white space around it.
    """

    text: str
    label: str


@dataclass(frozen=True)
class Table:
    """The usable rows of one file.

    Attributes:
        rows: The rows that have a text, in file order.
        dropped: Rows left out, counted by reason: "stray header", "empty". Reasons that never occurred are absent.
    """

    rows: tuple[Row, ...]
    dropped: Counter[str]


def read_table(path: Path, *, text_column: str, label_column: str) -> Table:
    """Reads the text and the label of each row of a CSV file.

    Args:
        path: The file.
        text_column: Header of the column that holds the text.
        label_column: Header of the column that holds the class name.

    Returns:
        The rows with a text, and how many were dropped for which reason.

    Raises:
        InputError: The file is missing, empty or not UTF-8, a row has too few or too many cells, a column is not
            there, a label is empty, or no row has a text.
    """
    records = _records(path)
    if not records:
        raise InputError(f"{path} is empty; it needs a header row ({text_column},{label_column}) and rows below it.")
    header = [_plain(cell) for cell in records[0][1]]
    text_at = _column(path, header, name=text_column, option="--text_column")
    label_at = _column(path, header, name=label_column, option="--label_column")
    if text_at == label_at:
        raise InputError(
            f"--text_column and --label_column are both {text_column!r}; {path} has {listed(header)}: name one of each."
        )

    rows, dropped = [], Counter()
    for line, cells in records[1:]:
        if len(cells) != len(header):
            raise InputError(
                f"{path}, line {line}: {len(cells)} cells where the header has {len(header)}; "
                'put a text that holds commas or line breaks between double quotes ("...").'
            )
        text, label = _plain(cells[text_at]), _plain(cells[label_at])
        if [_plain(cell) for cell in cells] == header:
            dropped["stray header"] += 1
        elif _is_missing(text):
            dropped["empty"] += 1
        elif _is_missing(label):
            raise InputError(
                f"{path}, line {line}: the label ({label_column!r}) is empty or {label!r}; "
                "give the row a class name or take it out."
            )
        else:
            rows.append(Row(text, label))
    if len(records) == 1:
        raise InputError(f"{path} has a header but no rows; give a file with at least one row per class.")
    if not rows:
        raise InputError(
            f"{path}: column {text_column!r} holds no text in any of its {len(records) - 1} rows (empty or NaN); "
            f"choose another with --text_column: {listed(header)}."
        )
    return Table(rows=tuple(rows), dropped=dropped)


def listed(values: Iterable[str], *, most: int = 12) -> str:
    """Quotes names for a message, the first `most` of them."""
    values = list(values)
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(repr(value) for value in values[:most]) + more


def _records(path: Path) -> list[tuple[int, list[str]]]:
    """The rows of a file that are not blank, each with the line it ends on (from 1)."""
    reader = csv.reader(io.StringIO(_decode(path), newline=""), strict=True)
    try:
        return [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise InputError(
            f"{path}, line {reader.line_num}: not readable as CSV ({error}); "
            "close every double quote and write a quote inside a text twice."
        ) from error


def _decode(path: Path) -> str:
    """The text of a UTF-8 file, without its byte order mark."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check --data_dir and the file name.") from error
    bom = len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0
    try:
        return data[bom:].decode("utf-8")
    except UnicodeDecodeError as error:
        offset = bom + error.start
        line = data.count(b"\n", 0, offset) + 1
        raise InputError(
            f"{path}, line {line}: byte 0x{data[offset]:02x} at offset {offset} is not UTF-8; "
            "save the file as UTF-8 (iconv -f OLD -t UTF-8)."
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
