"""Baseline: a model taken as it is must be one for the task; one that is fine-tuned gets the task's head."""

import pytest
import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForQuestionAnswering, AutoModelForTokenClassification, RobertaTokenizerFast

from tests.helpers.commands import recipe_fields, write_csv, write_recipe
from trainer_ext.data.encoding import WORD_STARTS
from trainer_ext.distillation.teachers import load_teacher
from trainer_ext.errors import InputError
from trainer_ext.pipeline.baseline import open_baseline
from trainer_ext.pipeline.recipe import read_recipe
from trainer_ext.pipeline.scratch import train_tokenizer
from trainer_ext.tasks.dataset import DataArguments, tokenize

TAGS = {"task": "token-classification"}


@pytest.fixture
def opened(tmp_path, tiny_model):
    """`opened(model, **fields)`: what `open_baseline` makes of a saved model and files of the task."""

    def make(model, tokenizer=None, **fields):
        tokenizer = tokenizer or train_tokenizer(["ab ba"], vocab_size=40, max_length=16)
        for part in (model, tokenizer):
            part.save_pretrained(tmp_path / "model")
        if fields.get("task"):
            for name, words in (("train", "ab B-X\nba O\n"), ("test", "ba O\nab B-X\n")):
                (tmp_path / f"{name}.csv").write_text(words, encoding="utf-8")
        else:
            write_csv(tmp_path / "train.csv", [("ab", "1"), ("ba", "0")])
            write_csv(tmp_path / "test.csv", [("ab ba", "1")])
        named = {"model_name_or_path": str(tmp_path / "model"), **fields}
        return open_baseline(
            read_recipe(write_recipe(tmp_path / "r.yaml", recipe_fields(tmp_path, tmp_path, **named)))
        )

    return make


def tagger(tiny_model, names, model_type="bert", **changes):
    config = tiny_model(model_type, num_labels=len(names), **changes).config
    config.id2label, config.label2id = dict(enumerate(names)), {name: index for index, name in enumerate(names)}
    return AutoModelForTokenClassification.from_config(config)


def test_a_tagger_taken_as_it_is_keeps_its_order_of_tags(opened, tiny_model):
    names = ["B-X", "I-X", "O"]
    model, _, data, epochs = opened(tagger(tiny_model, names), **TAGS)
    assert (data.labels, epochs) == (names, 0)
    assert list(data.train["label"]) == [[0, 2]]
    with pytest.raises(InputError, match="labels that the model lacks: 'B-X'"):
        opened(tagger(tiny_model, ["B-Y", "I-Y", "O"]), **TAGS)


def test_a_model_without_the_head_must_be_fine_tuned(opened, tiny_model):
    with pytest.raises(InputError, match="not saved with a head for token classification.*--baseline_epochs"):
        opened(tiny_model(), **TAGS)
    model, _, data, _ = opened(tiny_model(), baseline_epochs=1, **TAGS)
    assert type(model).__name__ == "BertForTokenClassification"
    assert model.config.id2label == dict(enumerate(data.labels)) == {0: "O", 1: "B-X", 2: "I-X"}


@pytest.mark.parametrize(
    ("config", "fields", "words"),
    [
        (
            {"problem_type": "multi_label_classification"},
            {},
            "is for multi_label_classification, not for single-label",
        ),
        ({}, {"problem_type": "regression"}, "gives 3 numbers where one label is"),
        ({"num_labels": 2}, {"problem_type": "multi_label_classification"}, "--class_names"),
    ],
)
def test_a_model_for_another_problem_is_refused(config, fields, words, opened, tiny_model):
    with pytest.raises(InputError, match=words):
        opened(tiny_model(**config), **fields)


def test_the_problem_type_goes_into_the_configuration(opened, tiny_model):
    """Heads and distillation losses are chosen by it."""
    model, _, _, _ = opened(tiny_model(num_labels=1), problem_type="regression")
    assert model.config.problem_type == "regression"
    model, _, data, _ = opened(tiny_model(num_labels=2), problem_type="multi_label_classification", baseline_epochs=1)
    assert (model.config.problem_type, data.labels) == ("multi_label_classification", ["0", "1"])


@pytest.mark.parametrize("epochs", [0, 1])
def test_a_model_that_was_saved_in_half_precision_is_trained_in_fp32(opened, tiny_model, epochs):
    model = opened(tiny_model(num_labels=2).half(), baseline_epochs=epochs, class_names=["0", "1"])[0]
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert model.config.dtype == torch.float32  # and is saved so


def test_a_byte_level_tokenizer_reads_words_one_by_one(opened, tiny_model):
    """It tells the start of a word by the space before it, which words of a file do not have."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    vocabulary = {token: index for index, token in enumerate([*special, *alphabet, "Ġa", "Ġab"])}
    merges = [("Ġ", "a"), ("Ġa", "b")]
    tokenizer = RobertaTokenizerFast(vocab=vocabulary, merges=merges, model_max_length=16)
    model = tagger(tiny_model, ["O", "B-X", "I-X"], "roberta", vocab_size=len(vocabulary))
    _, found, data, _ = opened(model, tokenizer, **TAGS)
    encoded = tokenize(data, found, DataArguments(max_length=16, **TAGS))
    assert encoded.tests["test"][WORD_STARTS][0] == [1, 4]  # ba, ab after <s>: Ġ b a Ġab


def test_a_teacher_with_another_head_is_refused(tiny_model, tmp_path):
    """Opened with the student's head, it would answer at random."""
    student = AutoModelForQuestionAnswering.from_config(tiny_model(num_labels=2).config)
    tiny_model(num_labels=2).save_pretrained(tmp_path / "topics")
    with pytest.raises(InputError, match=r"distill_teacher .*topics was saved as \['BertForSequenceClassification'\]"):
        load_teacher(str(tmp_path / "topics"), student)
    student.save_pretrained(tmp_path / "answers")
    assert type(load_teacher(str(tmp_path / "answers"), student)) is type(student)
