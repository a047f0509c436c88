"""Flips: where the answers of two models differ, and how far their probabilities moved; pure functions of a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from batch import Batch

_OUTCOMES = {(True, False): "lost", (False, True): "won", (False, False): "both wrong", (True, True): "both right"}


def flip_matrix(before: Sequence[str], after: Sequence[str]) -> Counter[tuple[str, str]]:
    """How many rows got which two answers, (before, after); where both are the same nothing flipped."""
    return Counter(zip(before, after, strict=True))


def most_flipped(flips: Counter[tuple[str, str]], *, most: int) -> list[str]:
    """The answers that most rows came from or went to, and of equal ones the most frequent, at most so many."""
    flipped, given = Counter(), Counter()
    for (before, after), count in flips.items():
        for answer in (before, after):
            given[answer] += count
            flipped[answer] += count * (before != after)
    return sorted(given, key=lambda answer: (-flipped[answer], -given[answer], answer))[:most]


def largest_gaps(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per row the label whose probability changed most, and by how much: indices [rows], after - before [rows].

    Args:
        probabilities: of both models, [2, rows, labels].
    """
    moved = probabilities[1] - probabilities[0]
    label = np.abs(moved).argmax(-1)
    return label, np.take_along_axis(moved, label[:, None], -1)[:, 0]


def by_change(batch: Batch, rows: Iterable[int]) -> list[int]:
    """These rows, those first whose probabilities are furthest apart."""
    gaps = np.abs(largest_gaps(batch.probabilities)[1])
    return sorted(rows, key=lambda row: (-gaps[row], row))


def differing(batch: Batch) -> list[int]:
    """The rows with two answers, the largest change of a probability first."""
    before, after = batch.answers
    return by_change(batch, (row for row in range(len(before)) if before[row] != after[row]))


def rows_of_cell(batch: Batch, before: str, after: str) -> list[int]:
    """The rows with these two answers, the largest change first."""
    answers = list(zip(*batch.answers, strict=True))
    return by_change(batch, (row for row, both in enumerate(answers) if both == (before, after)))


def outcome(batch: Batch, row: int) -> str:
    """ "lost", "won", "both wrong" or "both right"; empty where the texts have no labels."""
    if batch.truths is None:
        return ""
    before, after = (answers[row] == batch.truths[row] for answers in batch.answers)
    return _OUTCOMES[before, after]
