"""Check that an exported file predicts as the model does: equal logits in fp32, nearly the same quality in int8."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import DataCollatorWithPadding

from ..models import outputs
from ..models.runtimes import Runtime
from ..report.schema import AGREEMENT, LEAST_AGREEMENT, Difference, Scores
from ..tasks.evaluate import compare_on
from .source import ExportSource

BATCH = 8  # texts of several lengths in one batch, so that there is padding
EXACT_ROWS = 64  # texts that fp32 files are compared on
# Predictions of logits, for tasks where they are not the largest of the last axis.
DECISIONS = {
    "multi_label_classification": lambda logits: logits > 0,
    "question-answering": lambda logits: logits.argmax(0),
}


@dataclass(frozen=True)
class Findings:
    """The result of a check; None for what was not measured.

    Attributes:
        holds: whether the check passed.
        reason: why not, for the error message.
        rows: number of rows that were compared.
        split: of these rows; None without data.
        max_abs_difference: of logits.
        quality: metrics of the file.
        difference: of the main metric of the file from that of the model.
        from_baseline: of the main metric of the file from that of the baseline of the run.
        agreement: fraction of equal predictions.
        loss: of the main metric, or the fraction of other predictions; NaN if neither is known.
        answers: of the file to all rows of the split, as `Task.answer` gives them.
    """

    holds: bool
    reason: str
    rows: int
    split: str | None = None
    max_abs_difference: float | None = None
    quality: Scores | None = None
    difference: Difference | None = None
    from_baseline: Difference | None = None
    agreement: float | None = None
    loss: float = math.nan
    answers: Any = field(default=None, repr=False, compare=False)


@outputs.full_precision()
def check_exact(source: ExportSource, runtime: Runtime, *, on_rows: Callable[[int], None]) -> Findings:
    """Compare the logits of a file with those of the model, on test texts of the run or else on random tokens.

    Args:
        source: the exported model.
        runtime: the opened file.
        on_rows: called with the number of rows after each batch.
    """
    split: str | None = None
    rows, difference, allowed = 0, 0.0, 0.0
    if source.encoded:
        split, encoded = next(iter(source.encoded.tests.items()))
        spread = np.linspace(0, len(encoded) - 1, min(EXACT_ROWS, len(encoded))).astype(int)
        batches = list(batches_of(source, encoded.select(spread)))
    else:
        shapes = ((1, 7), (4, 12), (BATCH, 32))
        batches = [outputs.synthetic_batch(source.model, rows=r, length=n, seed=r) for r, n in shapes]
        zeros = [dict.fromkeys(source.inputs, torch.zeros_like(batch["input_ids"])) for batch in batches]
        batches = [empty | batch for empty, batch in zip(zeros, batches, strict=True)]
    for batch in batches:
        expected = outputs.logits(source.model, batch)
        found = torch.from_numpy(runtime.run({name: value.numpy() for name, value in batch.items()}))
        # max() would ignore NaN.
        worst = torch.nan_to_num((found - expected).abs(), nan=torch.inf).max().item()
        difference, allowed = max(difference, worst), max(allowed, outputs.allowed_difference(expected))
        rows += len(expected)
        on_rows(len(expected))
    reason = f"its logits differ by {difference:.1e} from those of the model, above {allowed:.1e}"
    return Findings(difference <= allowed, reason, rows, split, max_abs_difference=difference)


def check_quality(
    source: ExportSource,
    runtime: Runtime,
    expected: Any,
    *,
    baseline: Any = None,
    max_drop: float,
    on_rows: Callable[[int], None],
) -> Findings:
    """Compare the main metric of a file on the first test set of the run; without labels, compare predictions.

    Args:
        source: the exported model.
        runtime: the opened file.
        expected: what `judged_answers` returns for the model.
        baseline: answers of the baseline of the run to these rows; None if there is none.
        max_drop: how far the main metric may fall.
        on_rows: called with the number of rows after each batch.
    """
    found = judged_answers(source, runtime.run, on_rows=on_rows)
    if not source.data:
        return _by_agreement(_agreement(source, source.calibration, expected, found), len(source.calibration))
    split, texts = next(iter(source.data.tests.items()))
    compare = partial(compare_on, split, texts, task=source.task, args=source.args, labels=source.data.labels)
    result = compare(expected, found)
    if result.metric == AGREEMENT:
        return replace(_by_agreement(result.agreement, result.rows, split), answers=found)
    change = result.difference.main if result.difference else None
    drop = math.nan if change is None else -change
    reason = f"{result.metric} falls by {drop:.4f} on {split}, more than {max_drop:g}"
    return Findings(
        bool(drop <= max_drop + 1e-9),  # false for NaN; 0.01 is not exact in binary
        reason,
        result.rows,
        split,
        quality=result.compressed,
        difference=result.difference,
        from_baseline=None if baseline is None else compare(baseline, found).difference,
        agreement=result.agreement,
        loss=drop,
        answers=found,
    )


def _by_agreement(agreement: float | None, rows: int, split: str | None = None) -> Findings:
    reason = f"the fraction of predictions equal to those of the model is {agreement}, below {LEAST_AGREEMENT}"
    loss = math.nan if agreement is None else 1 - agreement
    holds = agreement is None or agreement >= LEAST_AGREEMENT
    return Findings(holds, reason, rows, split, agreement=agreement, loss=loss)


def judged_answers(source: ExportSource, run: Callable, *, on_rows: Callable[[int], None]) -> Any:
    """Return the answers of a model or file to the first test set of its run; without a run, logits of `judged_rows`.

    Args:
        source: the model.
        run: it, or a file of it, as a function from a batch of arrays to logits.
        on_rows: called with the number of rows after each batch.
    """
    if source.data is None:
        return answers_of(source, judged_rows(source), run, on_rows=on_rows)
    return answers_to(source, judged_split(source), run, on_rows=on_rows)


def answers_to(source: ExportSource, split: str, run: Callable, *, on_rows: Callable[[int], None]) -> Any:
    """Return the answers of a model or file to a test set of its run, one per text, as `Task.answer` gives them.

    Args:
        source: the model.
        split: the name of the test set.
        run: the model, or a file of it, as a function from a batch of arrays to logits.
        on_rows: called with the number of rows after each batch.

    Raises:
        ValueError: The model has no run.
    """
    data = source.data
    if data is None or source.encoded is None:
        raise ValueError(f"{source.folder} is a model without a run, so it has no test set {split!r}.")
    encoded = source.encoded.tests[split]
    logits = answers_of(source, encoded, run, on_rows=on_rows)
    return source.task.answer(logits, encoded, data.tests[split], data.labels, source.args)


def judged_split(source: ExportSource) -> str:
    """Return the name of the test set that int8 files are checked on; empty for a model without a run."""
    return next(iter(source.data.tests)) if source.data else ""


def judged_rows(source: ExportSource):
    """Return the encoded texts that int8 files are checked on."""
    if source.encoded:
        return next(iter(source.encoded.tests.values()))
    return source.calibration


def answers_of(source: ExportSource, encoded, run: Callable, *, on_rows: Callable[[int], None]) -> list[np.ndarray]:
    """Return the logits of each row, `[labels]` or `[length, labels]`.

    Args:
        source: the exported model.
        encoded: tokenized rows.
        run: function from a batch of arrays to logits.
        on_rows: called with the number of rows after each batch.
    """
    found: list[np.ndarray] = []
    for batch in batches_of(source, encoded):
        rows = run({name: value.numpy() for name, value in batch.items()})
        found += list(rows)
        on_rows(len(rows))
    return found


def run_model(source: ExportSource) -> Callable:
    """Return the model as a function from a batch of arrays to logits, like that of a runtime."""

    def run(batch):
        return outputs.logits(source.model, {name: torch.from_numpy(value) for name, value in batch.items()}).numpy()

    return run


def batches_of(source: ExportSource, encoded) -> Iterator[dict[str, torch.Tensor]]:
    """Return tokenized rows in batches, padded to the longest of each.

    Args:
        source: the exported model.
        encoded: tokenized rows.
    """
    collate = DataCollatorWithPadding(source.tokenizer)
    for start in range(0, len(encoded), BATCH):
        rows = [encoded[index] for index in range(start, min(start + BATCH, len(encoded)))]
        yield dict(collate([{name: row[name] for name in source.inputs} for row in rows]))


def _agreement(
    source: ExportSource, encoded, expected: Sequence[np.ndarray], found: Sequence[np.ndarray]
) -> float | None:
    """Return the fraction of texts, tokens, or starts and ends of answers with equal predictions; None for regression."""
    if source.task.same is None:
        return None
    decide = DECISIONS.get(source.task.problem_type or source.task.name, lambda logits: logits.argmax(-1))
    same = []
    for row, *both in zip(encoded, expected, found, strict=True):
        tokens = slice(len(row["input_ids"]) if both[0].ndim > 1 else None)
        same.append(np.mean(decide(both[0][tokens]) == decide(both[1][tokens])))
    return float(np.mean(same))
