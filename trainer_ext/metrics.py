"""Metrics: quality of one classifier, and what changed between two, each with its uncertainty.

Labels are integers [rows]; results are fractions in [0, 1], never per cent. The two modules work offline, with
``compute``, ``add_batch`` and ``evaluate.combine`` like every module of the evaluate library. Importing this file
imports evaluate (seconds): import it where it is used.
"""

from __future__ import annotations

import functools
import logging
from typing import Any

import datasets
import evaluate
import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from sklearn.metrics import precision_recall_fscore_support

from trainer_ext.intervals import bootstrap_interval, paired_difference_interval, wilson_interval

__all__ = [
    "BUILT_IN",
    "Agreement",
    "ClassificationQuality",
    "accuracy",
    "agreement",
    "answers_changed",
    "bootstrap_interval",
    "classification_quality",
    "load_metric",
    "macro_f1",
    "paired_difference_interval",
    "wilson_interval",
]

logger = logging.getLogger(__name__)

BUILT_IN = ("accuracy", "macro_f1")
_CITATION = "McNemar, Q. (1947). Note on the sampling error of the difference between correlated proportions."


def accuracy(predictions: ArrayLike, references: ArrayLike) -> float:
    """Fraction of rows where prediction and reference, both [rows], are equal."""
    predictions, references = _labels(predictions=predictions, references=references)
    return float(np.mean(predictions == references))


def macro_f1(predictions: ArrayLike, references: ArrayLike) -> float:
    """Mean F1 over the labels present in the references; a label that is only predicted has no term of its own.

    It equals scikit-learn's ``f1_score(references, predictions, average="macro", labels=numpy.unique(references),
    zero_division=0)``, computed from counts, which is fast enough to resample.
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
    """Accuracy, macro-F1 and the quality per class.

    Args:
        predictions: predicted labels, [rows].
        references: true labels, [rows].
        num_classes: list every label below it; None lists the labels that occur.

    Returns:
        ``accuracy``, ``macro_f1`` (over the labels present in the references) and ``per_class``, a list of
        {label, support, precision, recall, f1}; what is 0/0 counts as 0.

    Raises:
        ValueError: no rows, unequal lengths, labels that are not integers or outside [0, num_classes).
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
    """How the answers of a compressed model differ from its baseline's; all arguments are labels [rows].

    Returns:
        ``agreement`` (fraction of equal predictions), ``lost`` (rows where only the baseline is right), ``won`` (only
        the compressed model), ``both_wrong``, and ``mcnemar_p``: the exact two-sided binomial p-value of lost against
        won, 1.0 when there is neither.

    Raises:
        ValueError: no rows, unequal lengths, or labels that are not integers.
    """
    baseline, compressed, references = _labels(baseline=baseline, compressed=compressed, references=references)
    same = float(np.mean(baseline == compressed))
    return {"agreement": same, **answers_changed(baseline == references, compressed == references)}


def answers_changed(was_right: np.ndarray, is_right: np.ndarray) -> dict[str, Any]:
    """``lost``, ``won``, ``both_wrong`` and ``mcnemar_p`` as in :func:`agreement`, from booleans [rows]."""
    lost, won = int(np.sum(was_right & ~is_right)), int(np.sum(~was_right & is_right))
    return {
        "lost": lost,
        "won": won,
        "both_wrong": int(np.sum(~was_right & ~is_right)),
        "mcnemar_p": float(stats.binomtest(lost, lost + won).pvalue) if lost + won else 1.0,
    }


class _IntegerInputs:
    """Refuses labels that are not integers: evaluate would truncate 0.7 to 0."""

    def add_batch(self, **named: Any) -> None:
        """Add the labels of a batch, integers [rows] each.

        Raises:
            ValueError: labels that are not non-negative integers, or unequal lengths.
        """
        _labels(**{name: values for name, values in named.items() if values is not None})
        super().add_batch(**named)


class ClassificationQuality(_IntegerInputs, evaluate.Metric):
    """:func:`classification_quality` as an evaluate metric; a ``config_name`` of BUILT_IN returns that number alone."""

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
    """:func:`agreement` as an evaluate comparison: predictions1 of the baseline, predictions2 of the compressed."""

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
    """The metric of that name: ``macro_f1`` is this module's, every other comes from ``evaluate.load``.

    ``accuracy`` falls back to this module's, with one logged warning, when the Hub cannot be reached. A metric of the
    Hub is code that evaluate downloads and runs.

    Raises:
        ValueError: the metric could not be loaded.
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
    """The named labels as integer arrays [rows], checked to be one-dimensional, non-negative and equally long."""
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
