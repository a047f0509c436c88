"""Encoding: rows of texts become what a model reads and learns from, cut at `max_length` tokens and not padded."""

from __future__ import annotations

from typing import Any

import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from .arguments import DataArguments

# Columns that only the reading of answers needs, not the model: see answers.py.
WORD_STARTS, ROW, OFFSETS = "word_starts", "row", "offsets"
ASIDE = frozenset({WORD_STARTS, ROW, OFFSETS})
NOT_SCORED = -100  # a label that torch's cross-entropy passes over


def encode_texts(rows: Dataset, tokenizer: PreTrainedTokenizerBase, args: DataArguments) -> dict[str, list]:
    """Texts, or pairs of them, with one label each: class id, a number per class, or a number."""
    texts = [list(rows[name]) for name in ("text", "text_pair") if name in rows.column_names]
    encoded = tokenizer(*texts, truncation=True, max_length=args.max_length)
    return {**encoded, "labels": list(rows["label"])}


def encode_words(rows: Dataset, tokenizer: PreTrainedTokenizerBase, args: DataArguments) -> dict[str, list]:
    """Sentences with a tag per word: the first piece of a word has its tag, every other token is not scored.

    `word_starts` holds the position of the first piece per word; -1 where the word was cut off or has no piece.
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
    """Questions with contexts; a long context makes several pieces, each with the question before it.

    The label of a piece is the first and the last token of the first answer; of a piece that lacks it, the [CLS] token
    (Devlin et al. 2019, arXiv 1810.04805, as in transformers' own examples). `row` holds the row that a piece is of, and
    `offsets` per token where it starts and ends in the context, -1 outside of it.
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
    """Questions short enough to leave room for a piece of context that is longer than the stride."""
    longest = args.max_length - args.doc_stride - tokenizer.num_special_tokens_to_add(pair=True) - 1
    encoded = tokenizer(
        questions, add_special_tokens=False, truncation=True, max_length=longest, return_offsets_mapping=True
    )
    ends = [offsets[-1][1] if offsets else 0 for offsets in encoded["offset_mapping"]]
    return [question[:end] for question, end in zip(questions, ends, strict=True)]


def _tokens_of(offsets: np.ndarray, start: int, end: int) -> tuple[int, int] | tuple[None, None]:
    """First and last token of the characters [start, end), or nothing where they are not all in this piece."""
    context = np.flatnonzero(offsets[:, 0] >= 0)
    if not len(context) or offsets[context[0], 0] > start or offsets[context[-1], 1] < end:
        return None, None
    touched = np.flatnonzero((offsets[:, 0] < end) & (offsets[:, 1] > start))
    return (int(touched[0]), int(touched[-1])) if len(touched) else (None, None)
