"""Run models on test sets, and compare the quality of two models, with confidence intervals."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import DataCollatorWithPadding, PreTrainedTokenizerBase

from ..data.arguments import DataArguments
from ..errors import Diverged
from ..models.outputs import logits
from ..report.schema import ClassPair, ClassScores, Difference, Quality, Scores
from ..utils.finite import DIVERGED_HINT
from .intervals import bootstrap_interval, paired_difference_interval, wilson_interval
from .metrics import Statistics
from .registry import Task

logger = logging.getLogger(__name__)


def predict(
    model, encoded: Dataset, tokenizer: PreTrainedTokenizerBase, *, batch_size: int = 64, on_rows=None
) -> list[np.ndarray]:
    """Return the fp32 logits of each row: `[labels]`, or `[length, labels]` with padding.

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
    found = []
    for batch in DataLoader(inputs, batch_size=batch_size, collate_fn=DataCollatorWithPadding(tokenizer)):
        rows = logits(model, {name: value.to(model.device) for name, value in batch.items()}).cpu().numpy()
        if np.isnan(rows).any():
            raise Diverged(f"The logits of a {type(model).__name__} are NaN; {DIVERGED_HINT}.")
        found += list(rows)
        if on_rows is not None:
            on_rows(len(rows))
    return found


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
    more = [_more(metrics, answers, references) for answers in (baseline, compressed)]
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


def _more(metrics: Sequence[str], answers: Any, references: Any) -> dict[str, float]:
    """Return the values of further metrics, without those that are not finite, such as a correlation with a constant."""
    from .metrics import load_metric

    found = {}
    for metric in metrics:
        for name, value in load_metric(metric).compute(predictions=answers, references=references).items():
            if np.isscalar(value) and np.isfinite(value):
                found[name] = float(value)  # type: ignore[arg-type]  # np.isscalar does not narrow
            elif np.isscalar(value):
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
