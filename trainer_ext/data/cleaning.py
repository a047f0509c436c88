"""Choose which rows of a set to keep, and count the others by reason.

Two texts are the same if they are equal after Unicode composition (NFC), case folding and collapsing of white space.
"""

import unicodedata
from collections import Counter
from collections.abc import Hashable, Sequence, Set

from .records import Example


def text_key(text: str) -> str:
    """Return a key that is equal for texts that are the same."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def row_key(row: Example) -> tuple[str, str]:
    """Return a key that is equal for rows with the same text, or the same pair of texts."""
    return text_key(row.text), text_key(row.pair)


def first_of_each_text(rows: Sequence[Example]) -> tuple[list[Example], Counter[str]]:
    """Keep the first row of each text.

    Args:
        rows: train rows.

    Returns:
        The kept rows in order, and the number of dropped ones: "duplicate" (same label as the kept row) and "label
        conflict" (another label).
    """
    first: dict[tuple[str, str], Example] = {}
    dropped: Counter[str] = Counter()
    for row in rows:
        kept = first.setdefault(row_key(row), row)
        if kept is not row:
            dropped["duplicate" if kept.label == row.label else "label conflict"] += 1
    return list(first.values()), dropped


def unseen(rows: Sequence[Example], *, seen: Set[tuple[str, str]]) -> tuple[list[Example], Counter[str]]:
    """Keep the first row of each text that is not in the train set.

    Args:
        rows: test rows.
        seen: the `row_key` of each train row.

    Returns:
        The kept rows in order, and the number of dropped ones: "seen in train" and "repeated".
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
    """Keep at most `most` rows: the first of each class, the others in proportion to the sizes of the classes.

    Args:
        rows: the rows to choose from.
        most: number of rows to keep, at least the number of classes.

    Returns:
        The kept rows in order.
    """
    sizes = Counter(row.label for row in rows)
    met: Counter[Hashable] = Counter()
    ranks = []
    for position, row in enumerate(rows):
        ranks.append((met[row.label] / sizes[row.label], position))
        met[row.label] += 1
    return [rows[position] for position in sorted(position for _, position in sorted(ranks)[:most])]


def evenly(rows: Sequence[Example], *, most: int) -> list[Example]:
    """Keep at most `most` rows, at equal distances, starting with the first."""
    most = min(most, len(rows))
    return [rows[index * len(rows) // most] for index in range(most)]


def without(rows: Sequence[Example], *, count: int, by_class: bool) -> tuple[list[Example], list[Example]]:
    """Split off `count` rows, at equal distances over the file.

    Args:
        rows: rows without duplicates.
        count: number of rows to split off.
        by_class: whether the label is a class; then rows of each class are split off in proportion to its size, and its
            first row stays.

    Returns:
        The rows that stay and those that were split off, both in order; fewer than `count` if there are not enough.
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
