"""Export check: the exported file answers as the model does, exactly in fp32 and nearly in int8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import DataCollatorWithPadding

from ..models import outputs
from ..models.runtimes import Runtime
from ..report.schema import Difference, Scores
from ..tasks.evaluate import compare_quality
from .source import ExportSource

BATCH = 8  # texts of several lengths in one batch, so that there is padding
EXACT_ROWS = 64  # texts that fp32 files are compared on
LEAST_AGREEMENT = 0.9  # of an int8 file without labelled texts to judge it by
# What logits decide, where it is not the largest of the last axis.
DECISIONS = {
    "multi_label_classification": lambda logits: logits > 0,
    "question-answering": lambda logits: logits.argmax(0),
}


@dataclass(frozen=True)
class Findings:
    """What a check found; None is what it did not look at. `rows` were compared, on `split` of the data."""

    holds: bool
    words: str
    rows: int
    split: str | None = None
    max_abs_difference: float | None = None
    quality: Scores | None = None
    difference: Difference | None = None
    agreement: float | None = None


@outputs.full_precision()
def check_exact(source: ExportSource, runtime: Runtime, *, on_rows: Callable[[int], None]) -> Findings:
    """Largest difference of logits, on test texts of the run or else on random tokens at three shapes.

    Args:
        source: what was exported.
        runtime: the file, opened.
        on_rows: called with the number of rows after each batch.
    """
    split, rows, difference, allowed = None, 0, 0.0, 0.0
    if source.encoded:
        split, encoded = next(iter(source.encoded.tests.items()))
        spread = np.linspace(0, len(encoded) - 1, min(EXACT_ROWS, len(encoded))).astype(int)
        batches = list(_batches(source, encoded.select(spread)))
    else:
        shapes = ((1, 7), (4, 12), (BATCH, 32))
        batches = [outputs.synthetic_batch(source.model, rows=r, length=n, seed=r) for r, n in shapes]
        zeros = [dict.fromkeys(source.inputs, torch.zeros_like(batch["input_ids"])) for batch in batches]
        batches = [empty | batch for empty, batch in zip(zeros, batches, strict=True)]
    for batch in batches:
        expected = outputs.logits(source.model, batch)
        found = torch.from_numpy(runtime.run({name: value.numpy() for name, value in batch.items()}))
        # NaN must not hide behind max(): it is worse than any number.
        worst = torch.nan_to_num((found - expected).abs(), nan=torch.inf).max().item()
        difference, allowed = max(difference, worst), max(allowed, outputs.allowed_difference(expected))
        rows += len(expected)
        on_rows(len(expected))
    words = f"its logits differ by {difference:.1e} from those of the model, above {allowed:.0e}"
    return Findings(difference <= allowed, words, rows, split, max_abs_difference=difference)


def check_quality(
    source: ExportSource,
    runtime: Runtime,
    expected: Sequence[np.ndarray],
    *,
    max_drop: float,
    on_rows: Callable[[int], None],
) -> Findings:
    """Main metric and agreement on the first test set of the run; of a model alone agreement on the calibration texts.

    Args:
        source: what was exported.
        runtime: the file, opened.
        expected: logits of the model per row of `judged_rows`.
        max_drop: how far the main metric may fall.
        on_rows: called with the number of rows after each batch.
    """
    encoded = judged_rows(source)
    found = answers_of(source, encoded, runtime.run, on_rows=on_rows)
    if not source.data:
        agreement = _agreement(source, encoded, expected, found)
        words = f"its share of answers that are the model's is {agreement}, below {LEAST_AGREEMENT}"
        return Findings(agreement is None or agreement >= LEAST_AGREEMENT, words, len(encoded), agreement=agreement)
    split, texts = next(iter(source.data.tests.items()))
    task, labels = source.task, source.data.labels
    answers = [task.answer(list(logits), encoded, texts, labels, source.args) for logits in (expected, found)]
    references = task.references(list(texts["label"]), labels)
    result = compare_quality(split, *answers, references, task=task, args=source.args, labels=labels)
    drop = -result.difference.main
    words = f"{result.metric} falls by {drop:.4f} on {split}, more than {max_drop:g}"
    return Findings(
        bool(drop <= max_drop + 1e-9),  # false for NaN; 0.01 is not exact in binary
        words,
        result.rows,
        split,
        quality=result.compressed,
        difference=result.difference,
        agreement=result.agreement,
    )


def judged_rows(source: ExportSource):
    """Encoded texts that int8 files are judged on."""
    if source.encoded:
        return next(iter(source.encoded.tests.values()))
    return source.calibration


def answers_of(source: ExportSource, encoded, run: Callable, *, on_rows: Callable[[int], None]) -> list[np.ndarray]:
    """Logits per row, `[labels]` or `[length, labels]`, of a function from a batch of arrays."""
    found = []
    for batch in _batches(source, encoded):
        rows = run({name: value.numpy() for name, value in batch.items()})
        found += list(rows)
        on_rows(len(rows))
    return found


def run_model(source: ExportSource) -> Callable:
    """The model as a function from a batch of arrays to logits, like a runtime."""

    def run(batch):
        return outputs.logits(source.model, {name: torch.from_numpy(value) for name, value in batch.items()}).numpy()

    return run


def _batches(source: ExportSource, encoded):
    collate = DataCollatorWithPadding(source.tokenizer)
    for start in range(0, len(encoded), BATCH):
        rows = [encoded[index] for index in range(start, min(start + BATCH, len(encoded)))]
        yield dict(collate([{name: row[name] for name in source.inputs} for row in rows]))


def _agreement(
    source: ExportSource, encoded, expected: Sequence[np.ndarray], found: Sequence[np.ndarray]
) -> float | None:
    """Share of texts, of tokens, or of starts and ends of answers that are answered alike; None for numbers."""
    if source.task.same is None:
        return None
    decide = DECISIONS.get(source.task.problem_type or source.task.name, lambda logits: logits.argmax(-1))
    same = []
    for row, *both in zip(encoded, expected, found, strict=True):
        tokens = slice(len(row["input_ids"]) if both[0].ndim > 1 else None)
        same.append(np.mean(decide(both[0][tokens]) == decide(both[1][tokens])))
    return float(np.mean(same))
