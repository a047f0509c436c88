"""Fuzzed trimming: of any tokenizer, corpus and size, what stays cuts a text within it as before, id by id.

A tokenizer.json may hold anything that the tokenizers library opens; then it is trimmed so, or refused in one line.
"""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from tests.helpers.vocabularies import ALL, MAKE, MARATHI, tokenizer_of
from tests.inputs.fuzzing import WORDS, fuzz, value_or_line
from trainer_ext.vocabulary.trim import trim_tokenizer

LETTERS = sorted(set("".join(ALL)))
TEXTS = st.lists(st.text(LETTERS, max_size=8) | st.sampled_from(ALL) | WORDS, max_size=6).map(" ".join)
# Texts with half a character never reach a tokenizer: no file holds them.
WHOLE = TEXTS.map(lambda text: text.encode("utf-8", "ignore").decode())


def holds(before, trimmed, text: str) -> None:
    """The pieces of a text whose pieces all stay, none of them unknown, are the same pieces, renumbered."""
    new = {old: index for index, old in enumerate(trimmed.kept_ids)}
    pieces = before(text).input_ids
    now = trimmed.tokenizer(text).input_ids
    assert all(0 <= piece < len(trimmed.kept_ids) for piece in now)
    if all(piece in new and piece != before.unk_token_id for piece in pieces):
        assert now == [new[piece] for piece in pieces]
        assert trimmed.tokenizer.decode(now) == before.decode(pieces)


@pytest.mark.parametrize("kind", MAKE)
@fuzz
@given(corpus=st.lists(WHOLE, max_size=12), share=st.floats(0, 1), texts=st.lists(WHOLE, max_size=8))
def test_any_corpus_and_size(kind, corpus, share, texts):
    before = tokenizer_of(kind)
    trimmed = value_or_line(trim_tokenizer, before, [*MARATHI, *corpus], 1 + round(share * len(before)))
    if trimmed is None:
        return
    assert sorted(set(trimmed.kept_ids)) == sorted(trimmed.kept_ids)
    for text in [*corpus, *texts, *MARATHI]:
        holds(before, trimmed, text)


def test_a_wrong_mapping_is_found():
    """The control: with two pieces exchanged the property does not hold."""
    before = tokenizer_of("bert")
    trimmed = trim_tokenizer(before, MARATHI, len(before) - 1)
    ids = [index for index in before(MARATHI[0]).input_ids if index in trimmed.kept_ids]
    first, second = (trimmed.kept_ids.index(index) for index in ids[1:3])
    trimmed.kept_ids[first], trimmed.kept_ids[second] = trimmed.kept_ids[second], trimmed.kept_ids[first]
    with pytest.raises(AssertionError):
        holds(before, trimmed, MARATHI[0])
