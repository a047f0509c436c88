"""Stress test: change a text step by step, and find out how many changes it takes until a model answers differently.

Each function in `KINDS` returns the text with a given number of changes. With more changes and the same seed, the earlier
changes stay the same. A text in which nothing can be changed is returned unchanged.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from core.compare import check_texts
from core.models import DECODERS, Pair, Probabilities

ZERO_WIDTH_JOINER = "\u200d"
NUKTA = "\u093c"
MOST_TOKENS = 128  # that the models read of a changed text
_WITH_NUKTA = "कखगजडढफ"  # letters that have a dot below in Hindi and in loanwords
_DIGITS = dict(zip("०१२३४५६७८९0123456789", "0123456789०१२३४५६७८९", strict=True))
# A letter with its vowel signs, and in Devanagari also the letters that a virama joins to it: they stay together.
_LETTERS = re.compile(
    r"(?:[^\W\d_][\u094d][\u200c\u200d]?)*[^\W\d_][\u0300-\u036f\u0900-\u0903\u093a-\u094f\u0962\u0963]*"
)


def typos(text: str, changes: int, seed: int) -> str:
    """Swap neighbouring letters inside a word; no letter is swapped twice."""
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
    """Insert a zero-width joiner between two letters of a word; the text looks the same."""
    letters = list(_LETTERS.finditer(text))
    places = [one.end() for one, after in zip(letters, letters[1:], strict=False) if one.end() == after.start()]
    return _replaced(text, [(place, place, ZERO_WIDTH_JOINER) for place in _drawn(places, changes, seed)])


def nuktas(text: str, changes: int, seed: int) -> str:
    """Add the dot below a letter, or remove it: फ and फ़ are often confused."""
    text = unicodedata.normalize("NFC", text)  # makes the dot a separate character
    letters = list(re.finditer(f"[{_WITH_NUKTA}]{NUKTA}?", text))
    return _replaced(
        text,
        [
            (one.start(), one.end(), one.group()[0] + (NUKTA if len(one.group()) == 1 else ""))
            for one in _drawn(letters, changes, seed)
        ],
    )


def digits(text: str, changes: int, seed: int) -> str:
    """Write numbers in the other digits: Devanagari for Latin, Latin for Devanagari."""
    numbers = list(re.finditer(r"[0-9०-९]+", text))
    return _replaced(
        text,
        [
            (one.start(), one.end(), "".join(_DIGITS[digit] for digit in one.group()))
            for one in _drawn(numbers, changes, seed)
        ],
    )


def truncation(text: str, changes: int, seed: int) -> str:
    """Remove words at the end, but keep one; the same for every seed."""
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
    """Return the text with 0, 1, 2, ... up to `most` changes, or fewer if no more are possible."""
    found = [KINDS[kind](text, 0, seed)]
    for changes in range(1, most + 1):
        changed = KINDS[kind](text, changes, seed)
        if changed == found[-1]:
            break
        found.append(changed)
    return found


def _drawn(places: list, changes: int, seed: int) -> list:
    """Return the first places of an order that depends only on the seed."""
    return random.Random(seed).sample(places, len(places))[:changes]


def _replaced(text: str, changes: list[tuple[int, int, str]]) -> str:
    """Replace pieces of a text, given as (start, end, new text), which do not overlap."""
    for start, end, new in sorted(changes, reverse=True):
        text = text[:start] + new + text[end:]
    return text


@dataclass(frozen=True)
class Trial:
    """A text with more and more changes of one kind, and the answers of both models.

    Attributes:
        kind: A key of `KINDS`.
        texts: The text with 0, 1, 2, ... changes; only the first if nothing can be changed.
        labels: For each model, its labels for each text.
        kept: For each model and text, the probability of its first answer; for several labels the lowest.
        turned: For each model, the number of changes at which its answer differs first; None if it never does.
    """

    kind: str
    texts: list[str]
    labels: dict[str, list[list[str]]]
    kept: dict[str, list[float]]
    turned: dict[str, int | None]


def first_other(answers: list[list[str]]) -> int | None:
    """Return the index of the first answer that differs from the one at 0, or None."""
    return next((index for index, answer in enumerate(answers) if answer != answers[0]), None)


def first_to_turn(turned: dict[str, int | None]) -> str | None:
    """Return the model that needs fewer changes; None if both need the same number or neither turns."""
    ranked = sorted((changes, name) for name, changes in turned.items() if changes is not None)
    if not ranked or len({changes for changes, _ in ranked}) < len(ranked):
        return None
    return ranked[0][1]


def resist(text: str, pair: Pair, *, most: int, seed: int, second: str | None = None) -> list[Trial]:
    """Try every kind of change, with all texts in one batch per model.

    Args:
        text: The text, the first one of a pair.
        pair: The models.
        most: Maximum number of changes of each kind.
        seed: Seed of the places that are changed.
        second: The second text of a pair, which stays as it is.

    Raises:
        Refused: As :func:`core.compare.check_texts`.
    """
    text, *others = check_texts([text] if second is None else [text, second])
    texts = {kind: variants(text, kind, most, seed) for kind in KINDS}
    distinct = list(dict.fromkeys(one for some in texts.values() for one in some))
    found = {
        name: dict(zip(distinct, side.ask(distinct, max_tokens=MOST_TOKENS, second="".join(others)), strict=True))
        for name, side in pair.sides.items()
    }
    return [_trial(kind, some, found, pair) for kind, some in texts.items()]


def _trial(kind: str, texts: list[str], found: dict[str, dict[str, Probabilities]], pair: Pair) -> Trial:
    labels, kept = {}, {}
    for name, side in pair.sides.items():
        _, to_labels = DECODERS[side.problem_type]
        labels[name] = [sorted(to_labels(found[name][text])) for text in texts]
        kept[name] = [min((found[name][text][label] for label in labels[name][0]), default=0.0) for text in texts]
    return Trial(kind, texts, labels, kept, {name: first_other(answers) for name, answers in labels.items()})
