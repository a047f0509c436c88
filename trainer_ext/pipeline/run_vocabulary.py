"""Run teacher: whose tokens the teachers of a run read, where the student's vocabulary was cut.

Vocabulary of a run: the student's tokenizer, cut before anything is trained, and kept for a start that resumes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import starmap

from datasets import Dataset
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from .. import report
from ..data.cleaning import text_key
from ..data.corpus import read_corpus
from ..distillation.collator import check_comparable
from ..errors import InputError
from ..report import schema
from ..report.run_directory import RunDirectory
from ..tasks.dataset import Data
from ..utils.files import whole_folder, write_json
from ..vocabulary.trim import Trimmed, VocabularyArguments, measure_vocabulary, trim_tokenizer


def reads_trimmed(student, options, encodings: report.Pair[Data], trimmed: Trimmed) -> bool:
    """Whether the teacher is the trimmed baseline, which reads the student's tokens.

    Otherwise it goes on reading its own, so that it teaches what trimming changed. But where it is compared token by
    token, both must read the same. That the baseline does if every piece of the train texts stays: cut to these, it gives
    the answers and the inner states that it gave before.

    Args:
        student: the model that learns.
        options: whatever has the `distill_*` fields and `teacher_names`.
        encodings: the data with all tokens and with those that stay.
        trimmed: the vocabulary that stays.

    Raises:
        InputError: tokens are to be compared, and train texts are cut otherwise, or the teacher is another model.
    """
    if not options.teacher_names:
        return False
    try:
        check_comparable(student, options)
    except InputError as error:
        if options.teacher_names != ["self"]:
            raise
        if not _cut_alike(encodings, trimmed):
            raise InputError(
                f"{error} Or ask for so many tokens that no train text is cut into other pieces, as some are with "
                f"{len(trimmed.kept_ids)}."
            ) from error
        return True
    return False


def _cut_alike(encodings: report.Pair[Data], trimmed: Trimmed) -> bool:
    """Whether every train row is the same tokens, under their new ids."""
    before, after = (data.train["input_ids"] for data in (encodings.baseline, encodings.compressed))

    def alike(old: list[int], new: list[int]) -> bool:
        return old == [trimmed.kept_ids[index] for index in new]

    return len(before) == len(after) and all(starmap(alike, zip(before, after, strict=True)))


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
            write_json(folder / _FILE, {"kept_ids": found.trimmed.kept_ids, "numbers": schema.encode(found.numbers)})
    return _load(run)


def _load(run: RunDirectory) -> RunVocabulary:
    kept = json.loads((run.vocabulary / _FILE).read_text(encoding="utf-8"))
    trimmed = Trimmed(AutoTokenizer.from_pretrained(run.vocabulary), kept["kept_ids"])
    return RunVocabulary(trimmed, schema.decode(report.Vocabulary, kept["numbers"]))


def _texts(rows: Dataset) -> list[str]:
    return [text for name in ("text", "text_pair") if name in rows.column_names for text in rows[name]]
