"""Damaged text: UTF-8 that was once read as a one-byte code page, such as `Ã©` for `é`, found and undone.

A text is taken for damaged if its characters, written in a code page, are valid UTF-8. Ordinary text in these code pages
hardly ever is: each letter beyond ASCII would have to be followed by the right number of others from another part of the
page. A few short words are, such as three Cyrillic letters, so more than one character is asked for.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import replace

from .records import Examples

CODE_PAGES = ("cp1252", "cp1251", "cp866", "cp437", "cp850", "cp1250", "koi8-r", "mac-roman")
FEWEST = 2  # repaired characters; one alone may be chance


def repaired(text: str) -> str:
    """Return a text with the damage undone, or as it is if there is none.

    Args:
        text: any text.
    """
    if text.isascii():
        return text
    for page in CODE_PAGES:
        try:
            found = _bytes(text, page).decode("utf-8")
        except UnicodeError:
            continue
        characters = [character for character in found if not character.isascii()]
        if len(characters) >= FEWEST and all(map(_usual, characters)) and _scripts(characters) <= _scripts(text):
            return found
    return text


def _bytes(text: str, page: str) -> bytes:
    """Return a text in a code page; bytes that cp1252 does not define stand for themselves, as browsers read them."""
    if page != "cp1252":
        return text.encode(page)
    return b"".join(c.encode("latin-1") if ord(c) < 256 else c.encode(page) for c in text)


def _usual(character: str) -> bool:
    """Return whether a character is assigned and no control."""
    return unicodedata.category(character)[0] != "C" or character in "\u200b\u200c\u200d\ufeff"


def _scripts(text: Iterable[str]) -> int:
    """Return how many kinds of letters there are; signs between letters, which damage leaves behind, count as another."""
    letters = {
        unicodedata.name(c, "?").split()[0] for c in text if unicodedata.category(c)[0] in "LM" and ord(c) > 127
    }
    signs = any(unicodedata.category(c) in ("So", "Sm", "Sc", "Sk", "Cc", "Cf", "Lm", "No") for c in text)
    return len(letters) + signs


def look_at(table: Examples, name: str, *, repair: bool) -> tuple[Examples, str]:
    """Return the rows of a file, repaired if asked, and a line that says how many are damaged, or "".

    Args:
        table: the rows.
        name: name of the file, for the line.
        repair: whether to undo the damage.
    """
    rows = tuple(replace(row, text=repaired(row.text), pair=repaired(row.pair)) for row in table.rows)
    count = sum(new != old for new, old in zip(rows, table.rows, strict=True))
    if not count:
        return table, ""
    found = f"{name}: {count:,} of {len(rows):,} texts are damaged (UTF-8 that was read in another encoding)"
    if repair:
        return replace(table, rows=rows), f"{found} and were repaired."
    return table, f"{found}; to repair them, give --repair_encoding."
