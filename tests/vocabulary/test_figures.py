"""Vocabulary figures: counted as by hand, and zero where nothing changed."""

import pytest
from transformers import BertTokenizer

from trainer_ext.errors import InputError
from trainer_ext.report.schema import Pair
from trainer_ext.vocabulary.trim import measure_vocabulary


def tokenizer(*pieces):
    vocabulary = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces)
    return BertTokenizer(vocab={piece: index for index, piece in enumerate(vocabulary)})


def test_figures_are_those_counted_by_hand():
    before = tokenizer("rain", "r", "##a", "##i", "##n", "sun")
    after = tokenizer("r", "##a", "##i", "##n", "sun")
    texts = ["rain sun", "sun sun", "fog sun", "sun rain"]
    found = measure_vocabulary(before, after, texts)
    assert found.tokens == Pair(11, 10)
    assert (found.held_out_texts, found.corpus_texts) == (4, None)
    assert found.changed_share == 2 / 4
    assert found.unknown_rate == Pair(1 / 8, 1 / 14)
    assert found.tokens_per_word == Pair(8 / 8, 14 / 8)


def test_nothing_changes_from_a_tokenizer_to_itself_however_short_its_texts_may_be():
    same = tokenizer("rain", "sun")
    same.model_max_length = 3
    same.backend_tokenizer.enable_truncation(2)
    found = measure_vocabulary(same, same, ["sun rain " * 9] * 2)
    assert found.changed_share == 0
    assert found.unknown_rate == Pair(0, 0)
    assert found.tokens_per_word == Pair(1, 1)


@pytest.mark.parametrize("texts", [[], [" "]])
def test_no_words_no_figures(texts):
    with pytest.raises(InputError, match="held-out texts are empty"):
        measure_vocabulary(tokenizer("a"), tokenizer("a"), texts)
