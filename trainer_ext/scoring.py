"""Scoring: what answers are worth, as statistics over rows that can be resampled, a function per task.

A statistic is a function and its material, an array whose first axis is the rows: the value is the function of all
rows, an interval comes from resampling them. Material of booleans is a proportion, whose interval needs no resampling.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import squad
from .data_arguments import DataArguments
from .entities import entity_counts, entity_types

Statistics = dict[str, tuple[Callable[[np.ndarray], float], np.ndarray]]


def one_class(answers: np.ndarray, references: np.ndarray, args: DataArguments) -> Statistics:
    """Accuracy and macro-F1 of class ids `[rows]`."""
    from .metrics import macro_f1

    return {
        "accuracy": (np.mean, answers == references),
        "macro_f1": (lambda both: macro_f1(both[:, 0], both[:, 1]), np.stack([answers, references], -1)),
    }


def classes(answers: np.ndarray, references: np.ndarray, args: DataArguments) -> Statistics:
    """Micro-F1, macro-F1 and the share of rows with all classes right, of booleans `[rows, classes]`."""
    counts = class_counts(answers, references)
    return {
        "micro_f1": (micro_f1, counts),
        "macro_f1": (macro_f1_of_counts, counts),
        "subset_accuracy": (np.mean, (answers == references).all(-1)),
    }


def number(answers: np.ndarray, references: np.ndarray, args: DataArguments) -> Statistics:
    """Pearson's and Spearman's correlation, RMSE and MAE of numbers `[rows]`."""
    from scipy.stats import rankdata

    both, errors = np.stack([answers, references], -1), answers - references
    return {
        "pearson": (lambda pairs: correlation(*pairs.T), both),
        "spearman": (lambda pairs: correlation(*rankdata(pairs, axis=0).T), both),
        "rmse": (lambda squares: np.sqrt(squares.mean()), errors**2),
        "mae": (np.mean, np.abs(errors)),
    }


def tags(answers: list[list[str]], references: list[list[str]], args: DataArguments) -> Statistics:
    """F1 of whole entities, and the share of words with the right tag."""
    words = np.array(
        [(sum(map(str.__eq__, answer, truth)), len(truth)) for answer, truth in zip(answers, references, strict=True)]
    )
    return {
        "entity_f1": (micro_f1, entity_counts(answers, references, entity_types(answers, references))),
        "token_accuracy": (lambda counts: counts[:, 0].sum() / counts[:, 1].sum(), words),
    }


def spans(answers: list[str], references: list[list[str]], args: DataArguments) -> Statistics:
    """F1 and exact match of SQuAD."""
    return {
        "f1": (np.mean, squad.f1(answers, references, language=args.language)),
        "exact_match": (np.mean, squad.exact_match(answers, references, language=args.language)),
    }


def class_counts(answers: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Right, given and true per row and class, `[rows, classes, 3]`, of booleans `[rows, classes]`."""
    return np.stack([answers & references, answers, references], -1).astype(np.int64)


def micro_f1(counts: np.ndarray) -> float:
    """F1 over all classes together, of counts (right, given, true) `[rows, classes, 3]`; 0/0 is 0."""
    return float(_f1(counts.sum((0, 1))))


def macro_f1_of_counts(counts: np.ndarray) -> float:
    """Mean F1 of the classes that are true somewhere, of counts `[rows, classes, 3]`; 0 where none is."""
    sums = counts.sum(0)
    present = sums[:, 2] > 0
    return float(_f1(sums[present]).mean()) if present.any() else 0.0


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's correlation; 0 where one of the two is constant, which tells nothing of the other."""
    first, second = first - first.mean(), second - second.mean()
    scale = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / scale) if scale > 0 else 0.0


def per_class(counts: np.ndarray) -> list[dict[str, Any]]:
    """Support, precision, recall and F1 per class, of counts `[rows, classes, 3]`; 0/0 is 0."""
    return [
        {
            "support": int(true),
            "precision": float(right / max(given, 1)),
            "recall": float(right / max(true, 1)),
            "f1": float(_f1(np.array([right, given, true]))),
        }
        for right, given, true in counts.sum(0)
    ]


def _f1(counts: np.ndarray) -> np.ndarray:
    return 2 * counts[..., 0] / np.maximum(counts[..., 1] + counts[..., 2], 1)


def classes_of_one(answers: np.ndarray, references: np.ndarray, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Support, precision, recall and F1 by class name, of class ids `[rows]`."""
    from .metrics import classification_quality

    rows = classification_quality(answers, references, num_classes=len(names))["per_class"]
    return dict(zip(names, rows, strict=True))


def classes_of_several(answers: np.ndarray, references: np.ndarray, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The same, of booleans `[rows, classes]`."""
    return dict(zip(names, per_class(class_counts(answers, references)), strict=True))


def types_of_entities(answers: list, references: list, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The same by entity type, of tags."""
    types = entity_types([names])
    return dict(zip(types, per_class(entity_counts(answers, references, types)), strict=True))
