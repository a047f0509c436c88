"""Run models on test sets, and compare the quality of two models, with confidence intervals."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from itertools import islice
from numbers import Real
from typing import Any

import numpy as np
from datasets import Dataset, concatenate_datasets
from torch.utils.data import DataLoader
from transformers import DataCollatorWithPadding, PreTrainedTokenizerBase

from ..data.arguments import DataArguments
from ..errors import Diverged, InputError, one_line
from ..models.outputs import logits
from ..report.schema import AGREEMENT, ClassPair, ClassScores, Difference, Quality, Scores
from ..utils.finite import DIVERGED_HINT
from .intervals import bootstrap_interval, paired_difference_interval, wilson_interval
from .metrics import Statistics
from .registry import Task

logger = logging.getLogger(__name__)

# What models and exported files of one run answer to its test sets, as `Task.answer` gives it: by their path relative to the
# folder of the run, such as "compressed", and the name of the split. It is handed on, so that nothing is computed twice.
Answers = dict[tuple[str, str], Any]
# By whether the answers are classes: metrics of the evaluate library that can be computed from answers alone.
USUAL_METRICS = {
    True: ("accuracy", "macro_f1", "f1", "precision", "recall", "matthews_correlation"),
    False: ("pearsonr", "spearmanr", "mse", "mae", "r_squared"),
}


def predict(
    model, encoded: Dataset, tokenizer: PreTrainedTokenizerBase, *, batch_size: int = 64, on_rows=None
) -> list[np.ndarray]:
    """Return the fp32 logits of each row: `[labels]`, or `[length, labels]` with padding.

    Rows of similar length are computed together, so that few of their tokens are padding, and equal rows once: test sets
    overlap where one is the other without repeats.

    Args:
        model: a model with a head.
        encoded: tokenized rows.
        tokenizer: pads a list of rows into a batch.
        batch_size: rows per forward pass.
        on_rows: called with the number of rows after each batch, for a progress bar.

    Raises:
        Diverged: A logit is NaN.
    """
    inputs = encoded.select_columns([name for name in tokenizer.model_input_names if name in encoded.column_names])
    known: dict[bytes, int] = {}  # number of a row by the digest of its values, all columns of which are equally long
    values = zip(*(inputs[name] for name in inputs.column_names), strict=True)
    same = [known.setdefault(blake2b(np.array(row, dtype=np.int64).tobytes()).digest(), len(known)) for row in values]
    inputs = inputs.select(np.unique(same, return_index=True)[1])
    if on_rows is not None and len(inputs) < len(encoded):
        on_rows(len(encoded) - len(inputs))
    order = np.argsort([len(ids) for ids in inputs["input_ids"]], kind="stable")
    found = []
    for batch in DataLoader(
        inputs, sampler=order.tolist(), batch_size=batch_size, collate_fn=DataCollatorWithPadding(tokenizer)
    ):
        rows = logits(model, {name: value.to(model.device) for name, value in batch.items()}).cpu().numpy()
        if np.isnan(rows).any():
            raise Diverged(f"The logits of a {type(model).__name__} are NaN; {DIVERGED_HINT}.")
        found += list(rows)
        if on_rows is not None:
            on_rows(len(rows))
    places = np.argsort(order)
    return [found[places[number]] for number in same]


def predict_all(
    model, tests: Mapping[str, Dataset], tokenizer: PreTrainedTokenizerBase, *, on_rows=None
) -> list[list[np.ndarray]]:
    """Return what `predict` returns, for each test set; a row that several of them hold is computed once.

    Args:
        model: as for `predict`.
        tests: tokenized rows by the name of the test set, with the same columns.
        tokenizer: as for `predict`.
        on_rows: as for `predict`.
    """
    columns = [
        name for name in tokenizer.model_input_names if all(name in test.column_names for test in tests.values())
    ]
    together = concatenate_datasets([test.select_columns(columns) for test in tests.values()])
    found = iter(predict(model, together, tokenizer, on_rows=on_rows))
    return [list(islice(found, len(test))) for test in tests.values()]


def compare_on(
    split: str,
    rows: Dataset,
    baseline: Any,
    compressed: Any,
    *,
    task: Task,
    args: DataArguments,
    labels: Sequence[str],
    metrics: Sequence[str] = (),
) -> Quality:
    """Compare the predictions of two models on rows: with their labels, or without any with each other.

    Args:
        split: the name of the split.
        rows: the rows, with a column `label` if they have labels.
        baseline: predictions of the baseline, one per row (see postprocess.py).
        compressed: predictions of the compressed model.
        task: the task.
        args: the fields about the task.
        labels: class names by id.
        metrics: names of further metrics for `evaluate.load`.
    """
    if "label" in rows.column_names:
        references = task.references(list(rows["label"]), list(labels))
        return compare_quality(
            split, baseline, compressed, references, task=task, args=args, labels=labels, metrics=metrics
        )
    if task.same is None:
        raise ValueError(f"{task.title} has no predictions that are equal or not; it needs labels.")
    same = np.asarray(task.same(baseline, compressed))
    return Quality(
        split=split,
        rows=len(same),
        metric=AGREEMENT,
        agreement=float(same.mean()),
        agreement_ci95=wilson_interval(int(same.sum()), len(same)),
    )


def compare_quality(
    split: str,
    baseline: Any,
    compressed: Any,
    references: Any,
    *,
    task: Task,
    args: DataArguments,
    labels: Sequence[str],
    metrics: Sequence[str] = (),
) -> Quality:
    """Compare the predictions of two models on one split.

    Args:
        split: the name of the split.
        baseline: predictions of the baseline, one per row (see postprocess.py).
        compressed: predictions of the compressed model.
        references: true answers.
        task: the task.
        args: the fields about the task.
        labels: class names by id.
        metrics: names of further metrics for `evaluate.load`.
    """
    from .metrics import answers_changed

    found = [task.statistics(answers, references, args) for answers in (baseline, compressed)]
    classes = len(labels) if task.labels.named else 0
    more = [_more(metrics, answers, references, classes) for answers in (baseline, compressed)]
    main, changed = next(iter(found[0])), {}
    if task.right:
        changed = answers_changed(*(statistics[task.right][1] for statistics in found))
    return Quality(
        split=split,
        rows=len(references),
        baseline=_scores(found[0], more[0]),
        compressed=_scores(found[1], more[1]),
        metric=main,
        difference=_difference(main, *(statistics[main] for statistics in found)),
        agreement=float(np.mean(task.same(baseline, compressed))) if task.same else None,
        per_class=_per_class(task, baseline, compressed, references, labels),
        **changed,
    )


def try_metrics(names: Sequence[str], *, task: Task, labels: Sequence[str], args: DataArguments) -> None:
    """Compute further metrics on made-up labels and predictions of the task, so that none fails after a training.

    Args:
        names: of the metrics, for `evaluate.load`.
        task: the task.
        labels: class names by id.
        args: the fields about the task.

    Raises:
        InputError: A metric cannot be computed for this task, or gives a number that has the name of another one.
    """
    if not names:
        return
    answers, references = _made_up(len(labels) if task.labels.named else 0)
    given = {
        name: float(statistic(rows)) for name, (statistic, rows) in task.statistics(answers, references, args).items()
    }
    for metric in names:
        try:
            found = compute_metric(metric, answers, references, classes=len(labels) if task.labels.named else 0)
        except Exception as error:  # a metric is code of others, and raises what it likes
            raise InputError(
                f"metrics: {metric!r} cannot be computed for {task.title} ({one_line(error)}); leave it out, or choose from "
                f"{', '.join(USUAL_METRICS[task.labels.named])}."
            ) from error
        for name, value in found.items():
            if abs(given.setdefault(name, value) - value) > 1e-6:
                raise InputError(
                    f"metrics: {metric!r} gives another {name!r} than the report itself or another metric; leave it out, or "
                    "give its value another name."
                )


def compute_metric(metric: str, answers: Any, references: Any, *, classes: int) -> dict[str, float]:
    """Return the numbers of a metric from `evaluate.load`, by name.

    Args:
        metric: its name.
        answers: predictions, class ids or numbers `[rows]`.
        references: true answers `[rows]`.
        classes: how many there are; 0 if the answers are numbers. A metric for two classes by default
            (`average="binary"`, such as f1) is averaged over those of the references if there are more, as macro-F1 is.

    Raises:
        ValueError: It compares numbers but the answers are classes, or the reverse; or it gives no number. A metric can also
            raise errors of its own.
    """
    from .metrics import load_metric

    module = load_metric(metric)
    formats = module.features if isinstance(module.features, list) else [module.features]
    floats = [all(str(getattr(each, "dtype", "")).startswith("float") for each in one.values()) for one in formats]
    if not (any(floats) if classes == 0 else not all(floats)):
        raise ValueError(
            "it compares numbers, and the answers are classes" if classes else "it compares classes, not numbers"
        )
    options: dict[str, Any] = {}
    known = inspect.signature(module._compute).parameters
    if classes > 2 and "average" in known and known["average"].default == "binary":
        options = {"average": "macro"} | ({"labels": np.unique(references).tolist()} if "labels" in known else {})
    values = module.compute(predictions=answers, references=references, **options) or {}
    found = {name: float(value) for name, value in values.items() if np.ndim(value) == 0 and _is_number(value)}
    if not found:
        raise ValueError("it gives no single number")
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) or (isinstance(value, np.ndarray) and value.dtype.kind in "bif")


def _made_up(classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return answers and references of a few rows: every class occurs, and some answers are wrong."""
    rows = np.arange(4 * max(classes, 3))
    if not classes:
        return rows + 0.25 * (rows % 3), rows.astype(np.float64)
    references = rows % classes
    return np.where(rows % 3 == 0, (references + 1) % classes, references), references


def _more(metrics: Sequence[str], answers: Any, references: Any, classes: int) -> dict[str, float]:
    """Return the values of further metrics, without those that are not finite, such as a correlation with a constant."""
    found = {}
    for metric in metrics:
        try:
            values = compute_metric(metric, answers, references, classes=classes)
        except Exception as error:  # it was tried before the training, which must not be lost for it
            logger.warning("The metric %s fails for these predictions (%s); it is left out.", metric, one_line(error))
            continue
        for name, value in values.items():
            if np.isfinite(value):
                found[name] = value
            else:
                logger.warning("The metric %s gives %s=%s for these predictions; it is left out.", metric, name, value)
    return found


def _scores(statistics: Statistics, more: dict[str, float]) -> Scores:
    values = {name: float(statistic(material)) for name, (statistic, material) in statistics.items()}
    intervals = {name: _interval(*statistic) for name, statistic in statistics.items()}
    return Scores(
        accuracy=values.pop("accuracy", None),
        macro_f1=values.pop("macro_f1", None),
        other=values | more,
        ci95={name: interval for name, interval in intervals.items() if interval},
    )


def _interval(statistic: Callable, material: np.ndarray) -> tuple[float, float] | None:
    if material.dtype == bool:
        return wilson_interval(int(material.sum()), len(material))
    return bootstrap_interval(statistic, material) if len(material) > 1 else None


def _difference(name: str, before: tuple[Callable, np.ndarray], after: tuple[Callable, np.ndarray]) -> Difference:
    """Return the difference of the main metric, with a paired interval."""
    statistic, first = before
    second = after[1]
    value = float(statistic(second)) - float(statistic(first))
    interval = None
    if first.dtype == bool:
        lost, won = int((first & ~second).sum()), int((second & ~first).sum())
        value, interval = (won - lost) / len(first), paired_difference_interval(lost, won, rows=len(first))
    elif len(first) > 1:
        interval = bootstrap_interval(lambda b, a: statistic(a) - statistic(b), first, second)
    return Difference(**{"accuracy" if name == "accuracy" else "value": value}, ci95=interval)


def _per_class(task: Task, baseline: Any, compressed: Any, references: Any, labels: Sequence[str]) -> list[ClassPair]:
    if task.per_class is None:
        return []
    before, after = (task.per_class(answers, references, labels) for answers in (baseline, compressed))
    return [
        ClassPair(label=name, support=before[name]["support"], baseline=_of(before[name]), compressed=_of(after[name]))
        for name in before
    ]


def _of(row: dict) -> ClassScores:
    return ClassScores(precision=row["precision"], recall=row["recall"], f1=row["f1"])
