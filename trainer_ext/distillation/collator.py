"""Rows with a second encoding, for a teacher that has its own tokenizer.

The columns of the teacher have the names that its tokenizer gives them with the prefix `teacher_`: `teacher_input_ids`,
`teacher_attention_mask`, `teacher_token_type_ids`. They have their own length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datasets import Dataset, IterableDataset, concatenate_datasets
from transformers import DataCollatorWithPadding, PreTrainedTokenizerBase

from ..errors import InputError
from ..models.loading import HEADS

PREFIX = "teacher_"
IDS = f"{PREFIX}input_ids"
OWN_TOKENS_HINT = (
    "encode the train texts for it too (encode_for_teacher) and pad both with data_collator=TeacherCollator(...)"
)


def encode_for_teacher(
    dataset: Dataset | IterableDataset,
    tokenizer: PreTrainedTokenizerBase,
    *,
    text_column: str = "text",
    text_pair_column: str | None = None,
    max_length: int | None = None,
) -> Dataset | IterableDataset:
    """Add the teacher's columns to a data set, and remove the texts, which no collator can pad.

    Call it after the texts were encoded for the student, and train with `remove_unused_columns=False`.

    Args:
        dataset: rows with texts, and the columns of the student.
        tokenizer: the tokenizer of the teacher.
        text_column: name of the column of the text.
        text_pair_column: name of the column of the second text of a pair, if there is one.
        max_length: longest input of the teacher in tokens; longer ones are truncated. Default: that of its tokenizer.

    Returns:
        The rows with the columns of student and teacher.

    Raises:
        InputError: If the teacher does not read so many tokens.

    Example:
        >>> train = train.map(lambda row: tokenizer(row["text"], truncation=True))
        >>> train = encode_for_teacher(train, teacher_tokenizer)
        >>> collator = TeacherCollator(DataCollatorWithPadding(tokenizer), DataCollatorWithPadding(teacher_tokenizer))
    """
    if max_length is not None and max_length > tokenizer.model_max_length:
        raise InputError(
            f"max_length={max_length}, but the teacher reads at most {tokenizer.model_max_length} tokens; "
            "give that or less."
        )
    columns = [text_column] if text_pair_column is None else [text_column, text_pair_column]

    def encoded(rows: Mapping[str, list]) -> dict[str, list]:
        found = tokenizer(*(rows[name] for name in columns), truncation=True, max_length=max_length)
        return {PREFIX + name: values for name, values in found.items()}

    return dataset.map(encoded, batched=True, remove_columns=columns)


def put_beside(ours: Dataset, theirs: Dataset, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """Return rows that were encoded for the student, with the columns of the same rows encoded for the teacher.

    Args:
        ours: rows for the student.
        theirs: the same rows in the same order for the teacher.
        tokenizer: the tokenizer of the teacher.
    """
    names = [name for name in tokenizer.model_input_names if name in theirs.column_names]
    theirs = theirs.select_columns(names).rename_columns({name: PREFIX + name for name in names})
    return concatenate_datasets([ours, theirs], axis=1)


@dataclass
class TeacherCollator:
    """Data collator that pads the encodings of student and teacher, each with its own tokenizer.

    Rows without columns of the teacher, such as those to evaluate on, become a batch for the student alone.

    Attributes:
        student: collator for the columns of the student.
        teacher: collator for the columns of the teacher.
    """

    student: Callable[[Sequence[Mapping[str, Any]]], Mapping[str, Any]]
    teacher: DataCollatorWithPadding

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the batch: the student's inputs by name, and the teacher's with the prefix `teacher_`.

        Args:
            rows: rows as `encode_for_teacher` makes them.
        """
        ours, theirs = zip(*map(split_inputs, rows), strict=True)
        batch = dict(self.student(list(ours)))
        if theirs[0]:
            batch |= {PREFIX + name: values for name, values in self.teacher(list(theirs)).items()}
        return batch


def split_inputs(inputs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split a row or batch into the inputs of the student and those of the teacher, without the prefix."""
    ours = {name: value for name, value in inputs.items() if not name.startswith(PREFIX)}
    theirs = {name.removeprefix(PREFIX): value for name, value in inputs.items() if name.startswith(PREFIX)}
    return ours, theirs


def check_comparable(student, options) -> None:
    """Check that nothing is compared token by token, since student and teacher read different tokens.

    Args:
        student: the model that learns.
        options: an object with the `distill_*` fields.

    Raises:
        InputError: If the head labels tokens, or hidden states or relations are to be compared.
    """
    name = type(student).__name__
    if name.endswith(HEADS[1:]):
        raise InputError(
            f"{name} predicts token by token, and a teacher with another tokenizer has other tokens: their outputs "
            "cannot be compared. Leave the teacher out, or give both one tokenizer (in a recipe: no vocab_size)."
        )
    for name in ("distill_hidden", "distill_relations"):
        if getattr(options, name):
            raise InputError(
                f"{name}={getattr(options, name)} compares token by token, and a teacher with another tokenizer has "
                f"other tokens. Set {name} to 0, or give both one tokenizer (in a recipe: no vocab_size)."
            )


def check_rows(dataset, collator, *, remove_unused_columns: bool) -> None:
    """Check that the columns of the teacher reach the batch, and that something reads them.

    Args:
        dataset: the training data.
        collator: the data collator.
        remove_unused_columns: whether Trainer removes the columns that the student does not read.

    Raises:
        InputError: If the columns or their collator are missing, or Trainer would remove the columns.
    """
    columns = dataset.column_names if isinstance(dataset, Dataset | IterableDataset) else None
    if not isinstance(collator, TeacherCollator):
        if columns and IDS in columns:
            raise InputError(f"The rows have {IDS}, but nothing pads it: give data_collator=TeacherCollator(...).")
        return
    if remove_unused_columns:
        raise InputError(
            "Trainer would remove the teacher's columns, which the model does not read; set "
            "remove_unused_columns=False, and remove the columns that neither of the two reads yourself."
        )
    if columns and IDS not in columns:
        raise InputError(f"The teacher has its own tokenizer, but the rows have no {IDS}: {OWN_TOKENS_HINT}.")
