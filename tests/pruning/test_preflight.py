"""The preflight before a training: each of its steps is needed, shown by a fault that only that step finds."""

import random

import numpy as np
import pytest
import torch

from tests.helpers.tiny_models import SPEC, build
from tests.scripts import own_classes
from trainer_ext.models import custom
from trainer_ext.models.architectures import ARCHITECTURES
from trainer_ext.models.outputs import synthetic_batch
from trainer_ext.pruning import masks, preflight


def batch_for(model):
    return synthetic_batch(model) | {"labels": torch.zeros(8, dtype=torch.long)}


def masked_of(model):
    return masks.attach(model, SPEC)


class OtherDefault(own_classes.MLPHead):
    """Opens, but with a head that answers differently: a number that is neither in the config nor a parameter."""

    scale = 1.0

    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output["logits"] = output["logits"] * self.scale
        return output


def test_a_good_model_passes_and_is_not_changed():
    model = masked_of(own_classes.Net())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    preflight.try_shrink(model, batch_for(model))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_the_random_state_comes_back_after_an_error_too():
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    with pytest.raises(ZeroDivisionError), preflight.same_random_state():
        assert random.random() + np.random.random() + torch.rand(1).item() / 0  # noqa: NPY002
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[:2]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


def test_what_answers_differently_when_opened_is_refused():
    model = OtherDefault(own_classes.bert_config())
    preflight.try_shrink(masked_of(OtherDefault(own_classes.bert_config())), batch_for(model))
    model.scale = 2.0
    with pytest.raises(ValueError, match=r"cannot be saved and opened again .*answers differently"):
        preflight.try_shrink(masked_of(model), batch_for(model))


def test_a_batch_that_the_forward_does_not_take_is_refused():
    model = masked_of(own_classes.Net())
    with pytest.raises(ValueError, match=r"cannot be run on a batch of the training data .*'topic'"):
        preflight.try_shrink(model, batch_for(model) | {"topic": torch.zeros(8)})


@pytest.mark.parametrize("change", ["another module", "one more", "one less", "another shape", "activation"])
def test_a_stock_class_that_would_build_something_else_is_refused(change):
    model = build("bert")
    preflight.check_class(model)
    if change == "another module":
        model.classifier = torch.nn.Sequential(model.classifier)
    elif change == "one more":
        model.extra = torch.nn.Linear(2, 2)
    elif change == "one less":
        del model.bert.pooler
    elif change == "activation":
        model.bert.pooler.activation = torch.nn.ReLU()
    else:
        model.classifier = torch.nn.Linear(32, 7)
    with pytest.raises(ValueError, match="class MyBertForSequenceClassification"):
        preflight.check_class(model)


def test_a_loss_or_a_rate_of_dropout_may_be_the_users_own():
    from trainer_ext import shrink

    model = build("bert")
    model.criterion = torch.nn.CrossEntropyLoss()  # without weights, so that nothing of it is saved
    model.dropout = torch.nn.Dropout(0.7)
    preflight.check_class(model)
    assert shrink(model)[0].dropout.p == 0.7


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_a_stock_class_passes_in_every_family(model_type):
    preflight.check_class(build(model_type))


def test_a_compact_model_of_a_stock_class_passes():
    from trainer_ext import shrink

    preflight.check_class(shrink(build("bert"))[0])


def test_the_layout_of_another_place_is_refused():
    layout = custom.layout_of(own_classes.Net())
    with pytest.raises(ValueError, match=r"was at 'encoder' of a Net, .* at 'bert'"):
        custom.resize_encoder(own_classes.MLPHead(own_classes.bert_config()), layout)
