"""Turn the logits of a model into predictions, one per row of a test set."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from datasets import Dataset

from ..data.arguments import DataArguments
from ..data.encoding import OFFSETS, ROW, WORD_STARTS

OUTSIDE = "O"
THRESHOLD = 0.5  # of the sigmoid, above which one of several classes is predicted


@dataclass(frozen=True, order=True)
class FoundAnswer:
    """The answer to a question.

    Attributes:
        score: sum of its start and its end logit.
        start: its first character in the context.
        end: the character after its last one.
        probability: that of its start times that of its end, in its window.
    """

    score: float
    start: int
    end: int
    probability: float


def one_class(logits: list[np.ndarray], *_: object) -> np.ndarray:
    """Return class ids `[rows]` from logits `[classes]` per row."""
    return np.stack(logits).argmax(-1)


def classes(logits: list[np.ndarray], *_: object) -> np.ndarray:
    """Return the predicted classes as booleans `[rows, classes]`: those with a sigmoid above the threshold."""
    return np.stack(logits) > math.log(THRESHOLD / (1 - THRESHOLD))


def number(logits: list[np.ndarray], *_: object) -> np.ndarray:
    """Return numbers `[rows]` from one output per row."""
    return np.stack(logits)[:, 0].astype(np.float64)


def tags(
    logits: list[np.ndarray], encoded: Dataset, rows: Dataset, names: list[str], args: DataArguments
) -> list[list[str]]:
    """Return the tag of the first token of each word, from logits `[length, tags]` per row; O for a word that was cut off.

    Args:
        logits: per row.
        encoded: the tokenized rows.
        rows: the texts.
        names: tags by id.
        args: not used.
    """
    best = [row.argmax(-1) for row in logits]
    return [
        [names[row[start]] if start >= 0 else OUTSIDE for start in starts]
        for row, starts in zip(best, encoded[WORD_STARTS], strict=True)
    ]


def spans(
    logits: list[np.ndarray], encoded: Dataset, rows: Dataset, names: list[str], args: DataArguments
) -> list[str]:
    """Return the best answer of each question over all windows, from logits `[length, 2]` per window.

    Args:
        logits: per window.
        encoded: the windows.
        rows: the questions and contexts.
        names: not used.
        args: has `max_answer_length`.
    """
    contexts = list(rows["text_pair"])
    found = find_answers(logits, encoded, len(contexts), longest=args.max_answer_length)
    return [context[one.start : one.end].strip() for context, one in zip(contexts, found, strict=True)]


def find_answers(logits: list[np.ndarray], encoded: Dataset, questions: int, *, longest: int) -> list[FoundAnswer]:
    """Return where the best answer of each question stands, over all windows.

    Args:
        logits: `[length, 2]` per window.
        encoded: the windows.
        questions: number of questions.
        longest: largest number of tokens of an answer.
    """
    best = dict.fromkeys(range(questions), FoundAnswer(-math.inf, 0, 0, 0.0))
    for row, offsets, scores in zip(encoded[ROW], encoded[OFFSETS], logits, strict=True):
        offsets = np.asarray(offsets)
        outside = np.where(offsets[:, 0] >= 0, 0.0, -np.inf)[: len(scores)]
        start, end = (scores[: len(offsets), part] + outside for part in (0, 1))
        score, first, last = best_span(start, end, longest=longest)
        sure = _share(start, first) * _share(end, last) if math.isfinite(score) else 0.0
        best[row] = max(best[row], FoundAnswer(score, int(offsets[first, 0]), int(offsets[last, 1]), sure))
    return [best[row] for row in range(questions)]


def _share(logits: np.ndarray, chosen: int) -> float:
    """Return the probability of one position; -inf has none."""
    odds = np.exp(logits - logits.max())
    return float(odds[chosen] / odds.sum())


def best_span(start: np.ndarray, end: np.ndarray, *, longest: int) -> tuple[float, int, int]:
    """Return the span with the highest sum of start and end logit (Devlin et al. 2019, arXiv 1810.04805, section 4.2).

    Args:
        start: logits `[length]` of the first token; -inf outside of the context.
        end: logits `[length]` of the last token.
        longest: largest number of tokens of a span, at least 1.

    Returns:
        `(score, first, last)`; the score is -inf if no span is possible.
    """
    sums = start[:, None] + end[None, :]
    length = np.arange(len(start))[None, :] - np.arange(len(start))[:, None]
    sums = np.where((length >= 0) & (length < longest), sums, -np.inf)
    first, last = np.unravel_index(sums.argmax(), sums.shape)
    return float(sums[first, last]), int(first), int(last)
