"""Families: every row names the Linears that the forward pass really uses, and sizes come from them."""

import pytest
import torch
from torch import nn
from transformers import AutoConfig, GPT2Config

from trainer_ext import equivalence, families
from trainer_ext.family_names import MODEL_TYPES

every_family = pytest.mark.parametrize("model_type", MODEL_TYPES)


def test_rows_and_names_are_the_same_list():
    assert tuple(families.FAMILIES) == MODEL_TYPES == tuple(sorted(MODEL_TYPES))


@every_family
def test_every_row_finds_the_layers(tiny_model, model_type):
    model = tiny_model(model_type)
    layers = families.layers_of(model)
    assert [(x.heads, x.head_size, x.neurons, x.head_cost, x.neuron_cost) for x in layers] == [
        (4, 8, 64, 4 * 8 * 32, 2 * 32)
    ] * 2
    for layer in layers:
        for name in families.LINEARS:
            assert isinstance(getattr(layer, name), nn.Linear)
            assert model.base_model.get_submodule(layer.paths[name]) is getattr(layer, name)
        assert torch.equal(layer.activation(torch.tensor([-1.0])), nn.functional.gelu(torch.tensor([-1.0])))


@every_family
def test_prunable_weights_are_all_the_matrices_of_the_encoder_layers(tiny_model, model_type):
    model = tiny_model(model_type)
    counted = sum(
        parameter.numel()
        for name, parameter in model.base_model.named_parameters()
        if ".layer." in name and parameter.dim() == 2
    )
    assert families.prunable_weights(families.layers_of(model)) == counted == 2 * (4 * 32 * 32 + 2 * 32 * 64)


@every_family
def test_the_rows_name_the_parts_by_what_they_do(tiny_model, tiny_batch, model_type):
    """A head dies through its value rows and bias, a neuron through its output column; a query row leaves a trace."""
    model = tiny_model(model_type)
    batch, layer = tiny_batch(model), families.layers_of(model)[0]
    with torch.no_grad():
        layer.value.weight[8:16] = 0
        layer.value.bias[8:16] = 0
        layer.ffn_out.weight[:, 5] = 0
        before = equivalence.logits(model, batch)
        for linear, rows in ((layer.query, slice(8, 16)), (layer.key, slice(8, 16)), (layer.ffn_in, 5)):
            linear.weight[rows] += 1
        layer.attention_output.weight[:, 8:16] += 1
        assert torch.equal(equivalence.logits(model, batch), before)
        layer.query.weight[0:8] = 0
        assert (equivalence.logits(model, batch) - before).abs().max() > 1e-2


@every_family
def test_the_encoder_alone_has_the_same_layers(tiny_model, model_type):
    model = tiny_model(model_type)
    ours, below = families.layers_of(model), families.layers_of(model.base_model)
    assert [x.query for x in ours] == [x.query for x in below]


def test_compact_names_lead_to_their_stock_row():
    assert families.stock_type("compact-xlm-roberta") == "xlm-roberta"
    assert families.stock_type("bert") == "bert"
    config = AutoConfig.for_model("compact-distilbert")
    assert families.family_of(config) is families.FAMILIES["distilbert"]


def test_unknown_architectures_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r"model_type='gpt2'; known: \['bert', .*Add one row to"):
        families.family_of(GPT2Config())
