"""The files beside an export are those of a stock model: other tools open it as one, with our tokens and labels."""

import json

import pytest
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoTokenizer, BertTokenizer

from tests.helpers.tiny_models import build
from trainer_ext.export.source import open_source
from trainer_ext.export.stock_files import write_stock_files
from trainer_ext.hub.staging import EXPORTS
from trainer_ext.models.runtimes import STOCK_FILES
from trainer_ext.pipeline.scratch import train_tokenizer

TEXTS = ["Mango and guava", "the River ganga is long", "größer", "long " * 50]
NAMES = {0: "FRUIT", 1: "rivière", 2: "metal"}


def bert_tokenizer(**options):
    """A tokenizer of the class of BERT, with a vocabulary of both cases."""
    vocabulary = train_tokenizer([*TEXTS, *(text.lower() for text in TEXTS)], vocab_size=128).get_vocab()
    return BertTokenizer(vocab=vocabulary, **options)


TOKENIZERS = {
    "plain": lambda: train_tokenizer(TEXTS, vocab_size=128),
    "uncased": lambda: bert_tokenizer(do_lower_case=True),
    "cased": lambda: bert_tokenizer(do_lower_case=False, strip_accents=False),
}


@pytest.fixture
def exported(tmp_path, cut):
    """`exported(model_type, tokenizer, compact)`: a source, and the folder with the files of its export."""

    def make(model_type="bert", tokenizer="plain", compact=True, limit=24, **config):
        labels = {"id2label": NAMES, "label2id": {name: index for index, name in NAMES.items()}}
        model = build(model_type, **labels, **config)
        model = cut(model, [[], [1, 3]], [[], [0, 5, 9]]) if compact else model
        own = TOKENIZERS[tokenizer]()
        own.model_max_length = limit
        model.save_pretrained(tmp_path / "model")
        own.save_pretrained(tmp_path / "model")
        source = open_source(tmp_path / "model")
        (tmp_path / "onnx").mkdir()
        write_stock_files(source, tmp_path / "onnx")
        return source, tmp_path / "onnx"

    return make


def written(folder, name):
    return json.loads((folder / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("compact", [True, False])
@pytest.mark.parametrize("model_type", ["bert", "xlm-roberta", "deberta-v2"])
def test_the_configuration_is_one_of_the_stock_architecture(exported, model_type, compact):
    source, folder = exported(model_type, compact=compact)
    assert {file.name for file in folder.iterdir()} == set(STOCK_FILES)
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    stock = AutoConfig.for_model(model_type)
    assert type(config) is type(stock)
    (architecture,) = config.architectures
    assert architecture.endswith("ForSequenceClassification")
    assert not architecture.startswith("Compact")
    assert (config.id2label, config.num_labels) == (NAMES, 3)
    assert config.hidden_size == source.model.config.hidden_size
    values = written(folder, "config.json")
    assert not values.keys() & {"auto_map", "compact_linears", "compact_heads", "_name_or_path"}
    assert (values["task"], values["max_length"]) == ("text-classification", 24)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_the_tokenizer_opens_alone_and_reads_as_ours(exported, tokenizer, caplog):
    source, folder = exported(tokenizer=tokenizer)
    found = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    assert found.model_max_length == 24
    assert found.model_input_names == list(source.inputs)
    for text in TEXTS:
        expected = source.tokenizer(text, truncation=True, max_length=24)
        assert found(text, truncation=True) == expected
        assert Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids == expected["input_ids"]
    pair = source.tokenizer("a", "o", truncation=True)
    assert found("a", "o", truncation=True) == pair
    assert set(pair["token_type_ids"]) == {0, 1}
    assert found.special_tokens_map == source.tokenizer.special_tokens_map
    assert not caplog.records


def test_a_tokenizer_and_a_model_without_a_limit_read_512_tokens(exported):
    """As DeBERTa: no tokenizer can cut texts to the 10^30 tokens that transformers then says."""
    source, folder = exported("deberta-v2", limit=int(1e30), position_biased_input=False)
    assert source.args.max_length == written(folder, "tokenizer_config.json")["model_max_length"] == 512
    assert len(Tokenizer.from_file(str(folder / "tokenizer.json")).encode("long " * 600).ids) == 512


def test_older_transformers_find_the_rules_of_bert_in_the_configuration(exported):
    """Their BertTokenizerFast sets the normalizer anew, in lower case if nothing is said."""
    _, folder = exported(tokenizer="cased")
    values = written(folder, "tokenizer_config.json")
    assert values["tokenizer_class"] == "BertTokenizer"
    rules = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")
    assert [values[name] for name in rules] == [False, False, True]
    assert values["model_max_length"] == 24


@pytest.mark.parametrize(("model_type", "tokenizer"), [("bert", "plain"), ("distilbert", "uncased")])
def test_another_tokenizer_has_no_rules_but_its_file(exported, model_type, tokenizer):
    """What is no BERT normalizer, or numbers no texts, needs no class by name; every release knows this one."""
    _, folder = exported(model_type, tokenizer)
    values = written(folder, "tokenizer_config.json")
    assert values["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert not values.keys() & {"do_lower_case", "strip_accents"}
    assert written(folder, "special_tokens_map.json")["pad_token"] == values["pad_token"] == "[PAD]"


def test_every_file_is_published(exported):
    _, folder = exported()
    assert {file.name for file in folder.iterdir()} == set(STOCK_FILES)
    assert all(set(STOCK_FILES) <= set(patterns) for patterns in EXPORTS.values())
