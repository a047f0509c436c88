"""Selection: no character is lost that fits, likely tokens come before unlikely ones, and `auto` finds the smallest size."""

import itertools

import pytest
import torch
from transformers import BertTokenizer

from tests.helpers.vocabularies import ALL, MAKE, MARATHI, OTHERS, tokenizer_of
from trainer_ext.errors import InputError
from trainer_ext.vocabulary import selection
from trainer_ext.vocabulary.selection import MOST_CHANGED
from trainer_ext.vocabulary.trim import measure_vocabulary, tokens_in_use, trim_tokenizer

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def wordpiece(*pieces):
    return BertTokenizer(vocab={piece: index for index, piece in enumerate((*SPECIAL, *pieces))})


def kept(trimmed):
    return trimmed.tokenizer.convert_ids_to_tokens(range(len(trimmed.kept_ids)))


@pytest.mark.parametrize("kind", MAKE)
def test_characters_of_other_scripts_stay_before_any_token_that_is_not_used(kind, monkeypatch):
    monkeypatch.setattr(selection, "CHARACTER_SHARE", 0.5)  # three scripts are much of a vocabulary of some hundreds
    tokenizer = tokenizer_of(kind)
    trimmed = trim_tokenizer(tokenizer, MARATHI, (tokens_in_use(tokenizer, MARATHI) + len(tokenizer)) // 2)
    letters = [" ".join(text) for text in OTHERS]
    rates = measure_vocabulary(tokenizer, trimmed.tokenizer, [*OTHERS, *letters]).unknown_rate
    assert len(trimmed.kept_ids) < len(tokenizer)
    assert (rates.compressed <= rates.baseline, trimmed.note) == (True, "")


def test_small_scripts_stay_before_large_ones_and_the_others_are_named():
    greek, cyrillic = "αβγδ", "абвгдежз"
    pieces = [f"{mark}{letter}" for letter in "rains" + greek + cyrillic for mark in ("", "##")]
    tokenizer = wordpiece(*pieces, *(f"x{number}" for number in range(200)))
    trimmed = trim_tokenizer(tokenizer, ["rain"], 60)  # of which a sixth is ten: Greek has eight
    assert {mark + letter for letter in greek for mark in ("", "##")} < set(kept(trimmed))
    assert not {*cyrillic} & set(kept(trimmed))
    assert "16 single characters that the corpus does not use do not fit (16 CYRILLIC)" in trimmed.note
    assert {mark + letter for letter in cyrillic for mark in ("", "##")} < set(
        kept(trim_tokenizer(tokenizer, ["rain"], 160))
    )


def test_tokens_like_those_of_the_corpus_stay_first():
    """Those of the first half have embeddings on one side; the corpus uses some of them, and none of the others."""
    words = ["".join(letters) for letters in itertools.product("abc", repeat=5)]
    near, far = words[::2], words[1::2]
    tokenizer = wordpiece(*"abc", "##a", "##b", "##c", *words)
    torch.manual_seed(0)
    table = torch.randn(len(tokenizer), 8)
    table[:, 0] = -1.0
    table[tokenizer.convert_tokens_to_ids(near), 0] = 3.0
    size, corpus = len(SPECIAL) + 6 + len(near), [" ".join(near[:60])]
    found = set(kept(trim_tokenizer(tokenizer, corpus, size, embeddings=table)))
    assert len(found & {*near}) >= 120 > len(near) - 3
    assert len(set(kept(trim_tokenizer(tokenizer, corpus, size))) & {*far}) > 20  # without them, the lower ids


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta"])
def test_auto_is_the_smallest_size_that_cuts_held_out_texts_as_before(kind):
    tokenizer, held_out = tokenizer_of(kind), [*MARATHI * 9, OTHERS[0]]  # one in 109 may change
    corpus = MARATHI[1:]

    def changes(size):
        trimmed = trim_tokenizer(tokenizer, corpus, size, held_out=held_out)
        found = measure_vocabulary(tokenizer, trimmed.tokenizer, held_out)
        rises = found.unknown_rate.compressed > found.unknown_rate.baseline
        return found.changed_share > MOST_CHANGED or rises, len(trimmed.kept_ids)

    fails, size = changes("auto")
    assert (fails, size < len(tokenizer)) == (False, True)
    assert changes(size - 1)[0]


def test_auto_needs_held_out_texts():
    with pytest.raises(InputError, match="'auto' needs held-out texts"):
        trim_tokenizer(tokenizer_of("bert"), ALL, "auto")
