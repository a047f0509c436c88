"""Labelled words from one IOB file, the layout of the shared task of CoNLL-2003.

A line holds one word and its tag, columns apart by white space: the word is the first column and the tag the last. A
blank line ends a sentence. Tags are O, B-TYPE (first word of an entity) and I-TYPE (inside one).
"""

from collections import Counter
from pathlib import Path

from .data_arguments import DataArguments
from .errors import InputError
from .rows import Row, Table, read_text

_DOCUMENT = "-DOCSTART-"  # what CoNLL-2003 writes between articles


def read_iob(path: Path, args: DataArguments) -> Table:
    """Reads the sentences of an IOB file: text = its words joined by spaces, label = a tag per word.

    Args:
        path: The file.
        args: Not used; every reader takes them.

    Raises:
        InputError: The file cannot be read, a line has one column or another number of them than the first, a tag is
            none of the three kinds, or there is no sentence.
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
                f"{path}, line {number}: the last column is {tag!r}, which is no tag; tags are O, B-TYPE and I-TYPE "
                "(a file has no header)."
            )
        sentences[-1].append((columns[0], tag))
    rows = [Row(" ".join(w for w, _ in words), tuple(t for _, t in words)) for words in sentences if words]
    if not rows:
        raise InputError(f"{path} holds no sentence; it needs a word and its tag per line.")
    return Table(rows=tuple(rows), dropped=Counter())
