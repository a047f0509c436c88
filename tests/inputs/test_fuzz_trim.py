"""Fuzzed trimming: of any tokenizer, corpus and size, what stays cuts a text within it as before, id by id.

A tokenizer.json may hold anything that the tokenizers library opens; then it is trimmed so, or refused in one line.
"""

from __future__ import annotations

import json

import pytest
from fuzzing import NUMBERS, WORDS, fuzz, value_or_line
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast
from vocabularies import ALL, MAKE, MARATHI, tokenizer_of

from trainer_ext.vocabulary import trim_tokenizer

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


@pytest.mark.parametrize("kind", ["bert", "gemma", "roberta", "xlm-roberta"])
@fuzz
@given(data=st.data())
def test_any_change_of_a_tokenizer(kind, data):
    values = json.loads(tokenizer_of(kind).backend_tokenizer.to_str())
    model = values["model"]
    for _ in range(data.draw(st.integers(1, 3))):
        what = data.draw(st.sampled_from(["field", "piece", "merge", "added", "part"]))
        if what == "field":
            name = data.draw(st.sampled_from([name for name in model if name not in ("vocab", "merges", "type")]))
            model[name] = data.draw(st.none() | st.booleans() | WORDS | st.integers(0, 99))
        elif what == "piece":
            piece = data.draw(WORDS | st.sampled_from(["", "##", "▁", "##a", "<0x41>"]))
            if isinstance(model["vocab"], dict):
                model["vocab"][piece] = data.draw(st.integers(0, 2 * len(model["vocab"])))
            else:
                model["vocab"].append([piece, data.draw(NUMBERS.filter(lambda x: abs(x) < 1e30))])
        elif what == "merge" and model.get("merges"):
            pieces = st.sampled_from([*list(model["vocab"])[:60], "zz"])
            model["merges"].insert(data.draw(st.integers(0, 5)), [data.draw(pieces), data.draw(pieces)])
        elif what == "added":
            token = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
            index = data.draw(st.integers(0, 2 * len(model["vocab"])))
            values["added_tokens"].append({"id": index, "content": data.draw(WORDS), **token})
        elif what == "part":
            values[data.draw(st.sampled_from(["normalizer", "pre_tokenizer", "post_processor", "decoder"]))] = None
    try:
        before = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(values)), unk_token="[UNK]")
        before([*MARATHI, "x"])

    except Exception:  # the library refuses it, so nobody can open it
        return
    trimmed = value_or_line(trim_tokenizer, before, MARATHI, data.draw(st.integers(1, len(before))))
    if trimmed is not None:
        for text in MARATHI:
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
