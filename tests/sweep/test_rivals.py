"""Rivals that are no transformers learn a task, and only that task."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import BertForSequenceClassification

from trainer_ext.models.architectures import find_encoder
from trainer_ext.pipeline.scratch import small_bert, train_tokenizer
from trainer_ext.sweep.rivals import milliseconds, rivals_of, token_vectors, train_linear, train_static
from trainer_ext.tasks.evaluate import predict

WORDS = (["ball", "goal", "team"], ["bread", "soup", "salt"], ["rain", "wind", "snow"])
FILL = ["the", "a", "of", "and", "to"]


def texts_of(count, seed):
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, len(WORDS), count)
    rows = [[draw.choice(WORDS[label]), *draw.choice(FILL, 3)] for label in labels]
    return [" ".join(draw.permutation(row)) for row in rows], labels


@pytest.fixture(scope="module")
def task():
    texts, labels = texts_of(120, 0)
    tokenizer = train_tokenizer(texts, vocab_size=120, max_length=16)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = small_bert(tokenizer, ["sport", "food", "weather"], **sizes)
    assert isinstance(model, BertForSequenceClassification)
    return model, tokenizer, texts, labels, *texts_of(60, 1)


def test_a_linear_classifier_learns_labels_and_nothing_from_shuffled_ones(task):
    _, _, texts, labels, test, expected = task
    assert (train_linear(texts, labels).predict(test) == expected).mean() > 0.95
    shuffled = np.random.default_rng(3).permutation(labels)
    assert (train_linear(texts, shuffled).predict(test) == expected).mean() < 0.7


def test_a_class_with_one_text_does_not_stop_it(task):
    _, _, texts, labels, test, _ = task
    assert set(train_linear([*texts, "unheard"], [*labels, 3]).predict(["unheard", *test])) <= {0, 1, 2, 3}


@pytest.mark.slow
def test_averaged_token_vectors_learn_the_answers_of_a_model(task):
    model, tokenizer, texts, labels, test, expected = task
    answers = 5 * torch.nn.functional.one_hot(torch.tensor(labels), 3).float()
    rival = train_static(model, tokenizer, texts, answers)
    assert (rival.predict(test) == expected).mean() > 0.95
    wrong = train_static(model, tokenizer, texts, answers.roll(1, dims=1))  # a teacher that is always wrong
    assert (wrong.predict(test) == expected).mean() < 0.05
    assert rival.predict([""]).shape == (1,)
    assert rival.bytes == 2 * (len(tokenizer) * 16 + 3 * 16 + 3)
    assert milliseconds(rival.predict, test, repeats=3) > 0


@pytest.mark.slow
def test_the_rivals_of_a_model_learn_from_its_data_and_open_it_only_for_the_second(task):
    model, tokenizer, texts, labels, test, expected = task
    train = Dataset.from_dict({"text": texts, "label": labels})
    encoded = Dataset.from_dict(dict(tokenizer(texts)))
    opened = []

    def load():
        opened.append(model.eval())
        return model

    linear, static = rivals_of(load, train, encoded, tokenizer, seed=3)
    first = linear()
    assert (first.name, opened) == ("linear", [])
    assert (first.predict(test) == expected).mean() > 0.95
    second = static()
    assert (second.name, len(opened)) == ("static", 1)
    answers = torch.tensor(np.stack(predict(model, encoded, tokenizer)))
    same = train_static(model, tokenizer, texts, answers, seed=3).predict(test)
    assert (second.predict(test) == same).all(), "the answers of the model in the order of the texts"


@torch.no_grad()
def test_token_vectors_are_what_the_encoder_gives_for_each_token_alone(task):
    model, tokenizer, *_ = task
    vectors = token_vectors(model, tokenizer)
    encoder = find_encoder(model.eval())[1]
    token = tokenizer.convert_tokens_to_ids("ball")
    alone = {
        name: encoder(**tokenizer(name, return_tensors="pt")).last_hidden_state.mean(1)[0] for name in ("ball", "goal")
    }
    other = tokenizer.convert_tokens_to_ids("goal")
    weight = [np.log(2 + each) / np.log(1 + len(vectors)) for each in (token, other)]
    difference = vectors[token] / weight[0] - vectors[other] / weight[1]  # the mean over the tokens goes
    ratio = (alone["ball"] - alone["goal"]) / difference
    assert ratio.min() > 0  # the deviation of each dimension
