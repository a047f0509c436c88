"""Labelled examples as every reader returns them, and the text of a file."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError

NO_TEXT = re.compile("[\0\ud800-\udfff]")  # a zero byte or half a surrogate pair, which UTF-8 text never has
LONGEST_NAME = 80  # in a message
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


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
        note: a line that says how the file was read, if its suffix does not say so.
    """

    rows: tuple[Example, ...]
    dropped: Counter[str]
    note: str = ""


def listed(values: Iterable[str], *, most: int = 12) -> str:
    """Return names in quotes for a message, at most `most` of them, and of each the first characters."""
    values = [value if len(value) <= LONGEST_NAME else f"{value[:LONGEST_NAME]}..." for value in values]
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(repr(value) for value in values[:most]) + more


def read_text(path: Path) -> str:
    """Return the text of a file, UTF-8 or what its byte order mark says, without that mark.

    Raises:
        InputError: The file cannot be read, or is not text.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check --data_dir and the file name.") from error
    return decode(data, path)


def lines_of(text: str) -> list[str]:
    """Return the lines of a text, whose ends are those of Unix, Windows or old Macs."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def decode(data: bytes, path: Path) -> str:
    """Return the bytes of a file as text: UTF-16 with a byte order mark, or else UTF-8; without the mark.

    Args:
        data: the content of the file.
        path: its path, for the message.

    Raises:
        InputError: The file is not text in these encodings; the message names the line.
    """
    encoding, start = "utf-8", 0
    if not data.startswith(codecs.BOM_UTF32_LE):  # starts as UTF-16 does
        encoding, start = next(((name, len(mark)) for mark, name in _MARKS if data.startswith(mark)), ("utf-8", 0))
        if (zero := data.find(0)) >= 0 and encoding == "utf-8":
            line = data.count(b"\n", 0, zero) + 1
            raise InputError(
                f"{path}, line {line}: a zero byte at offset {zero}; this may be a spreadsheet (.xlsx), a "
                "picture or UTF-16: save the file as UTF-8 text."
            )
    try:
        text = data[start:].decode(encoding)
    except UnicodeDecodeError as error:
        offset = start + error.start
        line = data[start:offset].decode(encoding).count("\n") + 1
        raise InputError(
            f"{path}, line {line}: byte 0x{data[offset]:02x} at offset {offset} is not {encoding.upper()}; save the file "
            "as UTF-8 ('CSV UTF-8' in Excel; or iconv -f WINDOWS-1252 -t UTF-8, if that is what it is)."
        ) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise InputError(f"{path}, line {line}: a zero byte in the text; save the file as UTF-8 text.")
    return text
