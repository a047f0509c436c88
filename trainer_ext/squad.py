"""SQuAD scores: exact match and F1 of a given answer and the best fitting true one.

Rajpurkar et al. 2016 (arXiv 1606.05250, section 6.1). For other languages than English as MLQA does it (Lewis et al.
2020, arXiv 1910.07475): every punctuation mark of Unicode is left out, and articles only where the language has these.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np

_ARTICLES = {"en": re.compile(r"\b(a|an|the)\b")}


def normalised(text: str, *, language: str | None = None) -> list[str]:
    """The words of an answer in lower case, without punctuation and, in English, without articles."""
    kept = "".join(c for c in text.lower() if c not in string.punctuation and unicodedata.category(c)[0] != "P")
    articles = _ARTICLES.get(language or "")
    return (articles.sub(" ", kept) if articles else kept).split()


def exact_match(
    answers: Sequence[str], references: Sequence[Sequence[str]], *, language: str | None = None
) -> np.ndarray:
    """Per question whether the answer equals one of the true ones after normalising, `[rows]`."""
    return np.array(
        [
            any(normalised(answer, language=language) == normalised(truth, language=language) for truth in truths)
            for answer, truths in zip(answers, references, strict=True)
        ]
    )


def f1(answers: Sequence[str], references: Sequence[Sequence[str]], *, language: str | None = None) -> np.ndarray:
    """Per question the F1 of its words and those of the true answer that fits best, `[rows]`."""
    return np.array(
        [
            max(_f1(normalised(answer, language=language), normalised(truth, language=language)) for truth in truths)
            for answer, truths in zip(answers, references, strict=True)
        ]
    )


def _f1(answer: list[str], truth: list[str]) -> float:
    if not answer or not truth:
        return float(answer == truth)
    shared = (Counter(answer) & Counter(truth)).total()
    return 2 * shared / (len(answer) + len(truth))
