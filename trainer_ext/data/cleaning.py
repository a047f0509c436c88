"""Cleaning: pure functions that choose which rows of a set to keep, and count the rest by reason.

Two texts are the same if they agree after Unicode composition (NFC), case folding and white-space folding.
"""

import unicodedata
from collections import Counter
from collections.abc import Sequence, Set

from .records import Example


def text_key(text: str) -> str:
    """What two texts share if they are the same."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def row_key(row: Example) -> tuple[str, str]:
    """What two rows share if they ask the same: their texts, and of a pair both."""
    return text_key(row.text), text_key(row.pair)


def first_of_each_text(rows: Sequence[Example]) -> tuple[list[Example], Counter[str]]:
    """Keeps the first row of each text.

    Args:
        rows: Rows to train on.

    Returns:
        The rows kept, in order, and how many were not: "duplicate" (same label as the row kept) and "label conflict"
        (another label).
    """
    first: dict[tuple[str, str], Example] = {}
    dropped: Counter[str] = Counter()
    for row in rows:
        kept = first.setdefault(row_key(row), row)
        if kept is not row:
            dropped["duplicate" if kept.label == row.label else "label conflict"] += 1
    return list(first.values()), dropped


def unseen(rows: Sequence[Example], *, seen: Set[tuple[str, str]]) -> tuple[list[Example], Counter[str]]:
    """Keeps the first row of each text that was not trained on.

    Args:
        rows: Rows to test on.
        seen: `row_key` of each row of the train set.

    Returns:
        The rows kept, in order, and how many were not: "seen in train" and "repeated".
    """
    first: dict[tuple[str, str], Example] = {}
    dropped: Counter[str] = Counter()
    for row in rows:
        key = row_key(row)
        if key in seen:
            dropped["seen in train"] += 1
        elif first.setdefault(key, row) is not row:
            dropped["repeated"] += 1
    return list(first.values()), dropped


def spread(rows: Sequence[Example], *, most: int) -> list[Example]:
    """Keeps at most `most` rows: the first of each class, then of each class in proportion to its size.

    Args:
        rows: Rows to choose from.
        most: How many to keep, at least one per class.

    Returns:
        The rows kept, in order.
    """
    sizes = Counter(row.label for row in rows)
    met: Counter[str] = Counter()
    ranks = []
    for position, row in enumerate(rows):
        ranks.append((met[row.label] / sizes[row.label], position))
        met[row.label] += 1
    return [rows[position] for position in sorted(position for _, position in sorted(ranks)[:most])]


def evenly(rows: Sequence[Example], *, most: int) -> list[Example]:
    """Keeps at most `most` rows, at equal distances from the first on."""
    most = min(most, len(rows))
    return [rows[index * len(rows) // most] for index in range(most)]


def without(rows: Sequence[Example], *, count: int, by_class: bool) -> tuple[list[Example], list[Example]]:
    """Takes `count` rows out, at equal distances over the file; of each class in proportion to its size, if asked.

    Args:
        rows: Rows to choose from, no two the same.
        count: How many to take out.
        by_class: Whether the label of a row is its class; the first row of each class then stays.

    Returns:
        The rows that stay and those taken out, both in order. Fewer than `count` are taken out where no more may be.
    """
    firsts = {row.label: position for position, row in reversed([*enumerate(rows)])} if by_class else {}
    free = [position for position, row in enumerate(rows) if firsts.get(row.label) != position]
    if by_class:
        free.sort(key=lambda position: firsts[rows[position].label])
    step = len(free) / max(count, 1)
    chosen = {free[int((index + 0.5) * step)] for index in range(count)} if step >= 1 else set(free)
    return (
        [row for position, row in enumerate(rows) if position not in chosen],
        [row for position, row in enumerate(rows) if position in chosen],
    )
