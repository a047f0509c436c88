"""Multilingual shapes: as many tokens as the originals have, cut to one language within the promised figures."""

import os
from pathlib import Path

import pytest

from recipes.benchmarks.multilingual_shapes import MURIL_SIZE, muril_like, xlmr_like
from tests.helpers.vocabularies import MARATHI
from trainer_ext.data.corpus import hold_out, read_corpus
from trainer_ext.vocabulary.trim import measure_vocabulary, trim_tokenizer

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("make", [muril_like, xlmr_like])
def test_a_shape_has_the_size_asked_for_and_is_the_same_again(make):
    tokenizer = make(MARATHI, own=200, size=2000)
    assert len(tokenizer) == 2000
    assert tokenizer.get_vocab() == make(MARATHI, own=200, size=2000).get_vocab()
    assert tokenizer.unk_token not in tokenizer.tokenize(MARATHI[0])
    assert tokenizer.tokenize(MARATHI[0]) != tokenizer.tokenize(MARATHI[1])


def test_a_vocabulary_of_many_languages_is_cut_to_one():
    folder = Path(os.environ.get("TRAINER_EXT_DATA", Path(__file__).parents[3] / "shared" / "data"))
    folder /= "marathi_unlabelled"
    if not folder.is_dir():
        pytest.skip(f"no {folder}; set TRAINER_EXT_DATA to a folder with marathi_unlabelled")
    texts, unseen = hold_out(read_corpus([folder])[::20])
    before = muril_like(texts, own=4000)
    after = trim_tokenizer(before, texts, 5000).tokenizer
    figures = measure_vocabulary(before, after, unseen)
    assert (figures.tokens.baseline, figures.tokens.compressed) == (MURIL_SIZE, 5000)
    assert figures.changed_share < 0.03
    assert figures.unknown_rate.compressed <= figures.unknown_rate.baseline
    fewer = trim_tokenizer(after, texts, 2500).tokenizer
    assert measure_vocabulary(before, fewer, unseen).changed_share > 0.03, "the figure can be missed"
