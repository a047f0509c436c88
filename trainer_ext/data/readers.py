"""Read labelled examples from CSV, TSV, JSON Lines, IOB and SQuAD files.

Reading is strict: a row that cannot be read is an error that names its line. Stray header rows and rows without a text are
dropped and counted. Every reader takes the path and the `DataArguments`.
"""

from __future__ import annotations

import csv
import difflib
import io
import itertools
import json
import math
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError, one_line
from .arguments import DataArguments
from .records import NO_TEXT, Example, Examples, listed, read_text

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
_JSON_LINES = frozenset({".jsonl", ".ndjson", ".json"})
Records = list[tuple[int, list[str]]]  # line number and cells
MISSING = frozenset({"nan", "null", "<na>"})  # what other programs write into a CSV file for no value
MAX_NUMBER = 1e18  # its square fits into fp32
_DOCUMENT = "-DOCSTART-"  # the line that CoNLL-2003 writes between articles


def read_class(path: Path, args: DataArguments) -> Examples:
    """Read rows with one class name each, as `read_table` does."""
    return read_table(path, args, parse=_class_name)


def read_classes(path: Path, args: DataArguments) -> Examples:
    """Read rows with any number of class names each, separated by `args.label_separator` in one cell."""
    return read_table(path, args, parse=_class_names)


def read_number(path: Path, args: DataArguments) -> Examples:
    """Read rows with one number each."""
    return read_table(path, args, parse=_number)


def read_texts(path: Path, args: DataArguments) -> Examples:
    """Read rows without labels; no label column is needed."""
    return read_table(path, args, parse=None)


def read_table(path: Path, args: DataArguments, *, parse: Callable[[str, DataArguments], Hashable] | None) -> Examples:
    """Read the text, or the two texts, and the label of each row of a table.

    Args:
        path: the file; its suffix gives the format (see `read_records`).
        args: the names of the columns.
        parse: converts a cell of the label column, or raises a `ValueError`; with None all labels are empty.

    Returns:
        The rows with a text, or with both texts of a pair, and how many were dropped for which reason.

    Raises:
        InputError: The file cannot be read or is empty, a column is missing or occurs twice, a label is not valid, or no
            row has a text.
    """
    columns = {"text_column": args.text_column, "text_pair_column": args.text_pair_column}
    names = {option: name for option, name in columns.items() if name}
    names |= {"label_column": args.label_column} if parse else {}
    wanted: dict[str, str | None] = dict.fromkeys(names.values())
    if parse is _class_names:
        wanted[args.label_column] = args.label_separator
    header, records = read_records(path, wanted)
    at = {option: _column(path, header, name=name, option=f"--{option}") for option, name in names.items()}
    for option, other in itertools.combinations(at, 2):
        if at[option] == at[other]:
            raise InputError(
                f"--{option} and --{other} are both {names[option]!r}; {path} has {listed(header)}: name one of each."
            )
    label_at = at.pop("label_column", 0)
    rows: list[Example] = []
    dropped: Counter[str] = Counter()
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
            rows.append(Example(texts[0], label, *texts[1:]))
    if not records:
        raise InputError(f"{path} has a header but no rows; give a file with at least one row per class.")
    if not rows:
        raise InputError(
            f"{path}: column {args.text_column!r} holds no text in any of its {len(records)} rows (empty or NaN); "
            f"choose another with --text_column: {listed(header)}."
        )
    return Examples(rows=tuple(rows), dropped=dropped)


def _class_name(cell: str, args: DataArguments) -> str:
    if _is_missing(cell):
        raise ValueError(f"empty or {cell!r}; give the row a class name or take it out.")
    return cell


def _class_names(cell: str, args: DataArguments) -> tuple[str, ...]:
    """Return the names in order; a row may have none."""
    names = {plain(name) for name in cell.split(args.label_separator)}
    return tuple(sorted(name for name in names if not _is_missing(name)))


def _number(cell: str, args: DataArguments) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{cell!r}, which is not a number; write it like 3.5, or take the row out.") from None
    if abs(number) > MAX_NUMBER:
        raise ValueError(
            f"{cell!r}, above {MAX_NUMBER:g}, whose square overflows in fp32; divide all labels by one number."
        )
    return number


def _column(path: Path, header: Sequence[str], *, name: str, option: str) -> int:
    """Return the position of a column in the header."""
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
    """Return whether a cell is empty, has only invisible characters, or a word for no value."""
    return cell.casefold() in MISSING or not any(char.isprintable() and not char.isspace() for char in cell)


def read_records(path: Path, wanted: Mapping[str, str | None]) -> tuple[list[str], Records]:
    """Return the header of a CSV, TSV or JSON Lines file, and its rows that are not blank.

    `.tsv` files have tabs between cells. `.jsonl`, `.ndjson` and `.json` files have one object per line, whose keys are
    the columns. All others are CSV. Files are UTF-8, with or without a byte order mark.

    Args:
        path: the file.
        wanted: the columns to read. The value is the separator for lists in JSON Lines, or None where a list is an error.

    Returns:
        The header, and per row the line on which it ends (from 1) and its cells, as many as the header has. A missing key
        or a null is an empty cell.

    Raises:
        InputError: The file cannot be read or is empty, or a row is not valid.
    """
    suffix = path.suffix.lower()
    if suffix in _JSON_LINES:
        return _read_json_lines(path, wanted)
    return _read_cells(path, wanted, "\t" if suffix == ".tsv" else ",")


def plain(cell: str) -> str:
    """Return a cell without surrounding white space and byte order marks, which joined files have inside."""
    return cell.strip().strip("\ufeff").strip()


def _read_cells(path: Path, wanted: Collection[str], delimiter: str) -> tuple[list[str], Records]:
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


def _read_json_lines(path: Path, wanted: Mapping[str, str | None]) -> tuple[list[str], Records]:
    rows: list[tuple[int, dict[str, Any]]] = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line, object_pairs_hook=_unique_keys)
        except (ValueError, RecursionError) as error:
            why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
            if isinstance(error, json.JSONDecodeError):
                why = f"{error.msg} at character {error.colno}"  # without the line number, which is always 1
            raise InputError(
                f"{path}, line {number}: not readable as JSON Lines ({why}); write one object on each line."
            ) from error
        if not isinstance(found, dict):
            raise InputError(
                f"{path}, line {number}: {line[:40]!r} is not a JSON object; write one on each line, such as "
                '{"text": "...", "label": "..."}.'
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
    return header, records


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
        raise ValueError(f"{json.dumps(value)[:80]} is not a text or a label; write a string.")
    if isinstance(value, str):
        if NO_TEXT.search(value):
            raise ValueError(f"{ascii(value)[:80]} holds a zero byte or half a character; write it again.")
        return value
    return "" if value is None else json.dumps(value)


def read_iob(path: Path, args: DataArguments) -> Examples:
    """Read an IOB file of CoNLL-2003: the text is the words of a sentence joined by spaces, the label one tag per word.

    A line holds a word in its first column and its tag in the last, separated by white space; a blank line ends a sentence.
    Tags are O, B-TYPE (the first word of an entity) and I-TYPE (the following ones).

    Args:
        path: the file.
        args: not used.

    Raises:
        InputError: The file cannot be read, the number of columns varies or is 1, a tag is of another kind, or there is no
            sentence.
    """
    sentences: list[list[tuple[str, str]]] = [[]]
    width = None
    for number, line in enumerate(read_text(path).split("\n"), 1):
        columns = line.split()
        if not columns or columns[0] == _DOCUMENT:
            sentences.append([])
            continue
        width = width or len(columns)
        if len(columns) < 2 or len(columns) != width:
            raise InputError(
                f"{path}, line {number}: {len(columns)} columns where the first word has {width}; each line needs a "
                "word, then its tag, and no white space inside either."
            )
        tag = columns[-1]
        prefix, _, kind = tag.partition("-")
        if tag != "O" and not (prefix in ("B", "I") and kind):
            raise InputError(
                f"{path}, line {number}: the last column is {tag!r}, which is not a tag; tags are O, B-TYPE and I-TYPE "
                "(the file must not have a header)."
            )
        sentences[-1].append((columns[0], tag))
    rows = [Example(" ".join(w for w, _ in words), tuple(t for _, t in words)) for words in sentences if words]
    if not rows:
        raise InputError(f"{path} holds no sentence; it needs a word and its tag per line.")
    return Examples(rows=tuple(rows), dropped=Counter())


def read_squad(path: Path, args: DataArguments) -> Examples:
    """Read a JSON file of SQuAD 1.1: the text is the question, the pair its context, the label `((start, text), ...)`.

    The layout is `data > paragraphs > (context, qas > (question, answers > (text, answer_start)))`, where an answer is the
    part of the context that starts at character `answer_start` (Rajpurkar et al. 2016, arXiv 1606.05250).

    Args:
        path: the file.
        args: not used.

    Raises:
        InputError: The file cannot be read or has another layout, a question has no answer (as in SQuAD 2.0), or an
            answer is not in its context where it says.
    """
    try:
        rows = list(_questions(json.loads(read_text(path)), path))
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path} is not in the layout of SQuAD 1.1 (data > paragraphs > context, qas > question, answers > text, "
            f"answer_start): {type(error).__name__} {one_line(error)}."
        ) from error
    kept = tuple(row for row in rows if row.text and row.pair.strip())
    if not kept:
        raise InputError(f"{path} holds no question; it needs data > paragraphs > qas > question.")
    dropped = len(rows) - len(kept)
    return Examples(rows=kept, dropped=Counter(empty=dropped) if dropped else Counter())


def _questions(values: dict, path: Path) -> Iterator[Example]:
    for paragraph in (paragraph for article in values["data"] for paragraph in article["paragraphs"]):
        context = paragraph["context"]
        for asked in paragraph["qas"]:
            question = asked["question"].strip()
            answers = tuple((answer["answer_start"], answer["text"]) for answer in asked["answers"])
            if not answers:
                raise InputError(
                    f"{path}: the question {one_line(question, most=60)!r} has no answer; take out questions "
                    "without one (SQuAD 2.0)."
                )
            for start, text in answers:
                if type(start) is not int:
                    raise TypeError(f"answer_start is {start!r}, not a whole number")
                for words in (context, question, text):
                    words.encode()  # JSON can hold half a surrogate pair, which no tokenizer accepts
                if start < 0 or not text or not context.startswith(text, start):
                    raise InputError(
                        f"{path}: the answer {one_line(text, most=60)!r} is not at character {start} of its "
                        f"context (question {one_line(question, most=60)!r}); correct answer_start or take it out."
                    )
            yield Example(question, answers, context)
