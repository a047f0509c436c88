"""From scratch: no character is lost, the same texts give the same tokenizer, and everything survives saving."""

import unicodedata
from dataclasses import fields

import pytest
import torch
from tokenizers.normalizers import BertNormalizer
from transformers import AutoModelForSequenceClassification, AutoTokenizer, HfArgumentParser

from trainer_ext.errors import InputError
from trainer_ext.pipeline.scratch import ScratchArguments, small_bert, train_tokenizer

# Vowel signs, virama, conjuncts, nukta, anusvara, eyelash ra, danda, digits; capitals and accents in Latin.
SENTENCE = "मुख्यमंत्र्यांनी शेतकऱ्यांसाठी २५ कोटींची घोषणा केली । Café उघडले!"
TEXTS = [
    SENTENCE,
    "विद्यार्थ्यांनी मैदानावर क्रिकेट खेळले",
    "नवीन दुचाकी बाजारात आली आहे",
    "पर्यटकांनी किल्ला पाहिला आणि छायाचित्रे काढली",
    "The new Bike is out in Pune",
]
LABELS = ["क्रीडा", "Auto", "Travel"]
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, vocab_size=300, max_length=64)


def lost_marks(tokenizer, text):
    """The combining marks (vowel signs, virama, accents) of a text that do not come back from its tokens."""
    back = unicodedata.normalize("NFD", tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True))
    marks = [char for char in unicodedata.normalize("NFD", text) if unicodedata.category(char).startswith("M")]
    return sorted(char for char in set(marks) if marks.count(char) != back.count(char))


def test_every_vowel_sign_comes_back(tokenizer):
    ids = tokenizer(SENTENCE)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    back = tokenizer.decode(ids, skip_special_tokens=True)
    assert back.replace(" ", "") == unicodedata.normalize("NFC", SENTENCE).replace(" ", "")
    assert lost_marks(tokenizer, SENTENCE) == []


def test_a_tokenizer_that_strips_accents_fails_the_same_check():
    stripping = train_tokenizer(TEXTS, vocab_size=300)
    stripping.backend_tokenizer.normalizer = BertNormalizer(lowercase=True, strip_accents=True)
    lost = lost_marks(stripping, SENTENCE)
    assert "\u094d" in lost  # the virama
    assert "\u0941" in lost  # the vowel sign u


def test_words_are_not_split_at_their_signs(tokenizer):
    words = [word for word, _ in tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(SENTENCE)]
    assert words == SENTENCE.replace("!", " !").split()


def test_each_character_starts_and_continues_words(tokenizer):
    characters = set(unicodedata.normalize("NFC", "".join(TEXTS))) - {" "}
    wanted = characters | {f"##{char}" for char in characters}
    assert wanted - set(tokenizer.get_vocab()) == set()
    shuffled = "".join(sorted(characters - set("।!"), reverse=True))
    assert tokenizer.unk_token_id not in tokenizer(shuffled)["input_ids"]


def test_composed_and_decomposed_texts_give_the_same_tokens(tokenizer):
    assert tokenizer(unicodedata.normalize("NFD", SENTENCE)) == tokenizer(unicodedata.normalize("NFC", SENTENCE))


def test_the_same_texts_give_the_same_vocabulary(tokenizer):
    again = train_tokenizer(iter(TEXTS), vocab_size=300, max_length=64)
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()


@pytest.mark.parametrize("with_config", [True, False])
def test_tokenizer_survives_saving(tokenizer, tmp_path, with_config):
    tokenizer.save_pretrained(tmp_path)
    if with_config:  # beside a BERT config AutoTokenizer must not rebuild a plain BertTokenizer, which skips NFC
        small_bert(tokenizer, LABELS, **SMALL).config.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
    pair = (unicodedata.normalize("NFD", SENTENCE), TEXTS[1])
    assert loaded(*pair) == tokenizer(*pair)
    assert set(loaded(*pair)["token_type_ids"]) == {0, 1}
    assert (loaded.model_max_length, loaded.special_tokens_map) == (64, tokenizer.special_tokens_map)


def test_model_survives_saving(tokenizer, tmp_path):
    model = small_bert(tokenizer, LABELS, **SMALL).eval()
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert [loaded.config.id2label[index] for index in range(3)] == LABELS
    assert loaded.config.label2id == {label: index for index, label in enumerate(LABELS)}
    inputs = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        assert torch.equal(model(**inputs).logits, loaded(**inputs).logits)


def test_the_seed_decides_the_weights_and_nothing_else(tokenizer):
    state = torch.get_rng_state()
    first, same, other = (small_bert(tokenizer, LABELS, **SMALL, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


@pytest.mark.parametrize(
    ("sizes", "fragment"),
    [
        ({"num_attention_heads": 5}, "--scratch_hidden_size 32 is not a multiple of --scratch_heads 5; give 30"),
        ({"num_attention_heads": 64}, "not a multiple of --scratch_heads 64; give 64"),
        ({"num_hidden_layers": 0}, "--scratch_layers is 0"),
        ({"hidden_size": -1}, "--scratch_hidden_size is -1"),
    ],
)
def test_refuses_impossible_shapes(tokenizer, sizes, fragment):
    with pytest.raises(InputError, match=fragment):
        small_bert(tokenizer, LABELS, **{**SMALL, **sizes})


@pytest.mark.parametrize(
    ("texts", "size", "fragment"),
    [(TEXTS, 50, "--scratch_vocab_size is 50, but the .* take .* tokens"), (["", " "], 50, "no characters")],
)
def test_refuses_impossible_vocabularies(texts, size, fragment):
    with pytest.raises(InputError, match=fragment):
        train_tokenizer(texts, vocab_size=size)


def test_arguments_explain_themselves():
    (args,) = HfArgumentParser(ScratchArguments).parse_args_into_dataclasses(["--scratch_layers", "3"])
    assert args.scratch_layers == 3
    assert args.scratch_hidden_size == 64 * args.scratch_heads
    assert all(field.metadata["help"] for field in fields(ScratchArguments))
