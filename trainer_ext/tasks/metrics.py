"""Quality of one model and differences between two, for every task.

Labels are integers `[rows]`, results are fractions in [0, 1], never per cent. Everything works offline. The two modules for
the evaluate library have `compute`, `add_batch` and `evaluate.combine` like any other. Importing this file imports evaluate,
which takes seconds, so import it only where it is used.
"""

from __future__ import annotations

import functools
import logging
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import datasets
import evaluate
import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from sklearn.metrics import precision_recall_fscore_support

from ..data.arguments import DataArguments

logger = logging.getLogger(__name__)

BUILT_IN = ("accuracy", "macro_f1")
_CITATION = "McNemar, Q. (1947). Note on the sampling error of the difference between correlated proportions."
_ARTICLES = {"en": re.compile(r"\b(a|an|the)\b")}  # by language

# By name: a function of rows, and the array [rows, ...] to apply it to. Resampling the rows gives its interval; an array of
# booleans is a proportion, whose interval needs no resampling.
Statistics = dict[str, tuple[Callable[[np.ndarray], float], np.ndarray]]


def accuracy(predictions: ArrayLike, references: ArrayLike) -> float:
    """Return the fraction of rows where prediction and reference are equal.

    Args:
        predictions: class ids, `[rows]`.
        references: the right ones, `[rows]`.
    """
    predictions, references = _labels(predictions=predictions, references=references)
    return float(np.mean(predictions == references))


def macro_f1(predictions: ArrayLike, references: ArrayLike) -> float:
    """Return the mean F1 of the labels that occur in the references.

    It equals scikit-learn's ``f1_score(references, predictions, average="macro", labels=numpy.unique(references),
    zero_division=0)``, but is computed from counts, which is fast enough to resample.

    Args:
        predictions: class ids, `[rows]`.
        references: the right ones, `[rows]`.
    """
    predictions, references = _labels(predictions=predictions, references=references)
    size = 1 + int(max(predictions.max(), references.max()))
    hits = np.bincount(references[predictions == references], minlength=size)
    support = np.bincount(references, minlength=size)
    predicted = np.bincount(predictions, minlength=size)
    present = support > 0
    return float(np.mean(2 * hits[present] / (support + predicted)[present]))


def classification_quality(
    predictions: ArrayLike, references: ArrayLike, *, num_classes: int | None = None
) -> dict[str, Any]:
    """Return accuracy, macro-F1 and the quality per class.

    Args:
        predictions: predicted labels, [rows].
        references: true labels, [rows].
        num_classes: list all labels below this number; None lists the labels that occur.

    Returns:
        ``accuracy``, ``macro_f1`` (over the labels present in the references) and ``per_class``, a list of
        {label, support, precision, recall, f1}; 0/0 counts as 0.

    Raises:
        ValueError: There are no rows, lengths differ, or labels are not integers in [0, num_classes).
    """
    predictions, references = _labels(num_classes=num_classes, predictions=predictions, references=references)
    listed = np.union1d(predictions, references) if num_classes is None else np.arange(num_classes)
    columns = precision_recall_fscore_support(references, predictions, labels=listed, zero_division=0)
    per_class = [
        {"label": int(label), "support": int(n), "precision": float(p), "recall": float(r), "f1": float(f)}
        for label, p, r, f, n in zip(listed, *columns, strict=True)
    ]
    return {
        "accuracy": accuracy(predictions, references),
        "macro_f1": macro_f1(predictions, references),
        "per_class": per_class,
    }


def agreement(baseline: ArrayLike, compressed: ArrayLike, references: ArrayLike) -> dict[str, Any]:
    """Return how the predictions of a compressed model differ from those of its baseline.

    Args:
        baseline: labels predicted by the baseline, [rows].
        compressed: labels predicted by the compressed model, [rows].
        references: true labels, [rows].

    Returns:
        ``agreement`` (fraction of equal predictions), ``lost`` (rows where only the baseline is right), ``won`` (only
        the compressed model), ``both_wrong``, and ``mcnemar_p``: the exact two-sided binomial p-value of lost against
        won, 1.0 if both are 0.

    Raises:
        ValueError: There are no rows, lengths differ, or labels are not integers.
    """
    baseline, compressed, references = _labels(baseline=baseline, compressed=compressed, references=references)
    same = float(np.mean(baseline == compressed))
    return {"agreement": same, **answers_changed(baseline == references, compressed == references)}


def answers_changed(was_right: np.ndarray, is_right: np.ndarray) -> dict[str, Any]:
    """Return ``lost``, ``won``, ``both_wrong`` and ``mcnemar_p`` as in `agreement`, from booleans [rows]."""
    lost, won = int(np.sum(was_right & ~is_right)), int(np.sum(~was_right & is_right))
    return {
        "lost": lost,
        "won": won,
        "both_wrong": int(np.sum(~was_right & ~is_right)),
        "mcnemar_p": float(stats.binomtest(lost, lost + won).pvalue) if lost + won else 1.0,
    }


class _IntegerInputs(evaluate.EvaluationModule):
    """Refuses labels that are not integers, because evaluate would truncate 0.7 to 0."""

    def add_batch(self, **named: Any) -> None:
        """Add the labels of a batch, integers [rows] each.

        Raises:
            ValueError: Labels are not non-negative integers, or lengths differ.
        """
        _labels(**{name: values for name, values in named.items() if values is not None})
        super().add_batch(**named)


class ClassificationQuality(_IntegerInputs, evaluate.Metric):
    """`classification_quality` as an evaluate metric; a ``config_name`` of BUILT_IN returns that number alone."""

    def _info(self) -> evaluate.MetricInfo:
        if self.config_name not in ("default", *BUILT_IN):
            raise ValueError(f"config_name={self.config_name!r} is unknown; choose one of {['default', *BUILT_IN]}.")
        return evaluate.MetricInfo(
            description="Accuracy, macro-F1 over the labels present in the references, and the quality per class.",
            citation="",
            inputs_description="predictions, references: integer labels; num_classes: list every label below it.",
            features=_features("predictions", "references"),
        )

    def _compute(self, *, predictions: Any, references: Any, num_classes: int | None = None) -> dict[str, Any]:
        values = classification_quality(predictions, references, num_classes=num_classes)
        return values if self.config_name == "default" else {self.config_name: values[self.config_name]}


class Agreement(_IntegerInputs, evaluate.Comparison):
    """`agreement` as an evaluate comparison: predictions1 of the baseline, predictions2 of the compressed."""

    def _info(self) -> evaluate.ComparisonInfo:
        return evaluate.ComparisonInfo(
            module_type="comparison",
            description="Agreement of two classifiers, answers lost and won, and McNemar's exact test.",
            citation=_CITATION,
            inputs_description="predictions1 (baseline), predictions2 (compressed), references: integer labels.",
            features=_features("predictions1", "predictions2", "references"),
        )

    def _compute(self, *, predictions1: Any, predictions2: Any, references: Any) -> dict[str, Any]:
        return agreement(predictions1, predictions2, references)


def load_metric(name: str) -> evaluate.EvaluationModule:
    """Return a metric: ``macro_f1`` of this module, any other from ``evaluate.load``.

    A metric of the Hub is code that evaluate downloads and runs. If the Hub cannot be reached, ``accuracy`` comes from this
    module too, with one logged warning.

    Args:
        name: a name or a path.

    Raises:
        ValueError: The metric could not be loaded.
    """
    if name == "macro_f1":
        return ClassificationQuality("macro_f1")
    try:
        return evaluate.load(name)
    except Exception as error:  # evaluate raises what its file, HTTP and import layers raise
        if name in BUILT_IN:
            _warn_once(name, type(error).__name__)
            return ClassificationQuality(name)
        raise ValueError(
            f"Metric {name!r} could not be loaded ({type(error).__name__}: {error}). Use a built-in metric "
            f"({', '.join(BUILT_IN)}), the path of a local metric script, or run once online so that it is cached."
        ) from error


@functools.cache
def _warn_once(name: str, reason: str) -> None:
    logger.warning("evaluate.load(%r) failed (%s): using the built-in metric of that name.", name, reason)


def _features(*names: str) -> datasets.Features:
    return datasets.Features({name: datasets.Value("int64") for name in names})


def _labels(*, num_classes: int | None = None, **named: ArrayLike) -> list[np.ndarray]:
    """Return labels as arrays [rows], after checking that they are non-negative integers of one length."""
    arrays = {name: np.asarray(values) for name, values in named.items()}
    lengths = {name: array.shape for name, array in arrays.items()}
    if len(set(lengths.values())) != 1 or any(array.ndim != 1 or not len(array) for array in arrays.values()):
        raise ValueError(f"Labels need one shape [rows] with rows >= 1, got {lengths}; take the argmax of logits.")
    for name, array in arrays.items():
        if not np.issubdtype(array.dtype, np.integer):
            raise ValueError(f"{name} holds {array.dtype}, not integer labels; map names to ids, take logits' argmax.")
        if array.min() < 0 or (num_classes is not None and array.max() >= num_classes):
            raise ValueError(
                f"{name} has labels in [{array.min()}, {array.max()}], allowed is [0, {num_classes or 'any'}); "
                "drop rows without a label, or give the right num_classes."
            )
    return list(arrays.values())


def entities(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """Return the entities of a sentence as (type, first word, word after the last).

    An entity is right if its type, first and last word are right (Tjong Kim Sang and De Meulder 2003,
    https://aclanthology.org/W03-0419). As in the `conlleval` script, an I-TYPE that continues nothing starts an entity.

    Args:
        tags: O, B-TYPE or I-TYPE per word.
    """
    found, kind, first = set(), "", 0
    for position, tag in enumerate([*tags, "O"]):
        prefix, _, named = tag.partition("-")
        if prefix != "I" or named != kind:
            if kind:
                found.add((kind, first, position))
            kind, first = named, position
    return found


def entity_types(*taggings: Sequence[Sequence[str]]) -> list[str]:
    """Return the entity types that occur in the tags of any sentence, sorted."""
    return sorted({tag.partition("-")[2] for tagging in taggings for tags in tagging for tag in tags} - {""})


def entity_counts(
    answers: Sequence[Sequence[str]], references: Sequence[Sequence[str]], types: Sequence[str]
) -> np.ndarray:
    """Return the numbers of right, predicted and true entities, `[rows, types, 3]`."""
    counts = np.zeros((len(references), len(types), 3), dtype=np.int64)
    number = {kind: index for index, kind in enumerate(types)}
    for row, (answer, truth) in enumerate(zip(answers, references, strict=True)):
        given, true = entities(answer), entities(truth)
        for column, some in enumerate((given & true, given, true)):
            for kind, _, _ in some:
                counts[row, number[kind], column] += 1
    return counts


def normalize_answer(text: str, *, language: str | None = None) -> list[str]:
    """Return the words of an answer in lower case, without punctuation and, in English, without articles.

    As in SQuAD (Rajpurkar et al. 2016, arXiv 1606.05250, section 6.1). For other languages all Unicode punctuation is
    removed, as in MLQA (Lewis et al. 2020, arXiv 1910.07475).

    Args:
        text: the answer.
        language: an ISO 639 code, or None.
    """
    kept = "".join(c for c in text.lower() if c not in string.punctuation and unicodedata.category(c)[0] != "P")
    articles = _ARTICLES.get(language or "")
    return (articles.sub(" ", kept) if articles else kept).split()


def exact_match(
    answers: Sequence[str], references: Sequence[Sequence[str]], *, language: str | None = None
) -> np.ndarray:
    """Return for each question whether the answer equals a true one after normalising, `[rows]`."""
    return np.array(
        [
            any(
                normalize_answer(answer, language=language) == normalize_answer(truth, language=language)
                for truth in truths
            )
            for answer, truths in zip(answers, references, strict=True)
        ]
    )


def answer_f1(
    answers: Sequence[str], references: Sequence[Sequence[str]], *, language: str | None = None
) -> np.ndarray:
    """Return for each question the F1 of its words against the true answer that fits best, `[rows]`."""
    return np.array(
        [
            max(
                _token_f1(normalize_answer(answer, language=language), normalize_answer(truth, language=language))
                for truth in truths
            )
            for answer, truths in zip(answers, references, strict=True)
        ]
    )


def _token_f1(answer: list[str], truth: list[str]) -> float:
    if not answer or not truth:
        return float(answer == truth)
    shared = (Counter(answer) & Counter(truth)).total()
    return 2 * shared / (len(answer) + len(truth))


def single_label_statistics(answers: np.ndarray, references: np.ndarray, args: DataArguments) -> Statistics:
    """Return accuracy and macro-F1 of class ids `[rows]`."""
    return {
        "accuracy": (np.mean, answers == references),
        "macro_f1": (lambda both: macro_f1(both[:, 0], both[:, 1]), np.stack([answers, references], -1)),
    }


def multi_label_statistics(answers: np.ndarray, references: np.ndarray, args: DataArguments) -> Statistics:
    """Return micro-F1, macro-F1 and the fraction of rows with all classes right, of booleans `[rows, classes]`."""
    counts = class_counts(answers, references)
    return {
        "micro_f1": (micro_f1, counts),
        "macro_f1": (macro_f1_of_counts, counts),
        "subset_accuracy": (np.mean, (answers == references).all(-1)),
    }


def regression_statistics(answers: np.ndarray, references: np.ndarray, args: DataArguments) -> Statistics:
    """Return Pearson's and Spearman's correlation, RMSE and MAE of numbers `[rows]`."""
    both, errors = np.stack([answers, references], -1), answers - references
    return {
        "pearson": (lambda pairs: correlation(*pairs.T), both),
        "spearman": (lambda pairs: correlation(*stats.rankdata(pairs, axis=0).T), both),
        "rmse": (lambda squares: np.sqrt(squares.mean()), errors**2),
        "mae": (np.mean, np.abs(errors)),
    }


def tagging_statistics(answers: list[list[str]], references: list[list[str]], args: DataArguments) -> Statistics:
    """Return the F1 of whole entities, and the fraction of words with the right tag."""
    words = np.array(
        [(sum(map(str.__eq__, answer, truth)), len(truth)) for answer, truth in zip(answers, references, strict=True)]
    )
    return {
        "entity_f1": (micro_f1, entity_counts(answers, references, entity_types(answers, references))),
        "token_accuracy": (lambda counts: counts[:, 0].sum() / counts[:, 1].sum(), words),
    }


def answer_statistics(answers: list[str], references: list[list[str]], args: DataArguments) -> Statistics:
    """Return F1 and exact match of SQuAD."""
    return {
        "f1": (np.mean, answer_f1(answers, references, language=args.language)),
        "exact_match": (np.mean, exact_match(answers, references, language=args.language)),
    }


def class_counts(answers: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Return the numbers right, predicted and true, `[rows, classes, 3]`, of booleans `[rows, classes]`."""
    return np.stack([answers & references, answers, references], -1).astype(np.int64)


def micro_f1(counts: np.ndarray) -> float:
    """Return the F1 of all classes together, from counts `[rows, classes, 3]`; 0/0 is 0."""
    return float(_f1_of_counts(counts.sum((0, 1))))


def macro_f1_of_counts(counts: np.ndarray) -> float:
    """Return the mean F1 of the classes that occur in the references, from counts `[rows, classes, 3]`; 0 if none does."""
    sums = counts.sum(0)
    present = sums[:, 2] > 0
    return float(_f1_of_counts(sums[present]).mean()) if present.any() else 0.0


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return Pearson's correlation, or 0 if one of the two is constant."""
    first, second = first - first.mean(), second - second.mean()
    scale = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / scale) if scale > 0 else 0.0


def _per_class_of_counts(counts: np.ndarray) -> list[dict[str, Any]]:
    """Return support, precision, recall and F1 per class, from counts `[rows, classes, 3]`; 0/0 is 0."""
    return [
        {
            "support": int(true),
            "precision": float(right / max(given, 1)),
            "recall": float(right / max(true, 1)),
            "f1": float(_f1_of_counts(np.array([right, given, true]))),
        }
        for right, given, true in counts.sum(0)
    ]


def _f1_of_counts(counts: np.ndarray) -> np.ndarray:
    return 2 * counts[..., 0] / np.maximum(counts[..., 1] + counts[..., 2], 1)


def per_class_single_label(
    answers: np.ndarray, references: np.ndarray, names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return support, precision, recall and F1 by class name, of class ids `[rows]`."""
    rows = classification_quality(answers, references, num_classes=len(names))["per_class"]
    return dict(zip(names, rows, strict=True))


def per_class_multi_label(
    answers: np.ndarray, references: np.ndarray, names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return support, precision, recall and F1 by class name, of booleans `[rows, classes]`."""
    return dict(zip(names, _per_class_of_counts(class_counts(answers, references)), strict=True))


def per_entity_type(answers: list, references: list, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return support, precision, recall and F1 by entity type, of tags."""
    types = entity_types([names])
    return dict(zip(types, _per_class_of_counts(entity_counts(answers, references, types)), strict=True))
