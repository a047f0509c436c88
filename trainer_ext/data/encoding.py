"""Tokenize rows of texts into model inputs and labels, truncated to `max_length` tokens and not padded."""

from __future__ import annotations

from typing import Any

import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from .arguments import DataArguments

# Columns for postprocess.py, not for the model.
WORD_STARTS, ROW, OFFSETS = "word_starts", "row", "offsets"
ASIDE = frozenset({WORD_STARTS, ROW, OFFSETS})
NOT_SCORED = -100  # the label that torch's cross-entropy ignores


def text_columns(rows: Dataset) -> list[str]:
    """Return the columns of a split that hold texts: one, or for pairs two."""
    return [name for name in ("text", "text_pair") if name in rows.column_names]


def texts_of(rows: Dataset) -> list[str]:
    """Return all texts of a split, of pairs first those of the one column, then those of the other."""
    return [text for name in text_columns(rows) for text in rows[name]]


def encode_texts(rows: Dataset, tokenizer: PreTrainedTokenizerBase, args: DataArguments) -> dict[str, list]:
    """Encode texts or pairs of texts with their labels, if they have some: a class id, a multi-hot vector, or a float."""
    texts = [list(rows[name]) for name in text_columns(rows)]
    encoded = tokenizer(*texts, truncation=True, max_length=args.max_length)
    return {**encoded, "labels": list(rows["label"])} if "label" in rows.column_names else {**encoded}


def encode_words(rows: Dataset, tokenizer: PreTrainedTokenizerBase, args: DataArguments) -> dict[str, list]:
    """Encode sentences with a tag per word: the first token of a word has its tag, all others are not scored.

    The column `word_starts` has the position of the first token of each word; -1 if the word was cut off or has none.
    """
    sentences = [text.split(" ") for text in rows["text"]]
    encoded = tokenizer(sentences, is_split_into_words=True, truncation=True, max_length=args.max_length)
    labels, all_starts = [], []
    for index, tags in enumerate(rows["label"]):
        words = encoded.word_ids(index)
        starts = [words.index(word) if word in words else -1 for word in range(len(tags))]
        row = [NOT_SCORED] * len(words)
        for start, tag in zip(starts, tags, strict=True):
            if start >= 0:
                row[start] = tag
        labels.append(row)
        all_starts.append(starts)
    return {**encoded, "labels": labels, WORD_STARTS: all_starts}


def encode_questions(rows: Dataset, tokenizer: PreTrainedTokenizerBase, args: DataArguments) -> dict[str, list]:
    """Encode questions with contexts; a long context becomes several windows, each with the question before it.

    The label of a window is the first and the last token of the first answer, or the [CLS] token if the answer is not in
    it (Devlin et al. 2019, arXiv 1810.04805, and the examples of transformers). The column `row` has the row of a window,
    `offsets` the start and end of each token in the context, or -1 outside of it.
    """
    questions = _cut(list(rows["text"]), tokenizer, args)
    encoded = tokenizer(
        questions,
        list(rows["text_pair"]),
        truncation="only_second",
        max_length=args.max_length,
        stride=args.doc_stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    columns: dict[str, list[Any]] = {name: encoded[name] for name in tokenizer.model_input_names}
    columns |= {"start_positions": [], "end_positions": [], ROW: encoded["overflow_to_sample_mapping"], OFFSETS: []}
    answers = [found[0] for found in rows["label"]]
    for piece, row in enumerate(columns[ROW]):
        in_context = np.array([part == 1 for part in encoded.sequence_ids(piece)])
        offsets = np.where(in_context[:, None], encoded["offset_mapping"][piece], -1)
        start = answers[row]["start"]
        first, last = _tokens_of(offsets, start, start + len(answers[row]["text"]))
        cls = columns["input_ids"][piece].index(tokenizer.cls_token_id)
        columns["start_positions"].append(cls if first is None else first)
        columns["end_positions"].append(cls if last is None else last)
        columns[OFFSETS].append(offsets)
    return columns


def _cut(questions: list[str], tokenizer: PreTrainedTokenizerBase, args: DataArguments) -> list[str]:
    """Truncate questions so that the context of a window is longer than the stride."""
    longest = args.max_length - args.doc_stride - tokenizer.num_special_tokens_to_add(pair=True) - 1
    encoded = tokenizer(
        questions, add_special_tokens=False, truncation=True, max_length=longest, return_offsets_mapping=True
    )
    ends = [offsets[-1][1] if offsets else 0 for offsets in encoded["offset_mapping"]]
    return [question[:end] for question, end in zip(questions, ends, strict=True)]


def _tokens_of(offsets: np.ndarray, start: int, end: int) -> tuple[int, int] | tuple[None, None]:
    """Return the first and last token of the characters [start, end), or None if the window does not have all of them."""
    context = np.flatnonzero(offsets[:, 0] >= 0)
    if not len(context) or offsets[context[0], 0] > start or offsets[context[-1], 1] < end:
        return None, None
    touched = np.flatnonzero((offsets[:, 0] < end) & (offsets[:, 1] > start))
    return (int(touched[0]), int(touched[-1])) if len(touched) else (None, None)
