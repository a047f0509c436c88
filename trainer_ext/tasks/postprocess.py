"""Turn the logits of a model into predictions, one per row of a test set."""

from __future__ import annotations

import numpy as np
from datasets import Dataset

from ..data.arguments import DataArguments
from ..data.encoding import OFFSETS, ROW, WORD_STARTS

OUTSIDE = "O"


def one_class(logits: list[np.ndarray], *_: object) -> np.ndarray:
    """Return class ids `[rows]` from logits `[classes]` per row."""
    return np.stack(logits).argmax(-1)


def classes(logits: list[np.ndarray], *_: object) -> np.ndarray:
    """Return the predicted classes as booleans `[rows, classes]`: those with a sigmoid above one half."""
    return np.stack(logits) > 0


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
    best: dict[int, tuple[float, int, int]] = {}
    for row, offsets, scores in zip(encoded[ROW], encoded[OFFSETS], logits, strict=True):
        offsets = np.asarray(offsets)
        outside = np.where(offsets[:, 0] >= 0, 0.0, -np.inf)[: len(scores)]
        scores = scores[: len(offsets)]
        score, first, last = best_span(scores[:, 0] + outside, scores[:, 1] + outside, longest=args.max_answer_length)
        best[row] = max(best.get(row, (-np.inf, 0, 0)), (score, int(offsets[first, 0]), int(offsets[last, 1])))
    contexts = list(rows["text_pair"])
    return [contexts[row][best[row][1] : best[row][2]].strip() for row in range(len(contexts))]


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
