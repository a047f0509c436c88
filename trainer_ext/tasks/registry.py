"""The table of tasks: how to read, encode, postprocess and score each one, and with which head."""

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
    """One task.

    Attributes:
        name: as on the Hub.
        problem_type: as in the configuration of the model; None if the head has only one.
        title: for messages and reports.
        head: the end of the names of its model classes, one of `trainer_ext.models.loading.HEADS`.
        read: reads a file.
        labels: the kind of labels.
        encode: tokenizes rows of texts (see encoding.py).
        collator: pads a batch of train rows, and their labels if there is one per token.
        answer: returns one prediction per row from the logits (see postprocess.py).
        references: returns the true answers from the column of labels.
        statistics: scores predictions (see metrics.py); the first statistic is the main metric.
        right: the statistic with one boolean per row; None if there is none.
        same: whether two predictions are equal, element by element; None for numbers, which hardly ever are.
        per_class: returns scores by class; None if there are no classes.
        pairs: whether `text_pair_column` is allowed.
        pieces: whether a long text is read in several windows rather than cut off.
        shortest: smallest `max_length`: special tokens and some of the text.
        smooth: whether `label_smoothing_factor` is allowed.
        more_metrics: whether predictions and references fit most metrics of the evaluate library.
        tokenizer: options for loading the tokenizer.
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
        statistics=metrics.single_label_statistics,
        right="accuracy",
        same=np.equal,
        per_class=metrics.per_class_single_label,
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
        statistics=metrics.multi_label_statistics,
        right="subset_accuracy",
        same=lambda first, second: (first == second).all(-1),
        per_class=metrics.per_class_multi_label,
    ),
    _of_texts(
        problem_type="regression",
        title="text regression",
        read=read_number,
        labels=labels.NUMBER,
        answer=postprocess.number,
        references=lambda column, names: np.array(column, dtype=np.float64),
        statistics=metrics.regression_statistics,
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
        statistics=metrics.tagging_statistics,
        right=None,
        same=lambda first, second: np.array(sum(first, [])) == np.array(sum(second, [])),
        per_class=metrics.per_entity_type,
        pairs=False,
        smooth=True,
        tokenizer=(("add_prefix_space", True),),  # byte-level tokenizers mark a word by the space before it
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
        statistics=metrics.answer_statistics,
        right="exact_match",
        same=lambda first, second: np.array(first) == np.array(second),
        per_class=None,
        pairs=False,
        pieces=True,
        shortest=16,
    ),
)


def task_of(args: DataArguments) -> Task:
    """Return the task that `task` and `problem_type` name, after a check of the fields that depend on it.

    Args:
        args: the fields about the data and the task.

    Raises:
        InputError: There is no such task, or a field is not valid for it.
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
    several = task.labels is labels.CLASSES
    checks = (
        ("text_pair_column", task.pairs or args.text_pair_column is None, f"left out for {task.name}"),
        (
            "label_columns",
            not args.label_columns or several,
            "given with --problem_type multi_label_classification only",
        ),
        ("label_columns", len(set(args.label_columns)) == len(args.label_columns), "different columns"),
        ("label_separator", bool(args.label_separator), "one character or more"),
        ("max_length", args.max_length >= shortest, f"{shortest} or more: special tokens and some of the text"),
        ("doc_stride", not task.pieces or 1 <= args.doc_stride <= half, f"in [1, {half}], half of max_length"),
        ("max_answer_length", args.max_answer_length >= 1, "1 or more"),
        ("max_train_rows", args.max_train_rows is None or args.max_train_rows >= 1, "1 or more"),
        ("test_share", args.test_share is None or 0 < args.test_share <= 0.5, "in (0, 0.5]"),
        ("holdout_share", args.holdout_share is None or 0 < args.holdout_share <= 0.5, "in (0, 0.5]"),
    )
    for name, fits, expected in checks:
        if not fits:
            raise InputError(f"--{name} must be {expected}; it is {getattr(args, name)!r}.")
