"""Trim: kept tokens keep their embeddings and logits in every architecture, and what a corpus needs stays."""

import copy
import json
import os
import random
import re

import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer, BertTokenizer

from tests.helpers.tiny_models import build
from tests.helpers.vocabularies import ALL, MAKE, MARATHI, OTHERS, tokenizer_of
from trainer_ext.errors import InputError
from trainer_ext.models.architectures import ARCHITECTURES
from trainer_ext.report.schema import Pair
from trainer_ext.vocabulary.trim import Trimmed, measure_vocabulary, tokens_in_use, trim_model, trim_tokenizer

SPECIAL = ("pad", "unk", "bos", "eos", "cls", "sep", "mask")
PAIRS = {"text": list(MARATHI[:3]), "text_pair": list(MARATHI[3:6])}
LONG = {"padding": True, "truncation": True, "max_length": 24}
_trimmed = {}


def smallest(tokenizer, texts=MARATHI):
    """Return the smallest size, from the error for a smaller one."""
    with pytest.raises(InputError, match=r"vocabulary size of 1 is too small: (\d+) tokens must stay") as caught:
        trim_tokenizer(tokenizer, texts, 1)
    return int(re.search(r"Ask for (\d+)", str(caught.value))[1])


def trimmed_of(kind):
    """Return a tokenizer and what is left of it after trimming to Marathi."""
    if kind not in _trimmed:
        before = tokenizer_of(kind)
        size = (smallest(before) + len(before)) // 2
        _trimmed[kind] = trim_tokenizer(before, MARATHI, size), size
    trimmed, size = _trimmed[kind]
    return tokenizer_of(kind), trimmed, size


def model_of(kind, *, auto_class=AutoModelForSequenceClassification, **changes):
    """Return a random model with the ids of its tokenizer and a few extra rows, as published models have."""
    before = tokenizer_of(kind)
    ids = {f"{name}_token_id": getattr(before, f"{name}_token_id") for name in ("pad", "bos", "eos", "cls", "sep")}
    return build(kind, auto_class=auto_class, vocab_size=len(before) + 3, **ids, **changes)


def logits(model, tokenizer, texts=PAIRS):
    with torch.no_grad():
        return model(**tokenizer(**texts, return_tensors="pt", **LONG)).logits


@pytest.mark.parametrize("kind", MAKE)
def test_kept_tokens_keep_their_text(kind):
    before, trimmed, size = trimmed_of(kind)
    after = trimmed.tokenizer
    assert len(after) == size == len(trimmed.kept_ids) == len(set(trimmed.kept_ids)) < len(before)
    assert type(after) is type(before)
    assert after.convert_ids_to_tokens(range(size)) == before.convert_ids_to_tokens(trimmed.kept_ids)
    for name in SPECIAL:
        assert getattr(after, f"{name}_token") == getattr(before, f"{name}_token")
    assert after.name_or_path == before.name_or_path


@pytest.mark.parametrize("kind", MAKE)
def test_texts_whose_tokens_are_kept_are_tokenized_as_before(kind):
    before, trimmed, _ = trimmed_of(kind)
    new = {old: index for index, old in enumerate(trimmed.kept_ids)}
    assert all(piece in new for ids in before(list(MARATHI)).input_ids for piece in ids)
    for texts in ({"text": list(MARATHI)}, PAIRS):
        for how in ({}, LONG, {"return_offsets_mapping": True, "return_special_tokens_mask": True}):
            old, now = before(**texts, **how), trimmed.tokenizer(**texts, **how)
            assert now.input_ids == [[new[index] for index in row] for row in old.input_ids]
            assert {**now, "input_ids": 0} == {**old, "input_ids": 0}


@pytest.mark.parametrize("kind", MAKE)
def test_the_trimmed_tokenizer_is_the_same_after_reloading(kind, tmp_path):
    _, trimmed, _ = trimmed_of(kind)
    trimmed.tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again.get_vocab() == trimmed.tokenizer.get_vocab()
    for texts in (list(ALL), *MARATHI):
        assert again(texts, texts).input_ids == trimmed.tokenizer(texts, texts).input_ids
    assert again.decode(again(MARATHI[0]).input_ids) == trimmed.tokenizer.decode(again(MARATHI[0]).input_ids)


@pytest.mark.parametrize("kind", MAKE)
def test_the_original_does_not_change_and_the_result_is_reproducible(kind):
    before, trimmed, size = trimmed_of(kind)
    saved = before.backend_tokenizer.to_str()
    assert trim_tokenizer(before, MARATHI, size).kept_ids == trimmed.kept_ids
    assert before.backend_tokenizer.to_str() == saved


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_logits_are_the_same(kind, tmp_path):
    before, trimmed, size = trimmed_of(kind)
    model = model_of(kind)
    expected = logits(model, before)
    trim_model(model, trimmed)
    assert torch.equal(logits(model, trimmed.tokenizer), expected)
    assert model.config.vocab_size == model.get_input_embeddings().num_embeddings == size
    assert model.config.pad_token_id == trimmed.tokenizer.pad_token_id == model.get_input_embeddings().padding_idx
    model.save_pretrained(tmp_path)
    trimmed.tokenizer.save_pretrained(tmp_path)
    reloaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert torch.equal(logits(reloaded, AutoTokenizer.from_pretrained(tmp_path)), expected)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_wrong_rows_give_other_logits(kind):
    before, trimmed, _ = trimmed_of(kind)
    ids = [index for index in trimmed.kept_ids if index not in before.all_special_ids]
    shuffled = iter(random.Random(0).sample(ids, len(ids)))
    wrong = [index if index in before.all_special_ids else next(shuffled) for index in trimmed.kept_ids]
    model = model_of(kind)
    expected = logits(model, before)
    trim_model(model, Trimmed(trimmed.tokenizer, wrong))
    assert (logits(model, trimmed.tokenizer) - expected).abs().max() > 0.01


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_heads_that_predict_tokens_are_cut_too(kind, tie, tmp_path):
    before, trimmed, size = trimmed_of(kind)
    model = model_of(kind, auto_class=AutoModelForMaskedLM, tie_word_embeddings=tie)
    expected = logits(model, before)[..., trimmed.kept_ids]
    assert not torch.allclose(expected, logits(model, before)[..., :size], atol=0.01)
    trim_model(model, trimmed)
    torch.testing.assert_close(logits(model, trimmed.tokenizer), expected)
    output, table = model.get_output_embeddings(), model.get_input_embeddings()
    assert (output.weight is table.weight) == tie
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(logits(AutoModelForMaskedLM.from_pretrained(tmp_path), trimmed.tokenizer), expected)


@pytest.mark.parametrize("kind", ["bert", "modernbert", "xlm-roberta"])
def test_compact_models_are_trimmed_too(kind, masked, tmp_path):
    from trainer_ext.pruning.masks import merge
    from trainer_ext.pruning.shrinking import shrink

    before, trimmed, size = trimmed_of(kind)
    ids = {f"{name}_token_id": getattr(before, f"{name}_token_id") for name in ("pad", "bos", "eos", "cls", "sep")}
    model = shrink(merge(masked(kind, config={"vocab_size": len(before), **ids})))[0].eval()
    assert model.config.model_type.startswith("compact")
    expected = logits(model, before)
    trim_model(model, trimmed)
    model.save_pretrained(tmp_path)
    reloaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert reloaded.config.vocab_size == size
    assert torch.equal(logits(reloaded, trimmed.tokenizer), expected)


@pytest.mark.parametrize("kind", MAKE)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.text(sorted(set("".join(MARATHI))), max_size=9), max_size=6))
def test_text_in_the_letters_of_the_corpus_never_becomes_unknown(kind, words):
    before, trimmed, _ = trimmed_of(kind)
    text = " ".join(words)
    unknown = before.unk_token
    pieces, now = before.tokenize(text), trimmed.tokenizer.tokenize(text)
    assert now.count(unknown) <= pieces.count(unknown)
    if unknown not in pieces and {*pieces} <= trimmed.tokenizer.get_vocab().keys():
        assert now == pieces


@pytest.mark.parametrize("kind", MAKE)
def test_letters_of_the_scripts_stay_and_others_are_removed(kind):
    before, trimmed, _ = trimmed_of(kind)
    after = trimmed.tokenizer
    marks = ("", "##", "▁")
    old, new = before.get_vocab().keys(), after.get_vocab().keys()
    for letter in sorted(set("".join(ALL))):
        forms = {mark + letter for mark in marks} & old
        if "\u0900" <= letter <= "\u097f" or letter in "0123456789.,!" or letter in "bus":
            assert forms <= new
    byte_pieces = {piece for piece in old if re.fullmatch("<0x..>", piece)}
    assert byte_pieces <= new
    if byte_pieces or kind in ("modernbert", "roberta"):
        assert before.decode(before("ξ中").input_ids, skip_special_tokens=True) == "ξ中"
        assert after.decode(after("ξ中").input_ids, skip_special_tokens=True) == "ξ中"
    else:
        assert {"γ", "##γ"} & old
        assert not {"γ", "##γ"} & new


@pytest.mark.parametrize("kind", ["gemma", "modernbert", "roberta"])
def test_every_kept_piece_of_bpe_can_still_be_reached(kind):
    before, trimmed, _ = trimmed_of(kind)
    now = trimmed.tokenizer.backend_tokenizer.model
    reached = [
        piece
        for piece in trimmed.tokenizer.get_vocab()
        if [token.value for token in before.backend_tokenizer.model.tokenize(piece)] == [piece]
    ]
    assert len(reached) > 100
    assert all([token.value for token in now.tokenize(piece)] == [piece] for piece in reached)
    merges = json.loads(trimmed.tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    assert len(merges) < len(json.loads(before.backend_tokenizer.to_str())["model"]["merges"])


@pytest.mark.parametrize("kind", ["albert", "camembert", "deberta-v2", "xlm-roberta"])
def test_an_unknown_character_of_unigram_keeps_its_score(kind):
    """It scores 10 below the least probable piece, so that piece must stay."""
    before, trimmed, _ = trimmed_of(kind)
    scores = dict(json.loads(before.backend_tokenizer.to_str())["model"]["vocab"])
    model = json.loads(trimmed.tokenizer.backend_tokenizer.to_str())["model"]
    assert min(score for _, score in model["vocab"]) == min(scores.values())
    assert all(scores[piece] == score for piece, score in model["vocab"])
    assert model["vocab"][model["unk_id"]][0] == before.unk_token


def test_special_tokens_keep_their_ids_or_move_together():
    before, trimmed, _ = trimmed_of("modernbert")  # its special tokens lie behind its pieces
    model = model_of("modernbert")
    assert model.config.pad_token_id == before.pad_token_id != trimmed.tokenizer.pad_token_id
    trim_model(model, trimmed)
    for name in ("pad", "cls", "sep"):
        own = getattr(trimmed.tokenizer, f"{name}_token_id")
        assert getattr(model.config, f"{name}_token_id") == own < len(trimmed.kept_ids)
    before, trimmed, _ = trimmed_of("xlm-roberta")
    assert [getattr(trimmed.tokenizer, f"{name}_token_id") for name in ("cls", "pad", "sep", "unk")] == [0, 1, 2, 3]
    assert trimmed.tokenizer.mask_token_id == len(trimmed.tokenizer) - 1 < before.mask_token_id


def test_config_ids_of_removed_tokens_become_those_of_the_tokenizer():
    _, trimmed, _ = trimmed_of("bert")
    lost = next(index for index in range(len(tokenizer_of("bert"))) if index not in trimmed.kept_ids)
    model = model_of("bert")
    model.config.update({"bos_token_id": lost, "eos_token_id": [lost, tokenizer_of("bert").sep_token_id]})
    trim_model(model, trimmed)
    assert model.config.bos_token_id is None
    assert model.config.eos_token_id == [trimmed.tokenizer.sep_token_id]


@pytest.mark.parametrize("kind", ["camembert", "mpnet", "roberta", "xlm-roberta"])
def test_a_padding_id_that_positions_start_from_must_stay(kind):
    _, trimmed, _ = trimmed_of(kind)
    model = model_of(kind)
    wrong = [trimmed.kept_ids[0], trimmed.kept_ids[2], trimmed.kept_ids[1], *trimmed.kept_ids[3:]]
    untouched = copy.deepcopy(model)
    with pytest.raises(InputError, match="numbers its positions from the padding id 1"):
        trim_model(model, Trimmed(trimmed.tokenizer, wrong))
    assert all(torch.equal(*pair) for pair in zip(model.parameters(), untouched.parameters(), strict=True))


def test_a_model_of_another_tokenizer_is_an_error():
    _, trimmed, _ = trimmed_of("bert")
    with pytest.raises(InputError, match="only 50 embeddings: they do not belong together"):
        trim_model(build("bert", vocab_size=50), trimmed)


def test_sizes_out_of_range_are_an_error():
    tokenizer = tokenizer_of("bert")
    least = smallest(tokenizer)
    assert len(trim_tokenizer(tokenizer, MARATHI, least).tokenizer) == least
    with pytest.raises(InputError, match=f"size of {least - 1} is too small: {least} tokens"):
        trim_tokenizer(tokenizer, MARATHI, least - 1)
    whole = trim_tokenizer(tokenizer, MARATHI, len(tokenizer))
    assert whole.kept_ids == list(range(len(tokenizer)))
    with pytest.raises(InputError, match=f"size {len(tokenizer) + 1} is above the {len(tokenizer)} tokens"):
        trim_tokenizer(tokenizer, MARATHI, len(tokenizer) + 1)


@pytest.mark.parametrize("texts", [[], [""], ["  ", "\n"]])
def test_an_empty_corpus_is_an_error(texts):
    with pytest.raises(InputError, match="corpus to trim the vocabulary by is empty"):
        trim_tokenizer(tokenizer_of("bert"), texts, 200)


@pytest.mark.parametrize("kind", ["bert", "gemma", "roberta", "xlm-roberta"])
def test_a_corpus_in_another_language_is_an_error(kind):
    georgian = ["დღეს წვიმს და ქარი ქრის", "ბავშვები ეზოში თამაშობენ"]
    with pytest.raises(InputError, match=r"has no pieces for \d+% of the corpus"):
        trim_tokenizer(tokenizer_of(kind), georgian, 200)
    trim_tokenizer(tokenizer_of(kind), OTHERS, len(tokenizer_of(kind)) - 1)


def test_a_slow_tokenizer_and_an_unknown_algorithm_are_an_error():
    from tokenizers import Tokenizer, models
    from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

    with pytest.raises(InputError, match="ByT5Tokenizer is a slow tokenizer"):
        trim_tokenizer(ByT5Tokenizer(), MARATHI, 100)
    words = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, "[UNK]")))
    with pytest.raises(InputError, match="type 'WordLevel' cannot be trimmed"):
        trim_tokenizer(words, MARATHI, 1)


def test_a_piece_that_a_word_cannot_be_spelled_without_stays():
    """`##abb` is the rarest piece, but there is no `##b` to spell it with."""

    pieces = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##a", "b", "aa", "aaa", "##abb", "##aa")
    tokenizer = BertTokenizer(vocab={piece: index for index, piece in enumerate(pieces)})
    trimmed = trim_tokenizer(tokenizer, [*["aa", "aaa", "baa"] * 9, "babb"], 9)
    assert trimmed.tokenizer.convert_ids_to_tokens(range(9)) == [*pieces[:8], "##abb"]


def test_trimming_leaves_no_files(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    trim_tokenizer(tokenizer_of("bert"), MARATHI, 200)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", MAKE)
def test_tokens_in_use_is_the_smallest_size_that_changes_nothing(kind):
    tokenizer, texts = tokenizer_of(kind), MARATHI[:4]
    size = tokens_in_use(tokenizer, texts)
    assert smallest(tokenizer, texts) <= size <= len(tokenizer)

    def cut(one):
        return [one.tokenize(text) for text in texts]

    assert cut(trim_tokenizer(tokenizer, texts, size).tokenizer) == cut(tokenizer)
    if size > smallest(tokenizer, texts):
        assert cut(trim_tokenizer(tokenizer, texts, size - 1).tokenizer) != cut(tokenizer)


# What trimming changes on held-out texts


def wordpiece(*pieces):
    vocabulary = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces)
    return BertTokenizer(vocab={piece: index for index, piece in enumerate(vocabulary)})


def test_the_figures_by_hand():
    before = wordpiece("rain", "r", "##a", "##i", "##n", "sun")
    after = wordpiece("r", "##a", "##i", "##n", "sun")
    texts = ["rain sun", "sun sun", "fog sun", "sun rain"]
    found = measure_vocabulary(before, after, texts)
    assert found.tokens == Pair(11, 10)
    assert (found.held_out_texts, found.corpus_texts) == (4, None)
    assert found.changed_share == 2 / 4
    assert found.unknown_rate == Pair(1 / 8, 1 / 14)
    assert found.tokens_per_word == Pair(8 / 8, 14 / 8)


def test_the_same_tokenizer_changes_nothing_even_if_it_truncates():
    same = wordpiece("rain", "sun")
    same.model_max_length = 3
    same.backend_tokenizer.enable_truncation(2)
    found = measure_vocabulary(same, same, ["sun rain " * 9] * 2)
    assert found.changed_share == 0
    assert found.unknown_rate == Pair(0, 0)
    assert found.tokens_per_word == Pair(1, 1)


@pytest.mark.parametrize("texts", [[], [" "]])
def test_figures_of_texts_without_words_are_an_error(texts):
    with pytest.raises(InputError, match="held-out texts are empty"):
        measure_vocabulary(wordpiece("a"), wordpiece("a"), texts)
