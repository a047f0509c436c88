"""Equivalence: the batch is the same everywhere and reaches padding; the difference is seen; modes are restored."""

import copy

import pytest
import torch

from trainer_ext.models import outputs
from trainer_ext.models.compact.registration import MODEL_TYPES

every_family = pytest.mark.parametrize("model_type", MODEL_TYPES)


@every_family
def test_the_batch_fits_the_model(tiny_model, model_type):
    model = tiny_model(model_type)
    batch = outputs.synthetic_batch(model, rows=4, length=100)
    ids, attention = batch["input_ids"], batch["attention_mask"]
    assert ids.shape == attention.shape == (4, 38)  # 40 positions, two of which RoBERTa never uses
    pad = model.config.pad_token_id
    assert attention[:2].all()
    assert attention[2:].sum(1).tolist() == [19, 19]
    assert torch.equal(ids.eq(pad), attention.eq(0))
    assert 0 <= ids.min() <= ids.max() < 128
    assert outputs.logits(model, batch).isfinite().all()


def test_the_batch_is_the_same_every_time_but_for_its_seed(tiny_model):
    model = tiny_model()
    torch.manual_seed(1)
    first = outputs.synthetic_batch(model)
    torch.manual_seed(2)
    assert torch.equal(first["input_ids"], outputs.synthetic_batch(model)["input_ids"])
    assert not torch.equal(first["input_ids"], outputs.synthetic_batch(model, seed=1)["input_ids"])
    assert first["input_ids"].shape == (8, 32)


def test_the_batch_draws_nothing_from_the_global_generator(tiny_model):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    outputs.synthetic_batch(tiny_model())
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("training", [True, False])
def test_logits_are_those_of_evaluation_and_the_mode_is_restored(tiny_model, tiny_batch, training):
    model = tiny_model("bert", hidden_dropout_prob=0.5)
    expected = model(**tiny_batch(model)).logits
    model.train(training)
    found = outputs.logits(model, tiny_batch(model))
    assert model.training is training
    assert torch.equal(found, expected)
    assert found.dtype == torch.float32
    assert not torch.equal(model.train()(**tiny_batch(model)).logits, expected)  # dropout is on in this model


@every_family
def test_the_difference_is_zero_for_a_copy_and_seen_for_a_change(tiny_model, tiny_batch, model_type):
    model = tiny_model(model_type)
    other = copy.deepcopy(model)
    batch = tiny_batch(model)
    assert outputs.max_logit_difference(model, other, batch) == 0
    last = other.classifier.out_proj if hasattr(other.classifier, "out_proj") else other.classifier
    with torch.no_grad():
        last.bias[1] -= 0.25
    assert outputs.max_logit_difference(model, other, batch) == pytest.approx(0.25, abs=1e-5)
    assert outputs.max_logit_difference(other, model, batch) == pytest.approx(0.25, abs=1e-5)


def test_the_allowed_difference_grows_with_the_logits_and_never_falls_below_its_floor():
    assert outputs.allowed_difference(torch.tensor([[0.01, -0.2]])) == pytest.approx(1e-5)
    assert outputs.allowed_difference(torch.tensor([[3.0, -40.0]])) == pytest.approx(4e-4)
