"""Labelled examples as every reader returns them, and the text of a UTF-8 file."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError

NO_TEXT = re.compile("[\0\ud800-\udfff]")  # a zero byte or half a surrogate pair, which UTF-8 text never has


@dataclass(frozen=True)
class Example:
    """One labelled text, or pair of texts.

    Attributes:
        text: the text without surrounding white space; the words of a tagged sentence are joined by spaces.
        label: a class name, several (a sorted tuple), a number, a tag per word (a tuple), or the answers to a question
            (a tuple of `(start in pair, text)`).
        pair: the second text of a pair, or the context of a question; empty for tasks with one text.
    """

    text: str
    label: Hashable
    pair: str = ""


@dataclass(frozen=True)
class Examples:
    """The usable rows of one file.

    Attributes:
        rows: the rows with a text, in file order.
        dropped: number of dropped rows by reason ("stray header", "empty"); reasons that did not occur are absent.
    """

    rows: tuple[Example, ...]
    dropped: Counter[str]


def listed(values: Iterable[str], *, most: int = 12) -> str:
    """Return names in quotes for a message, at most `most` of them."""
    values = list(values)
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(repr(value) for value in values[:most]) + more


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file, without its byte order mark.

    Raises:
        InputError: The file cannot be read, or is not UTF-8 text.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check --data_dir and the file name.") from error
    return decode(data, path)


def decode(data: bytes, path: Path) -> str:
    """Return the bytes of a UTF-8 file as text, without the byte order mark.

    Args:
        data: the content of the file.
        path: its path, for the message.

    Raises:
        InputError: The file is not UTF-8 text; the message names the line.
    """
    if (zero := data.find(0)) >= 0 and not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        line = data.count(b"\n", 0, zero) + 1
        raise InputError(
            f"{path}, line {line}: a zero byte at offset {zero}; this may be a spreadsheet (.xlsx), a "
            "picture or UTF-16: save the file as UTF-8 text."
        )
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
