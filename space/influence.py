"""Influence: how much each word carried a model's answer, by leaving one word out at a time, all in one batch.

Occlusion as in Li et al. 2016, "Understanding Neural Networks through Representation Erasure" (arXiv 1612.08220),
section 3: the importance of a word is what the probability of the answer loses without it.
"""

from __future__ import annotations

from dataclasses import dataclass

from asking import ask
from compare import check_text, likeliest
from models import Side

MOST_WORDS, MOST_TOKENS = 32, 128  # of which the batch has one text more than words


@dataclass(frozen=True)
class Influence:
    """Which words carried an answer.

    Attributes:
        label: the likeliest label of the words.
        words: that were left out in turn: the first of the text.
        shares: probability of the label with all of these words, minus that without this one; in [-1, 1].
        cut: the text has more words.
    """

    label: str
    words: list[str]
    shares: list[float]
    cut: bool


def leave_one_out(words: list[str]) -> list[str]:
    """The text of all words, then that without the first, without the second, and so on."""
    return [" ".join(words), *(" ".join(words[:index] + words[index + 1 :]) for index in range(len(words)))]


def influence(text: str, side: Side) -> Influence:
    """Of every word of a text on one model's answer; raises as :func:`compare.check_text` does."""
    every = check_text(text).split()
    words = every[:MOST_WORDS]
    with_all, *without = ask(leave_one_out(words), side, longest=MOST_TOKENS)
    (label,) = likeliest(with_all)
    return Influence(label, words, [with_all[label] - one[label] for one in without], len(every) > len(words))
