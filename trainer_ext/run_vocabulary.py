"""Vocabulary of a run: the student's tokenizer, cut before anything is trained, and kept for a start that resumes."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from datasets import Dataset
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from . import codec, report
from .cleaning import text_key
from .corpus import read_corpus
from .data import Data
from .files import whole_folder, write_json
from .run_directory import RunDirectory
from .vocabulary import Trimmed, trim_tokenizer
from .vocabulary_arguments import VocabularyArguments
from .vocabulary_figures import measure_vocabulary

_FILE = "vocabulary.json"


@dataclass(frozen=True)
class RunVocabulary:
    """The student's vocabulary.

    Attributes:
        trimmed: its tokenizer, and where its tokens come from.
        numbers: what trimming did, as the report states it.
    """

    trimmed: Trimmed
    numbers: report.Vocabulary


def open_vocabulary(
    run: RunDirectory, args: VocabularyArguments, data: Data, tokenizer: PreTrainedTokenizerBase
) -> RunVocabulary | None:
    """What an earlier start of the run has kept, or else a vocabulary cut now; nothing is written yet.

    Args:
        run: the folder of the run.
        args: how many tokens are asked for.
        data: the texts. Trimming is judged by the test texts that do not occur in the corpus.
        tokenizer: the tokenizer of the baseline.

    Returns:
        The vocabulary; None where all tokens stay.

    Raises:
        InputError: a corpus that cannot be read, or a size that cannot be.
    """
    if args.vocab_size is None:
        return None
    if run.vocabulary.is_dir():
        return _load(run)
    texts = read_corpus(args.vocab_corpus) if args.vocab_corpus else _texts(data.train)
    known = set(map(text_key, texts))
    held_out = [text for text in _texts(next(iter(data.tests.values()))) if text_key(text) not in known]
    trimmed = trim_tokenizer(tokenizer, texts, args.vocab_size)
    numbers = report.Vocabulary(report.Pair(len(tokenizer), len(trimmed.tokenizer)), held_out_texts=0)
    if held_out:
        numbers = measure_vocabulary(tokenizer, trimmed.tokenizer, held_out)
    return RunVocabulary(trimmed, replace(numbers, corpus_texts=len(texts)))


def keep_vocabulary(run: RunDirectory, found: RunVocabulary | None) -> RunVocabulary | None:
    """Write it down, once, and return what a start that resumes will read."""
    if found is None:
        return None
    if not run.vocabulary.is_dir():
        with whole_folder(run.vocabulary) as folder:
            found.trimmed.tokenizer.save_pretrained(folder)
            write_json(folder / _FILE, {"kept_ids": found.trimmed.kept_ids, "numbers": codec.encode(found.numbers)})
    return _load(run)


def _load(run: RunDirectory) -> RunVocabulary:
    kept = json.loads((run.vocabulary / _FILE).read_text(encoding="utf-8"))
    trimmed = Trimmed(AutoTokenizer.from_pretrained(run.vocabulary), kept["kept_ids"])
    return RunVocabulary(trimmed, codec.decode(report.Vocabulary, kept["numbers"]))


def _texts(rows: Dataset) -> list[str]:
    return [text for name in ("text", "text_pair") if name in rows.column_names for text in rows[name]]
