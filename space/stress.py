"""Stress: small changes of a text, each seeded and pure, that leave it readable for a person.

Each function gives the text with so many changes; with more changes of the same seed the earlier ones stay, so that a
dial can be turned up. A text that has no place for a change is given back as it is.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable

ZERO_WIDTH_JOINER = "\u200d"
NUKTA = "\u093c"
_WITH_NUKTA = "कखगजडढफ"  # the letters that Hindi and borrowed words write with a dot below
_DIGITS = dict(zip("०१२३४५६७८९0123456789", "0123456789०१२३४५६७८९", strict=True))
# A letter with its vowel signs, and in Devanagari the letters that a virama joins to it: nobody mistypes half of one.
_LETTERS = re.compile(
    r"(?:[^\W\d_][\u094d][\u200c\u200d]?)*[^\W\d_][\u0300-\u036f\u0900-\u0903\u093a-\u094f\u0962\u0963]*"
)


def typos(text: str, changes: int, seed: int) -> str:
    """Neighbouring letters change places, each pair inside a word and none twice."""
    letters = list(_LETTERS.finditer(text))
    pairs = [
        (first, second)
        for first, second in zip(letters, letters[1:], strict=False)
        if first.end() == second.start() and first.group() != second.group()
    ]
    taken: list[tuple[int, int, str]] = []
    for first, second in _drawn(pairs, len(pairs), seed):
        if len(taken) < changes and all(second.end() <= start or end <= first.start() for start, end, _ in taken):
            taken.append((first.start(), second.end(), second.group() + first.group()))
    return _replaced(text, taken)


def joiners(text: str, changes: int, seed: int) -> str:
    """A zero-width joiner between two letters of a word: the text looks the same."""
    letters = list(_LETTERS.finditer(text))
    places = [one.end() for one, after in zip(letters, letters[1:], strict=False) if one.end() == after.start()]
    return _replaced(text, [(place, place, ZERO_WIDTH_JOINER) for place in _drawn(places, changes, seed)])


def nuktas(text: str, changes: int, seed: int) -> str:
    """A dot below a letter that can carry one is added, and taken where there is one: फ and फ़ are typed for another."""
    text = unicodedata.normalize("NFC", text)  # after it the dot is a character of its own
    letters = list(re.finditer(f"[{_WITH_NUKTA}]{NUKTA}?", text))
    return _replaced(
        text,
        [
            (one.start(), one.end(), one.group()[0] + (NUKTA if len(one.group()) == 1 else ""))
            for one in _drawn(letters, changes, seed)
        ],
    )


def digits(text: str, changes: int, seed: int) -> str:
    """Numbers in the other digits, Devanagari for Latin and Latin for Devanagari, number by number."""
    numbers = list(re.finditer(r"[0-9०-९]+", text))
    return _replaced(
        text,
        [
            (one.start(), one.end(), "".join(_DIGITS[digit] for digit in one.group()))
            for one in _drawn(numbers, changes, seed)
        ],
    )


def truncation(text: str, changes: int, seed: int) -> str:
    """So many words fewer at the end, but one is left; the same for every seed."""
    words = text.split(" ")
    return " ".join(words[: max(1, len(words) - changes)])


KINDS: dict[str, Callable[[str, int, int], str]] = {
    "typos": typos,
    "joiners": joiners,
    "nuktas": nuktas,
    "digits": digits,
    "truncation": truncation,
}


def variants(text: str, kind: str, most: int, seed: int) -> list[str]:
    """The text with no change, with one, and so on up to `most`, as long as there is a place for another."""
    found = [KINDS[kind](text, 0, seed)]
    for changes in range(1, most + 1):
        changed = KINDS[kind](text, changes, seed)
        if changed == found[-1]:
            break
        found.append(changed)
    return found


def _drawn(places: list, changes: int, seed: int) -> list:
    """The first so many of the places in an order that the seed says."""
    return random.Random(seed).sample(places, len(places))[:changes]


def _replaced(text: str, changes: list[tuple[int, int, str]]) -> str:
    """The text with these pieces, start to end, replaced; they do not overlap."""
    for start, end, new in sorted(changes, reverse=True):
        text = text[:start] + new + text[end:]
    return text
