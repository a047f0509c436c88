"""Predictions on rows of all lengths: computed together by length, returned in their order."""

import datasets
import numpy as np
import torch
from transformers import AutoModelForTokenClassification

from tests.helpers.tiny_models import build
from tests.helpers.vocabularies import tokenizer_of
from trainer_ext.models.outputs import logits
from trainer_ext.tasks.evaluate import predict, predict_all

LENGTHS = [9, 2, 30, 2, 17, 5, 30, 1, 12, 3]


def rows():
    """Return rows of random tokens."""
    draw = np.random.default_rng(0)
    ids = [draw.integers(5, 100, length).tolist() for length in LENGTHS]
    return datasets.Dataset.from_dict({"input_ids": ids, "attention_mask": [[1] * len(one) for one in ids]})


def alone(model, row):
    """Return the logits of a row without padding."""
    return logits(model, {name: torch.tensor([row[name]]) for name in ("input_ids", "attention_mask")})[0].numpy()


def test_rows_are_computed_by_length_and_returned_in_their_order(tiny_model):
    model, shapes, counts = tiny_model(), [], []
    model.register_forward_pre_hook(lambda _, args, named: shapes.append(named["input_ids"].shape), with_kwargs=True)
    found = predict(model, rows(), tokenizer_of("bert"), batch_size=3, on_rows=counts.append)
    assert [tuple(shape) for shape in shapes] == [(3, 2), (3, 9), (3, 30), (1, 30)]
    assert counts == [3, 3, 3, 1]
    for row, one in zip(rows(), found, strict=True):
        np.testing.assert_allclose(one, alone(model, row), atol=1e-5)


def test_logits_per_token_are_those_of_their_own_row():
    model = build("bert", auto_class=AutoModelForTokenClassification)
    for row, one in zip(rows(), predict(model, rows(), tokenizer_of("bert"), batch_size=3), strict=True):
        np.testing.assert_allclose(one[: len(row["input_ids"])], alone(model, row), atol=1e-5)


def test_what_stands_in_several_test_sets_is_computed_once(tiny_model):
    model, read, counts = tiny_model(), [], []
    model.register_forward_pre_hook(lambda _, args, named: read.append(len(named["input_ids"])), with_kwargs=True)
    tests = {"clean": rows().select([3, 1, 8]), "official": rows(), "repeated": rows().select([8, 8])}
    found = predict_all(model, tests, tokenizer_of("bert"), on_rows=counts.append)
    assert sum(read) == len(LENGTHS)
    assert sum(counts) == sum(map(len, tests.values())), "the progress bar comes to its end"
    for test, rows_found in zip(tests.values(), found, strict=True):
        for row, one in zip(test, rows_found, strict=True):
            np.testing.assert_allclose(one, alone(model, row), atol=1e-5)


def test_rows_of_two_texts_are_equal_only_if_both_are(tiny_model):
    """The second text of a pair is told by the segment ids alone."""
    pair = {"input_ids": [[9, 8, 7]] * 2, "attention_mask": [[1] * 3] * 2, "token_type_ids": [[0, 0, 1], [0, 1, 1]]}
    both = predict(tiny_model(), datasets.Dataset.from_dict(pair), tokenizer_of("bert"))
    assert not np.allclose(both[0], both[1])
