"""Architectures: every row names the Linears that the forward pass uses, and sizes come from them."""

import re

import pytest
import torch
from torch import nn
from transformers import AutoConfig, GPT2Config

from trainer_ext.models import architectures, outputs
from trainer_ext.models.compact.registration import MODEL_TYPES

every_family = pytest.mark.parametrize("model_type", MODEL_TYPES)


def test_rows_and_names_are_the_same_list():
    assert tuple(architectures.ARCHITECTURES) == MODEL_TYPES == tuple(sorted(MODEL_TYPES))


@every_family
def test_every_row_finds_its_layers(tiny_model, model_type):
    """The fused projections of ModernBERT and the position projections of DeBERTa are counted by their rows."""
    model = tiny_model(model_type)
    layers = architectures.layers_of(model)
    of_heads, of_neurons = (4 + len(layers[0].positions)) * 8 * 32, (2 + (layers[0].ffn_gate is not None)) * 32
    assert [(x.heads, x.head_size, x.neurons, x.head_cost, x.neuron_cost) for x in layers] == [
        (4, 8, 64, of_heads, of_neurons)
    ] * 2
    for layer in layers:
        for matrix in (*layer.head_rows, layer.attention_output, *layer.neuron_rows, layer.ffn_out):
            assert isinstance(matrix.linear, nn.Linear)
            assert model.base_model.get_submodule(matrix.path) is matrix.linear is layer.linears[matrix.path]
            assert matrix.weight.shape == (matrix.out_features, matrix.in_features)
            assert matrix.bias.shape == (matrix.out_features,)
        assert len(layer.linears) == {"deberta-v2": 8, "modernbert": 4}.get(model_type, 6)
        assert layer.activation(torch.tensor(-1.0)).item() == pytest.approx(-0.1587, abs=2e-4)  # gelu


@every_family
def test_every_entry_of_a_linear_belongs_to_one_matrix(tiny_model, model_type):
    """The parts of a fused Linear cover it once, and writing to a part changes it."""
    model = tiny_model(model_type)
    with torch.no_grad():
        for layer in architectures.layers_of(model):
            for linear in layer.linears.values():
                linear.weight.zero_()
                linear.bias.zero_()
            for matrix in (*layer.head_rows, layer.attention_output, *layer.neuron_rows, layer.ffn_out):
                matrix.weight.add_(1)
                matrix.bias.add_(1)
            for linear in layer.linears.values():
                assert linear.weight.eq(1).all()
                assert linear.bias.eq(1).all()


def test_a_layer_knows_how_often_it_runs_and_its_attention_module(tiny_model):
    uses = {name: [layer.uses for layer in architectures.layers_of(tiny_model(name))] for name in MODEL_TYPES}
    assert uses == dict.fromkeys(MODEL_TYPES, [1, 1]) | {"albert": [2, 2]}
    attention = {name: architectures.layers_of(tiny_model(name))[1].attention for name in MODEL_TYPES}
    told = {"deberta-v2": "encoder.layer.1.attention.self", "mpnet": "encoder.layer.1.attention.attn"}
    assert attention == dict.fromkeys(MODEL_TYPES) | told


@every_family
def test_prunable_weights_are_all_the_matrices_of_the_encoder_layers(tiny_model, model_type):
    model = tiny_model(model_type)
    counted = sum(
        parameter.numel()
        for name, parameter in model.base_model.named_parameters()
        if re.search(r"layers?\.\d", name) and parameter.dim() == 2
    )
    attention, ffn = {"deberta-v2": 6}.get(model_type, 4) * 32 * 32, {"modernbert": 3}.get(model_type, 2) * 32 * 64
    assert architectures.prunable_weights(architectures.layers_of(model)) == counted == 2 * (attention + ffn)


@every_family
def test_the_rows_name_the_parts_by_what_they_do(tiny_model, tiny_batch, model_type):
    """A head is dead by its value rows and bias, a neuron by its output column, but not by a query row."""
    model = tiny_model(model_type)
    batch, layer = tiny_batch(model), architectures.layers_of(model)[0]
    with torch.no_grad():
        layer.value.weight[8:16] = 0
        layer.value.bias[8:16] = 0
        layer.ffn_out.weight[:, 5] = 0
        before = outputs.logits(model, batch)
        for matrix in (layer.query, layer.key, *layer.positions):
            matrix.weight[8:16] += 1
        for matrix in layer.neuron_rows:
            matrix.weight[5] += 1
        layer.attention_output.weight[:, 8:16] += 1
        assert torch.equal(outputs.logits(model, batch), before)
        for matrix in (layer.query, layer.key, layer.value, *layer.positions, *layer.neuron_rows):
            kept = matrix.weight[0:8].clone()
            matrix.weight[0:8] = 0
            assert (outputs.logits(model, batch) - before).abs().max() > 1e-2, matrix.path
            matrix.weight[0:8] = kept


@every_family
def test_keys_and_values_of_other_tokens_change_the_logits_but_queries_do_not(tiny_model, tiny_batch, model_type):
    """Classifiers read the first token, so only its query matters in the last layer: this tells queries from keys."""
    model = tiny_model(model_type)
    batch, layer = tiny_batch(model), architectures.layers_of(model)[-1]
    before = outputs.logits(model, batch)
    changed = set()
    for name in ("query", "key", "value"):
        matrix, calls = getattr(layer, name), []

        def add_noise(linear, args, output, matrix=matrix, calls=calls):
            calls.append(output)
            if len(calls) == layer.uses:  # the last use of a layer that is shared
                output = output.clone()
                rows = slice(matrix.part * matrix.out_features, (matrix.part + 1) * matrix.out_features)
                output[:, 1:, rows] += torch.randn(
                    output[:, 1:, rows].shape, generator=torch.Generator().manual_seed(0)
                )
            return output

        handle = matrix.linear.register_forward_hook(add_noise)
        if (outputs.logits(model, batch) - before).abs().max() > 1e-2:
            changed.add(name)
        handle.remove()
    assert changed == {"key", "value"}


@every_family
def test_the_encoder_alone_has_the_same_layers(tiny_model, model_type):
    model = tiny_model(model_type)
    ours, below = architectures.layers_of(model), architectures.layers_of(model.base_model)
    assert [x.linears for x in ours] == [x.linears for x in below]


def test_compact_model_types_use_the_row_of_their_stock_type():
    assert architectures.stock_type("compact-xlm-roberta") == "xlm-roberta"
    assert architectures.stock_type("bert") == "bert"
    config = AutoConfig.for_model("compact-distilbert")
    assert architectures.architecture_of(config) is architectures.ARCHITECTURES["distilbert"]


def test_an_unknown_architecture_is_an_error_that_says_where_to_add_it():
    with pytest.raises(
        ValueError,
        match=r"model_type='gpt2'; known: albert, bert, .*one row in .*decoders, such as GPT, are not pruned",
    ):
        architectures.architecture_of(GPT2Config())
