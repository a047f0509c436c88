"""Tasks: one frozen row per task says how its files are read, encoded, answered and scored, and with which head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import DataCollatorForTokenClassification, DataCollatorWithPadding, PreTrainedTokenizerBase

from ..data import labels
from ..data.arguments import DataArguments
from ..data.encoding import encode_questions, encode_texts, encode_words
from ..data.readers import read_class, read_classes, read_iob, read_number, read_squad
from ..data.records import Examples, listed
from ..errors import InputError
from . import metrics, postprocess

SINGLE_LABEL = "single_label_classification"


@dataclass(frozen=True)
class Task:
    """What one task needs; what all tasks share is in the modules that take a row.

    Attributes:
        name: As the Hub calls it.
        problem_type: As transformers' configurations call it; None where the head leaves no choice.
        title: For people to read.
        head: What the names of its model classes end in, one of `opening.HEADS`.
        read: A file's rows.
        labels: What kind of labels the rows have.
        encode: Columns that a model takes, for rows of texts (see encoding.py).
        collator: Pads encoded train rows, and their labels where these are as long as the text.
        answer: One answer per row, from the logits of the encoded rows (see answers.py).
        references: The true answers, from the column of labels.
        statistics: What answers are worth (see scoring.py); the first is the main one, by which models are compared.
        right: Which statistic says of each row whether it is right; None where none does.
        same: Whether two models give the same answer, element by element; None where numbers hardly ever agree.
        per_class: Scores by class; None where there are no classes.
        pairs: Whether `text_pair_column` may name a second text.
        pieces: Whether a long text is read in pieces rather than cut off.
        shortest: Least `max_length`: special tokens and some of the text.
        smooth: Whether `label_smoothing_factor` means something.
        more_metrics: Whether answers and references have the form that most metrics of evaluate take.
        tokenizer: Options to open its tokenizer with.
    """

    name: str
    problem_type: str | None
    title: str
    head: str
    read: Callable[[Path, DataArguments], Examples]
    labels: labels.LabelKind
    encode: Callable[[Dataset, PreTrainedTokenizerBase, DataArguments], dict[str, list]]
    collator: Callable[[PreTrainedTokenizerBase], Any]
    answer: Callable[[list[np.ndarray], Dataset, Dataset, list[str], DataArguments], Any]
    references: Callable[[Sequence[Any], list[str]], Any]
    statistics: Callable[[Any, Any, DataArguments], metrics.Statistics]
    right: str | None
    same: Callable[[Any, Any], np.ndarray] | None
    per_class: Callable[[Any, Any, Sequence[str]], dict[str, dict[str, Any]]] | None
    pairs: bool = True
    pieces: bool = False
    shortest: int = 3
    smooth: bool = False
    more_metrics: bool = False
    tokenizer: tuple[tuple[str, Any], ...] = ()


_of_texts = partial(
    Task,
    name="text-classification",
    head="ForSequenceClassification",
    encode=encode_texts,
    collator=DataCollatorWithPadding,
)
TASKS = (
    _of_texts(
        problem_type=SINGLE_LABEL,
        title="single-label text classification",
        read=read_class,
        labels=labels.ONE_CLASS,
        answer=postprocess.one_class,
        references=lambda column, names: np.array(column),
        statistics=metrics.one_class,
        right="accuracy",
        same=np.equal,
        per_class=metrics.classes_of_one,
        smooth=True,
        more_metrics=True,
    ),
    _of_texts(
        problem_type="multi_label_classification",
        title="multi-label text classification",
        read=read_classes,
        labels=labels.CLASSES,
        answer=postprocess.classes,
        references=lambda column, names: np.array(column) > 0,
        statistics=metrics.classes,
        right="subset_accuracy",
        same=lambda first, second: (first == second).all(-1),
        per_class=metrics.classes_of_several,
    ),
    _of_texts(
        problem_type="regression",
        title="text regression",
        read=read_number,
        labels=labels.NUMBER,
        answer=postprocess.number,
        references=lambda column, names: np.array(column, dtype=np.float64),
        statistics=metrics.number,
        right=None,
        same=None,
        per_class=None,
        more_metrics=True,
    ),
    Task(
        name="token-classification",
        problem_type=None,
        title="token classification",
        head="ForTokenClassification",
        read=read_iob,
        labels=labels.TAGS,
        encode=encode_words,
        collator=DataCollatorForTokenClassification,
        answer=postprocess.tags,
        references=lambda column, names: [[names[tag] for tag in tags] for tags in column],
        statistics=metrics.tags,
        right=None,
        same=lambda first, second: np.array(sum(first, [])) == np.array(sum(second, [])),
        per_class=metrics.types_of_entities,
        pairs=False,
        smooth=True,
        tokenizer=(("add_prefix_space", True),),  # byte-level ones know words by the space before them
    ),
    Task(
        name="question-answering",
        problem_type=None,
        title="extractive question answering",
        head="ForQuestionAnswering",
        read=read_squad,
        labels=labels.ANSWERS,
        encode=encode_questions,
        collator=DataCollatorWithPadding,
        answer=postprocess.spans,
        references=lambda column, names: [[answer["text"] for answer in found] for found in column],
        statistics=metrics.spans,
        right="exact_match",
        same=lambda first, second: np.array(first) == np.array(second),
        per_class=None,
        pairs=False,
        pieces=True,
        shortest=16,
    ),
)


def task_of(args: DataArguments) -> Task:
    """The row that `task` and `problem_type` name, after a check of the fields that depend on them.

    Raises:
        InputError: There is no such row, or a field cannot be for it.
    """
    names = list(dict.fromkeys(task.name for task in TASKS))
    rows = {task.problem_type: task for task in TASKS if task.name == args.task}
    if not rows:
        raise InputError(f"--task is {args.task!r}; it must be one of {listed(names)}.")
    if args.problem_type is not None and args.problem_type not in rows:
        types = listed(filter(None, rows))
        raise InputError(
            f"--problem_type is {args.problem_type!r}; "
            + (f"for {args.task} it must be one of {types}." if types else f"leave it out, {args.task} has none.")
        )
    task = rows[args.problem_type] if args.problem_type else next(iter(rows.values()))
    _check_fields(task, args)
    return task


def _check_fields(task: Task, args: DataArguments) -> None:
    shortest = task.shortest + 2 * bool(args.text_pair_column)
    half = args.max_length // 2
    checks = (
        ("text_pair_column", task.pairs or args.text_pair_column is None, f"left out for {task.name}"),
        ("label_separator", bool(args.label_separator), "one character or more"),
        ("max_length", args.max_length >= shortest, f"{shortest} or more: special tokens and some of the text"),
        ("doc_stride", not task.pieces or 1 <= args.doc_stride <= half, f"in [1, {half}], half of max_length"),
        ("max_answer_length", args.max_answer_length >= 1, "1 or more"),
        ("max_train_rows", args.max_train_rows is None or args.max_train_rows >= 1, "1 or more"),
        ("holdout_share", args.holdout_share is None or 0 < args.holdout_share <= 0.5, "in (0, 0.5]"),
    )
    for name, fits, expected in checks:
        if not fits:
            raise InputError(f"--{name} must be {expected}; it is {getattr(args, name)!r}.")
