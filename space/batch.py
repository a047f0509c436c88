"""Batch: what both models say about many texts, and what that is worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from compare import ANSWERS
from datasets import Dataset
from models import Pair, Side

from trainer_ext.data.arguments import DataArguments
from trainer_ext.data.cleaning import unseen
from trainer_ext.data.records import Examples
from trainer_ext.report.schema import Quality
from trainer_ext.tasks.dataset import refuse_unknown_labels
from trainer_ext.tasks.evaluate import compare_quality, predict
from trainer_ext.tasks.registry import task_of

AT_ONCE = 32  # texts per forward pass, which bounds the memory


@dataclass(frozen=True, eq=False)
class Batch:
    """Both models on the same texts.

    Attributes:
        name: where the texts are from.
        texts: of each row.
        truths: the right answer of each row in words; None where the texts have no labels.
        labels: names, in the order of the probabilities.
        answers: of both models, in words, [2][rows]; empty where none of several labels is on.
        probabilities: of both models, [2, rows, labels].
        agreement: fraction of rows with the same answer.
        quality: as compression.json has it; None where the texts have no labels.
        left_out: rows that are no texts, counted by reason.
        repeated: rows whose text came before; they count.
    """

    name: str
    texts: list[str]
    truths: list[str] | None
    labels: list[str]
    answers: tuple[list[str], list[str]]
    probabilities: np.ndarray
    agreement: float
    compare_quality: Quality | None
    left_out: dict[str, int]
    repeated: int


def compare_texts(
    table: Examples, pair: Pair, args: DataArguments, *, name: str, on_rows: Callable[[int], None] | None = None
) -> Batch:
    """Ask both models about every text, in batches, cut where the run cut its texts.

    Args:
        table: the texts; with an empty `args.label_column` their labels do not count.
        pair: the models.
        args: how the texts are read.
        name: where they are from.
        on_rows: called with a number of rows, in the end with that of all rows twice, for a progress bar.

    Raises:
        InputError: a label that the models do not know.
    """
    task, labels, rows = task_of(args), pair.baseline.labels, table.rows
    if args.label_column:
        refuse_unknown_labels(rows, labels, task.labels, path=Path(name), known_by="the model")
    texts = [row.text for row in rows]
    logits = [_logits(side, texts, labels, args.max_length, on_rows) for side in pair.sides.values()]
    answers = [task.answer(list(found), None, None, labels, args) for found in logits]
    to_probabilities, _ = ANSWERS[args.problem_type]
    found = truths = None
    if args.label_column:
        ids = {label: index for index, label in enumerate(labels)}
        truth = task.references([task.labels.value(row.label, ids) for row in rows], labels)
        found = compare_quality(name, *answers, truth, task=task, args=args, labels=labels)
        truths = in_words(truth, labels)
    return Batch(
        name=name,
        texts=texts,
        truths=truths,
        labels=labels,
        answers=tuple(in_words(answer, labels) for answer in answers),
        probabilities=to_probabilities(torch.from_numpy(np.stack(logits))).numpy(),
        agreement=float(np.mean(task.same(*answers))),
        quality=found,
        left_out=dict(table.dropped),
        repeated=unseen(rows, seen=frozenset())[1]["repeated"],
    )


def _logits(
    side: Side, texts: list[str], labels: list[str], longest: int, on_rows: Callable[[int], None] | None
) -> np.ndarray:
    """Logits [rows, labels] in the order of these labels, which may be another than the model's."""
    encoded = dict(side.tokenizer(texts, truncation=True, max_length=min(longest, side.longest)))
    found = predict(side.model, Dataset.from_dict(encoded), side.tokenizer, batch_size=AT_ONCE, on_rows=on_rows)
    return np.stack(found)[:, [side.labels.index(label) for label in labels]]


def in_words(answers: np.ndarray, labels: Sequence[str]) -> list[str]:
    """Answers as text: of class ids [rows] the name, of booleans [rows, labels] the names that are on."""
    if answers.ndim == 1:
        return [labels[index] for index in answers]
    return [", ".join(label for label, on in zip(labels, row, strict=True) if on) for row in answers]
