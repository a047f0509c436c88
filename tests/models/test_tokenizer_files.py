"""The tokenizer of a saved model opens on transformers 4 and 5, with the same ids."""

import json

import pytest
from transformers import AutoTokenizer

from tests.helpers.training import PRUNE, make_trainer
from trainer_ext.models.loading import save_tokenizer
from trainer_ext.pipeline.scratch import train_tokenizer

TEXTS = ["Mango and guava", "the River ganga is long", "größer", "long " * 50]


@pytest.fixture
def tokenizer():
    tokenizer = train_tokenizer(TEXTS, vocab_size=128)
    tokenizer.add_special_tokens({"extra_special_tokens": ["[HEAD]", "[TAIL]"]})
    tokenizer.model_max_length = 24
    return tokenizer


def words_of(folder):
    return json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))


def test_it_is_written_in_words_of_transformers_4(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    ours = words_of(tmp_path)
    assert ours["tokenizer_class"] == "TokenizersBackend", "the words of transformers have changed"
    assert ours["extra_special_tokens"] == ["[HEAD]", "[TAIL]"]
    save_tokenizer(tokenizer, tmp_path)
    saved = words_of(tmp_path)
    assert saved["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert saved["additional_special_tokens"] == ["[HEAD]", "[TAIL]"]
    assert "extra_special_tokens" not in saved  # transformers 4 takes a mapping only
    assert saved["model_input_names"] == tokenizer.model_input_names
    changed = {"tokenizer_class", "extra_special_tokens", "additional_special_tokens", "model_input_names"}
    assert {k: v for k, v in saved.items() if k not in changed} == {k: v for k, v in ours.items() if k not in changed}


def test_it_opens_here_as_it_was(tokenizer, tmp_path):
    save_tokenizer(tokenizer, tmp_path)
    opened = AutoTokenizer.from_pretrained(tmp_path)
    assert type(opened) is type(tokenizer)
    texts = [*TEXTS, "[HEAD] mango [TAIL]"]
    for given in ([texts], [texts, texts[::-1]]):
        assert dict(opened(*given)) == dict(tokenizer(*given))
    for name in (
        "all_special_tokens",
        "extra_special_tokens",
        "model_input_names",
        "model_max_length",
        "padding_side",
    ):
        assert getattr(opened, name) == getattr(tokenizer, name), name


def test_a_class_of_its_own_keeps_its_name(tmp_path):
    from transformers import BertTokenizer

    save_tokenizer(BertTokenizer(vocab=train_tokenizer(TEXTS, vocab_size=128).get_vocab()), tmp_path)
    assert words_of(tmp_path)["tokenizer_class"] == "BertTokenizer"


def test_a_processor_without_such_a_file_is_saved_as_it_is(tmp_path):
    class Processor:
        def save_pretrained(self, folder):
            (folder / "mine.json").write_text("{}")

    save_tokenizer(Processor(), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.json"]


def test_the_trainer_saves_it_so(tokenizer, tmp_path):
    trainer = make_trainer(tmp_path / "run", **PRUNE, max_steps=2)
    trainer.processing_class = tokenizer
    trainer.train()
    trainer.save_model(str(tmp_path / "small"))
    assert words_of(tmp_path / "small")["tokenizer_class"] == "PreTrainedTokenizerFast"
