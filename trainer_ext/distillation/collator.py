"""Teacher inputs: rows with a second encoding, for a teacher that reads with a tokenizer of its own.

The teacher's columns are called as its tokenizer calls them, with `teacher_` before: `teacher_input_ids`,
`teacher_attention_mask`, `teacher_token_type_ids`. They stand beside the student's, each of its own length.
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
WAY_OUT = "encode the train texts for it too (encode_for_teacher) and pad both with data_collator=TeacherCollator(...)"


def encode_for_teacher(
    dataset: Dataset | IterableDataset,
    tokenizer: PreTrainedTokenizerBase,
    *,
    text_column: str = "text",
    text_pair_column: str | None = None,
    max_length: int | None = None,
) -> Dataset | IterableDataset:
    """Add the teacher's columns to a data set, and take out the texts, which no collator can pad.

    Call it after the texts were encoded for the student, and train with `remove_unused_columns=False`.

    Args:
        dataset: rows with texts, and whatever the student reads and learns from.
        tokenizer: the teacher's.
        text_column: name of the column that holds the text.
        text_pair_column: name of the column that holds the second text of a pair, if there is one.
        max_length: longest input of the teacher in tokens, the rest is cut off; default: what its tokenizer says.

    Raises:
        InputError: the teacher does not read so many tokens.

    Example:
        >>> train = train.map(lambda row: tokenizer(row["text"], truncation=True))
        >>> train = encode_for_teacher(train, teacher_tokenizer)
        >>> collator = TeacherCollator(DataCollatorWithPadding(tokenizer), DataCollatorWithPadding(teacher_tokenizer))
    """
    if max_length is not None and max_length > tokenizer.model_max_length:
        raise InputError(
            f"max_length is {max_length}, but the teacher takes at most {tokenizer.model_max_length} tokens; "
            "give that or less."
        )
    columns = [text_column] if text_pair_column is None else [text_column, text_pair_column]

    def encoded(rows: Mapping[str, list]) -> dict[str, list]:
        found = tokenizer(*(rows[name] for name in columns), truncation=True, max_length=max_length)
        return {PREFIX + name: values for name, values in found.items()}

    return dataset.map(encoded, batched=True, remove_columns=columns)


def put_beside(ours: Dataset, theirs: Dataset, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """Rows encoded for the student, with the teacher's columns from the same rows encoded for the teacher.

    Args:
        ours: what the student reads and learns from.
        theirs: the same rows in the same order, with what the teacher reads.
        tokenizer: the teacher's.
    """
    names = [name for name in tokenizer.model_input_names if name in theirs.column_names]
    theirs = theirs.select_columns(names).rename_columns({name: PREFIX + name for name in names})
    return concatenate_datasets([ours, theirs], axis=1)


@dataclass
class TeacherCollator:
    """Makes one batch of two encodings, each padded with its own tokenizer.

    Rows without the teacher's columns, as those to evaluate on, become a batch of the student's alone.

    Attributes:
        student: pads what the student reads and learns from.
        teacher: pads what the teacher reads.
    """

    student: Callable[[Sequence[Mapping[str, Any]]], Mapping[str, Any]]
    teacher: DataCollatorWithPadding

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The batch: the student's inputs by name, and the teacher's with `teacher_` before."""
        ours, theirs = zip(*map(split_inputs, rows), strict=True)
        batch = dict(self.student(list(ours)))
        if theirs[0]:
            batch |= {PREFIX + name: values for name, values in self.teacher(list(theirs)).items()}
        return batch


def split_inputs(inputs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the student reads of a row or batch, and what the teacher reads, by the names that each knows."""
    ours = {name: value for name, value in inputs.items() if not name.startswith(PREFIX)}
    theirs = {name.removeprefix(PREFIX): value for name, value in inputs.items() if name.startswith(PREFIX)}
    return ours, theirs


def check_comparable(student, options) -> None:
    """Refuse what compares token by token where student and teacher read different tokens.

    Args:
        student: the model that learns.
        options: whatever has the `distill_*` fields.

    Raises:
        InputError: a head with an answer per token, hidden states or relations to compare.
    """
    name = type(student).__name__
    if name.endswith(HEADS[1:]):
        raise InputError(
            f"{name} answers token by token, and a teacher with another tokenizer has other tokens: their answers "
            "cannot be compared. Leave the teacher out, or give both one tokenizer (in a recipe: no vocab_size)."
        )
    for name in ("distill_hidden", "distill_relations"):
        if getattr(options, name):
            raise InputError(
                f"{name}={getattr(options, name)} compares token by token, and a teacher with another tokenizer has "
                f"other tokens. Set {name} to 0, or give both one tokenizer (in a recipe: no vocab_size)."
            )


def check_rows(dataset, collator, *, remove_unused_columns: bool) -> None:
    """Refuse rows whose teacher's columns would be missing from a batch, or would be there for nothing.

    Args:
        dataset: what is trained on.
        collator: what makes batches of it.
        remove_unused_columns: whether Trainer takes out the columns that the student does not know.

    Raises:
        InputError: naming what is missing.
    """
    columns = dataset.column_names if isinstance(dataset, Dataset | IterableDataset) else None
    if not isinstance(collator, TeacherCollator):
        if columns and IDS in columns:
            raise InputError(f"The rows bring {IDS}, but nothing pads it: give data_collator=TeacherCollator(...).")
        return
    if remove_unused_columns:
        raise InputError(
            "Trainer would take out the teacher's columns, which the model does not know; set "
            "remove_unused_columns=False, and take out yourself what neither of the two reads."
        )
    if columns and IDS not in columns:
        raise InputError(f"The teacher has a tokenizer of its own, but the rows bring no {IDS}: {WAY_OUT}.")
