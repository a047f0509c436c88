"""Alphabet: the characters that a corpus calls for, those of its scripts included that happen not to occur in it."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable

# A script counts as one of the corpus from this share of its letters on: a stray Chinese name does not ask for 20,000.
SCRIPT_SHARE = 0.001


def script(character: str) -> str | None:
    """The script of a letter or mark, as the first word of its Unicode name; None for digits, punctuation, symbols."""
    if unicodedata.category(character)[0] not in "LM":
        return None
    return unicodedata.name(character, "?").split()[0]


def alphabet(occurring: Counter[str], candidates: Iterable[str]) -> set[str]:
    """The candidates that a corpus calls for.

    These are the characters that occur in it, the letters and marks of its scripts, and all digits and punctuation.

    Args:
        occurring: how often each character occurs in the corpus.
        candidates: the characters to choose from.
    """
    letters = Counter()
    for character, count in occurring.items():
        letters[script(character)] += count
    del letters[None]
    scripts = {name for name, count in letters.items() if count >= SCRIPT_SHARE * letters.total()}
    return {
        character
        for character in candidates
        if character in occurring
        or script(character) in scripts
        or character.isascii()
        or unicodedata.category(character)[0] in "NP"
    }
