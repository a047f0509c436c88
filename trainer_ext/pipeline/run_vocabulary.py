"""The trimmed vocabulary of a run: made before training, kept for a resumed start, and which tokens the models read.

`vocab_when` says when the model is cut. "after" the baseline was trained: baseline and teachers read all tokens, and the
compressed model the kept ones. "before": all of them read the kept ones, and the baseline is trained without the rows that
go, whose gradient norm and optimizer take half of a step of a multilingual model.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from itertools import starmap
from typing import Literal, cast

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from .. import report
from ..benchmark.size import count_parameters
from ..data.cleaning import text_key
from ..data.corpus import hold_out, read_corpus
from ..data.encoding import texts_of
from ..distillation.collator import check_comparable
from ..errors import InputError
from ..report.io import decode, encode
from ..report.run_directory import RunDirectory
from ..tasks.dataset import Data
from ..utils.files import whole_folder, write_json
from ..vocabulary.selection import MOST_CHANGED
from ..vocabulary.trim import AFTER, AUTO, BEFORE, Trimmed, measure_vocabulary, trim_model, trim_tokenizer
from .recipe import Recipe

logger = logging.getLogger(__name__)
_FILE = "vocabulary.json"
Order = Literal["before", "after"]


@dataclass(frozen=True)
class Encodings:
    """The data as inputs of each model; both are the same unless the vocabulary was trimmed."""

    baseline: Data
    compressed: Data


@dataclass(frozen=True)
class RunVocabulary:
    """The vocabulary of the compressed model.

    Attributes:
        trimmed: the tokenizer, and the ids that its tokens had before.
        numbers: what trimming changed, as the report states it.
        whole: the parameters of the model with all tokens, if the baseline is trained with the kept ones.
    """

    trimmed: Trimmed
    numbers: report.Vocabulary
    whole: report.Parameters | None = None


def open_vocabulary(
    run: RunDirectory, recipe: Recipe, data: Data, model, tokenizer: PreTrainedTokenizerBase
) -> RunVocabulary | None:
    """Return the vocabulary that an earlier start of the run kept, or else trim one now; nothing is written yet.

    Args:
        run: the folder of the run.
        recipe: how many tokens to keep.
        data: the texts. What trimming changed is measured on the test texts that do not occur in the corpus.
        model: the baseline, whose embeddings tell which tokens are alike.
        tokenizer: the tokenizer of the baseline.

    Returns:
        The vocabulary, or None if all tokens are kept.

    Raises:
        InputError: The corpus cannot be read, or the number of tokens is not possible.
    """
    if recipe.vocabulary.vocab_size is None:
        return None
    if run.vocabulary.is_dir():
        return _load(run)
    texts = corpus_of(recipe, data)
    known = set(map(text_key, texts))
    held_out = [text for text in texts_of(next(iter(data.tests.values()))) if text_key(text) not in known]
    size, embeddings = asked_size(recipe, data, model, tokenizer), embeddings_of(recipe, model)
    trimmed = trim_tokenizer(tokenizer, texts, size, embeddings=embeddings)
    if trimmed.note:
        logger.warning("%s", trimmed.note)
    numbers = report.Vocabulary(report.Pair(len(tokenizer), len(trimmed.tokenizer)), held_out_texts=0)
    if held_out:
        numbers = measure_vocabulary(tokenizer, trimmed.tokenizer, held_out)
    asked = cast("Order | None", recipe.vocabulary.vocab_when)
    when = asked or (AFTER if run.baseline.is_dir() else _default_order(recipe, model, trimmed))
    numbers = replace(numbers, corpus_texts=len(texts), trimmed=when)
    return RunVocabulary(trimmed, numbers, count_parameters(model) if when == BEFORE else None)


def _default_order(recipe: Recipe, model, trimmed: Trimmed) -> Order:
    """Return "before" if the run fine-tunes a model of which more than half are embeddings that go."""
    rows, width = model.get_input_embeddings().weight.shape
    gone = width * (rows - len(trimmed.kept_ids))
    tunes = recipe.model.baseline_epochs and not recipe.from_scratch
    return BEFORE if tunes and 2 * gone > count_parameters(model).total else AFTER


def cut_before(
    vocabulary: RunVocabulary | None, model, tokenizer: PreTrainedTokenizerBase
) -> tuple[PreTrainedTokenizerBase, RunVocabulary | None]:
    """Cut the baseline before its training, if that is the order.

    Args:
        vocabulary: that of the run.
        model: the baseline; its embeddings are cut.
        tokenizer: the tokenizer of the baseline.

    Returns:
        `(tokenizer, vocabulary)`: what the baseline reads from now on, and the vocabulary that is still to be cut after
        its training, or None.
    """
    if vocabulary is None or vocabulary.whole is None:
        return tokenizer, vocabulary
    trim_model(model, vocabulary.trimmed)
    return vocabulary.trimmed.tokenizer, None


def corpus_of(recipe: Recipe, data: Data) -> list[str]:
    """Return the texts that decide which tokens are kept: those of the corpus, and the train texts.

    Raises:
        InputError: The corpus cannot be read.
    """
    corpus = recipe.vocabulary.vocab_corpus
    return [*(read_corpus(corpus) if corpus else ()), *texts_of(data.train)]


def embeddings_of(recipe: Recipe, model) -> torch.Tensor | None:
    """Return the embeddings of a model that was trained before; random ones tell nothing."""
    return None if recipe.from_scratch else model.get_input_embeddings().weight


def asked_size(recipe: Recipe, data: Data, model, tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the number of tokens that a recipe asks for; "auto" is decided by a tenth of the train texts.

    Raises:
        InputError: It is "auto", and there are too few texts.
    """
    size = recipe.vocabulary.vocab_size
    if size != AUTO:
        return int(cast(int, size))
    _, held_out = hold_out(texts_of(data.train))
    unseen = set(map(text_key, held_out))
    texts = [text for text in corpus_of(recipe, data) if text_key(text) not in unseen]
    trimmed = trim_tokenizer(tokenizer, texts, AUTO, held_out=held_out, embeddings=embeddings_of(recipe, model))
    found = measure_vocabulary(tokenizer, trimmed.tokenizer, held_out)
    unknown = found.unknown_rate or report.Pair(0.0, 0.0)
    logger.warning(
        "vocab_size=auto: %s tokens. Of %s held-out train texts %.1f %% are tokenized differently (at most %.0f %%), and "
        "%.3f %% of the tokens are unknown (before: %.3f %%).",
        f"{len(trimmed.kept_ids):,}",
        f"{len(held_out):,}",
        100 * (found.changed_share or 0.0),
        100 * MOST_CHANGED,
        100 * (unknown.compressed or 0.0),
        100 * (unknown.baseline or 0.0),
    )
    return len(trimmed.kept_ids)


def keep_vocabulary(run: RunDirectory, found: RunVocabulary | None) -> RunVocabulary | None:
    """Save the vocabulary, unless it is already, and return what a resumed start will read."""
    if found is None:
        return None
    if not run.vocabulary.is_dir():
        with whole_folder(run.vocabulary) as folder:
            found.trimmed.tokenizer.save_pretrained(folder)
            kept = {"kept_ids": found.trimmed.kept_ids, "numbers": encode(found.numbers)}
            write_json(folder / _FILE, kept | ({"whole": encode(found.whole)} if found.whole else {}))
    return _load(run)


def _load(run: RunDirectory) -> RunVocabulary:
    kept = json.loads((run.vocabulary / _FILE).read_text(encoding="utf-8"))
    trimmed = Trimmed(AutoTokenizer.from_pretrained(run.vocabulary), kept["kept_ids"])
    whole = decode(report.Parameters, kept["whole"]) if "whole" in kept else None
    return RunVocabulary(trimmed, decode(report.Vocabulary, kept["numbers"]), whole)


def reads_trimmed(student, options, encodings: Encodings, trimmed: Trimmed) -> bool:
    """Return whether the teacher reads the student's trimmed tokens rather than its own.

    By default the teacher keeps the whole tokenizer, so that the student learns to make up for the trimming. A comparison token by token (hidden
    states, tags, answers) needs the same tokens for both. It is possible with the teacher 'self' if trimming split no
    train text differently: the trimmed baseline then computes what the baseline does.

    Args:
        student: the model that learns.
        options: an object with the `distill_*` fields and `teacher_names`.
        encodings: the data with all tokens and with the kept ones.
        trimmed: the kept vocabulary.

    Raises:
        InputError: Tokens are to be compared, but some train text is split differently or the teacher is another model.
    """
    if not options.teacher_names:
        return False
    try:
        check_comparable(student, options)
    except InputError as error:
        if options.teacher_names != ["self"]:
            raise
        if not _split_alike(encodings, trimmed):
            raise InputError(
                f"{error} Or keep more than {len(trimmed.kept_ids)} tokens, so that every train text is split as before."
            ) from error
        return True
    return False


def _split_alike(encodings: Encodings, trimmed: Trimmed) -> bool:
    """Return whether every train row has the same tokens, under their new ids."""
    before, after = (data.train["input_ids"] for data in (encodings.baseline, encodings.compressed))

    def alike(old: list[int], new: list[int]) -> bool:
        return old == [trimmed.kept_ids[index] for index in new]

    return len(before) == len(after) and all(starmap(alike, zip(before, after, strict=True)))
