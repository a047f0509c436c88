"""Read labelled examples from CSV, TSV, JSON, IOB and SQuAD files.

Reading is strict: a row that cannot be read is an error that names its line. Stray header rows and rows without a text are
dropped and counted. Every reader takes the path and the `DataArguments`.
"""

from __future__ import annotations

import ast
import difflib
import itertools
import json
import math
import re
import shlex
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import cast

from ..errors import InputError, one_line
from .arguments import DataArguments
from .corpus import SUFFIXES as LINES, read_corpus
from .records import Example, Examples, lines_of, listed, read_text
from .tables import SUFFIXES as TABLES, Records, plain, read_records

MISSING = frozenset({"nan", "null", "<na>", "#n/a", "\\n"})  # what other programs write into a CSV file for no value
MAX_NUMBER = 1e18  # its square fits into fp32
_FLAGS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}
_DECIMAL_COMMA = re.compile(r"[+-]?(\d+,(\d{1,2}|\d{4,})|0,\d+)")  # 1,500 may be fifteen hundred
_ADJACENT = re.compile(r"""['"]\s+['"]""")
_DOCUMENT = "-DOCSTART-"  # the line that CoNLL-2003 writes between articles
_Parse = Callable[[list[str], DataArguments], Hashable]


def read_class(path: Path, args: DataArguments) -> Examples:
    """Read rows with one class name each, as `read_table` does."""
    return read_table(path, args, parse=_class_name)


def read_classes(path: Path, args: DataArguments) -> Examples:
    """Read rows with any number of class names each, as `read_table` does.

    They stand in one cell, separated by `args.label_separator` or as a list in brackets, or are the `args.label_columns`
    whose cells say 1 or true.
    """
    table = read_table(path, args, parse=_classes_with_a_flag if args.label_columns else _class_names)
    labels = [cast(tuple[str, ...], row.label) for row in table.rows]
    flags = {_FLAGS.get(label[0].casefold()) if len(label) == 1 else None for label in labels}
    if not args.label_columns and flags == {False, True}:
        raise InputError(
            f"{path}: the column {args.label_column!r} holds just 0 and 1, so these would be the classes; for one such "
            f"column per class, name them: --label_columns {args.label_column} ..."
        )
    return table


def read_number(path: Path, args: DataArguments) -> Examples:
    """Read rows with one number each; its decimals stand behind a point, or in all rows behind a comma."""
    marks: set[str] = set()

    def number(cells: list[str], args: DataArguments) -> float:
        found = _number(cells, args)
        marks.update({".", ","} & set(cells[0]))
        if len(marks) > 1:
            raise ValueError(f"{cells[0]!r}, and others have the other one of . and , inside; write all like 3.5.")
        return found

    return read_table(path, args, parse=number)


def read_texts(path: Path, args: DataArguments) -> Examples:
    """Read rows without labels; no label column is needed."""
    return read_table(path, args, parse=None)


def read_unlabelled(path: Path, args: DataArguments) -> Examples:
    """Read texts without labels: the lines of a .txt file (see `read_corpus`), or a column of a table.

    Raises:
        InputError: The file cannot be read, has no such column, or contains no text.
    """
    path = path.expanduser()
    if path.suffix.lower() in TABLES and path.is_file():
        return read_texts(path, args)
    if not path.exists():
        raise InputError(f"There is no file {path}; name a file of texts, {', '.join((*LINES, *TABLES))}.")
    if args.text_pair_column:
        raise InputError(f"{path} has one text per line, and --text_pair_column asks for two; give a CSV file.")
    return Examples(tuple(Example(text, "") for text in read_corpus([path])), Counter())


def read_table(path: Path, args: DataArguments, *, parse: _Parse | None) -> Examples:
    """Read the text, or the two texts, and the label of each row of a table.

    Args:
        path: the file (see `read_records`).
        args: the names of the columns.
        parse: converts the cells of the label columns, or raises a `ValueError`; with None all labels are empty.

    Returns:
        The rows with a text, or with both texts of a pair, and how many were dropped for which reason.

    Raises:
        InputError: The file cannot be read or is empty, a column is missing or occurs twice, a label is not valid, or no
            row has a text.
    """
    columns = {"text_column": args.text_column, "text_pair_column": args.text_pair_column}
    texts_in = [(option, name) for option, name in columns.items() if name]
    labels_in = [("label_columns", name) for name in args.label_columns] or [("label_column", args.label_column)]
    names = texts_in + (labels_in if parse else [])
    wanted: dict[str, str | None] = dict.fromkeys(name for _, name in names)
    if parse is _class_names:
        wanted[args.label_column] = args.label_separator
    header, records, note = read_records(path, wanted)
    at = [_column(path, header, records, name=name, option=f"--{option}") for option, name in names]
    for (one, (option, name)), (two, (other, _)) in itertools.combinations(zip(at, names, strict=True), 2):
        if one == two:
            raise InputError(
                f"--{option} and --{other} are both {name!r}; {path} has {listed(header)}: name one of each."
            )
    rows: list[Example] = []
    dropped: Counter[str] = Counter()
    for line, cells in records:
        found = [plain(cells[position]) for position in at]
        texts, label_cells = found[: len(texts_in)], found[len(texts_in) :]
        if [plain(cell) for cell in cells] == header:
            dropped["stray header"] += 1
        elif any(map(_is_missing, texts)):
            dropped["empty"] += 1
        else:
            try:
                label = parse(label_cells, args) if parse else ""
            except ValueError as error:
                what = "a label" if args.label_columns else f"the label ({args.label_column!r})"
                raise InputError(f"{path}, line {line}: {what} is {error}") from None
            rows.append(Example(texts[0], label, *texts[1:]))
    if not records:
        raise InputError(f"{path} has a header but no rows; give a file with at least one row per class.")
    if not rows:
        raise InputError(
            f"{path}: column {args.text_column!r} holds no text in any of its {len(records)} rows (empty or NaN); "
            f"choose another with --text_column: {listed(header)}."
        )
    return Examples(rows=tuple(rows), dropped=dropped, note=note)


def _class_name(cells: list[str], args: DataArguments) -> str:
    if _is_missing(cells[0]):
        found = f"empty or {cells[0]!r}" if cells[0] else "empty"
        raise ValueError(f"{found}; give the row a class name or take it out.")
    if names_in_list(cells[0]) is not None:
        raise ValueError(f"{cells[0][:80]!r}, a list of classes; give --problem_type multi_label_classification.")
    return cells[0]


def _class_names(cells: list[str], args: DataArguments) -> tuple[str, ...]:
    """Return the names in order; a row may have none."""
    names = names_in_list(cells[0])
    if names is None:
        names = cells[0].split(args.label_separator)
    if len(names) > len(set(names)) and all(plain(name).casefold() in _FLAGS for name in names):
        raise ValueError(
            f"{cells[0][:80]!r}, which says 0 or 1 for each class and not which classes: write their names, or one column per "
            "class (--label_columns)."
        )
    return tuple(sorted({plain(name) for name in names if not _is_missing(name)}))


def _classes_with_a_flag(cells: list[str], args: DataArguments) -> tuple[str, ...]:
    """Return the names of the columns that say 1 or true."""
    for name, cell in zip(args.label_columns, cells, strict=True):
        if cell.casefold() not in _FLAGS:
            raise ValueError(f"{cell!r} in column {name!r}; write 1 if the row has this class and 0 if not.")
    flags = zip(args.label_columns, cells, strict=True)
    return tuple(sorted(name for name, cell in flags if _FLAGS[cell.casefold()]))


def names_in_list(cell: str) -> list[str] | None:
    """Return the names in a cell such as `['a', 'b']` or `["a", 1]`, as Python and pandas write lists; None if it is none.

    Raises:
        ValueError: It is a list without commas, as NumPy writes them.
    """
    if not (cell.startswith("[") and cell.endswith("]")):
        return None
    if _ADJACENT.search(cell):
        raise ValueError(f"{cell[:80]!r}, a list without commas; write the names between commas or another separator.")
    try:
        found = ast.literal_eval(cell)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return [str(name) for name in found] if all(isinstance(name, str | int) for name in found) else None


def _number(cells: list[str], args: DataArguments) -> float:
    cell = cells[0]
    try:
        number = float(cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{cell!r}, which is not a number; write it like 3.5, or take the row out.") from None
    if abs(number) > MAX_NUMBER:
        raise ValueError(
            f"{cell!r}, above {MAX_NUMBER:g}, whose square overflows in fp32; divide all labels by one number."
        )
    return number


def _column(path: Path, header: Sequence[str], records: Records, *, name: str, option: str) -> int:
    """Return the position of a column in the header."""
    found = [position for position, column in enumerate(header) if column == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{path} has {len(found)} columns called {name!r}; rename all but one of them.")
    values = [
        {plain(cell).casefold() for cell in cells} for cells in zip(*(cells for _, cells in records), strict=True)
    ]
    flags = [column for column, found_in in zip(header, values, strict=False) if found_in <= set(_FLAGS)]
    if option == "--label_column" and len(flags) > 1:
        raise InputError(
            f"{path} has no column {name!r}, only {listed(header)}; for one column of 0 and 1 per class, give --problem_type "
            f"multi_label_classification --label_columns {shlex.join(flags)}."
        )
    folded = {column.casefold(): column for column in header if column}
    near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    guess = f"did you mean {option} {folded[near[0]]!r}?" if near else f"name the right one with {option}."
    raise InputError(f"{path} has no column {name!r}, only {listed(header)}; {guess}")


def _is_missing(cell: str) -> bool:
    """Return whether a cell is empty, has only invisible characters, or a word for no value."""
    return cell.casefold() in MISSING or not any(char.isprintable() and not char.isspace() for char in cell)


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
    for number, line in enumerate(lines_of(read_text(path)), 1):
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
