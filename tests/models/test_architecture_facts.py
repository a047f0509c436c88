"""What a compact model of some architectures must know besides its sizes, and what happens without it."""

import pytest
import torch

from trainer_ext.models import outputs
from trainer_ext.models.architectures import layers_of


@pytest.fixture
def two_heads(tiny_model, tiny_batch, cut):
    """`two_heads(model_type)`: a compact model with heads 1 and 3 of 4 in every layer, a batch, and its logits."""

    def make(model_type):
        dense = tiny_model(model_type)
        compact = cut(dense, [[1, 3]] * 2, [[0, 5, 9]] * 2)  # leaves the others of `dense` zero
        batch = tiny_batch(dense)
        expected = outputs.logits(dense, batch)
        assert (outputs.logits(compact, batch) - expected).abs().max() <= outputs.allowed_difference(expected)
        return compact, batch, expected

    return make


def test_deberta_without_its_head_count_gives_other_logits(two_heads):
    model, batch, expected = two_heads("deberta-v2")
    for layer in layers_of(model):
        attention = model.base_model.get_submodule(layer.attention)
        assert attention.num_attention_heads == 2
        attention.num_attention_heads = 4  # runs: four heads of half the size
    assert (outputs.logits(model, batch) - expected).abs().max() > 0.05


def test_deberta_with_positions_of_other_heads_gives_other_logits(two_heads):
    model, batch, expected = two_heads("deberta-v2")
    with torch.no_grad():
        for matrix in layers_of(model)[0].positions:
            matrix.weight.copy_(matrix.weight.roll(8, 0))
    assert (outputs.logits(model, batch) - expected).abs().max() > 0.05


def test_mpnet_with_the_position_bias_of_other_heads_gives_other_logits(two_heads):
    model, batch, expected = two_heads("mpnet")
    assert list(model.config.compact_heads.values()) == [[1, 3]] * 2
    model.config.compact_heads = dict.fromkeys(model.config.compact_heads, [0, 1])
    other = type(model)(model.config).eval()
    other.load_state_dict(model.state_dict())
    assert (outputs.logits(other, batch) - expected).abs().max() > 0.05


def test_mpnet_without_its_ids_does_not_run(two_heads):
    model, batch, _ = two_heads("mpnet")
    for layer in layers_of(model):
        model.base_model.get_submodule(layer.attention)._forward_pre_hooks.clear()
    with pytest.raises(RuntimeError, match="size of tensor"):
        model(**batch)


@pytest.mark.parametrize("third", ["query", "key", "value"])
def test_modernbert_with_heads_of_another_third_gives_other_logits(two_heads, tiny_model, third):
    model, batch, expected = two_heads("modernbert")
    for layer, dense in zip(layers_of(model), layers_of(tiny_model("modernbert")), strict=True):
        share = getattr(layer, third)
        rows = torch.tensor([*range(8, 16), *range(24, 32)])
        assert torch.equal(share.weight, getattr(dense, third).weight[rows])
        with torch.no_grad():
            share.weight.copy_(getattr(dense, third).weight[rows - 8])
    assert (outputs.logits(model, batch) - expected).abs().max() > 0.05


def test_modernbert_with_gate_and_input_exchanged_gives_other_logits(two_heads):
    model, batch, expected = two_heads("modernbert")
    with torch.no_grad():
        for layer in layers_of(model):
            layer.ffn_in.linear.weight.copy_(layer.ffn_in.linear.weight.roll(layer.neurons, 0))
    assert (outputs.logits(model, batch) - expected).abs().max() > 0.05


def test_albert_runs_every_shrunk_layer_as_often_as_configured(two_heads):
    model, _, _ = two_heads("albert")
    assert len(layers_of(model)) == 2
    assert model.config.num_hidden_layers == 4
    assert sum(layer.uses for layer in layers_of(model)) == 4
    used = []
    for layer in layers_of(model):
        layer.query.linear.register_forward_hook(lambda linear, *_: used.append(linear))
    model(input_ids=torch.arange(2, 12)[None])
    assert used == [layer.query.linear for layer in layers_of(model) for _ in range(layer.uses)]
