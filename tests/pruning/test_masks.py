"""Masks: attaching changes nothing, the ramp closes the given fraction, freezing leaves whole heads and neurons."""

import copy
from dataclasses import asdict

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from tests.helpers.masking import ATTENTION, closed_fraction, dead_heads, every_family, every_kind, matrices, scramble
from trainer_ext.models import outputs
from trainer_ext.models.architectures import layers_of
from trainer_ext.models.layers import LINEARS
from trainer_ext.pruning import masks
from trainer_ext.pruning.scores import refresh_scores

# Attaching


@every_kind
@every_family
def test_attaching_changes_no_bit(tiny_model, tiny_batch, make_spec, model_type, kind):
    model = tiny_model(model_type)
    batch, names = tiny_batch(model), set(model.state_dict())
    before = outputs.logits(model, batch)
    spec = make_spec(**kind)
    assert masks.attach(model, spec) is model
    assert torch.equal(outputs.logits(model, batch), before)
    assert masks.current_sparsity(model) == 0
    assert model.config.pruning == asdict(spec)
    assert {n for n in model.state_dict() if n.endswith(".scores")} == {
        f"pruning.{group}.scores" for group in ("attention", "ffn") if getattr(spec, group) != "none"
    }
    kept = {name.replace("parametrizations.weight.original", "weight") for name in model.state_dict()}
    assert names == {name for name in kept if not name.startswith("pruning.")}


def test_attaching_twice_changes_nothing(masked, make_spec, tiny_batch):
    model = masked()
    masks.set_sparsity(model, 0.3)
    state, hooks = copy.deepcopy(model.state_dict()), len(model._forward_pre_hooks)
    before = outputs.logits(model, tiny_batch(model))
    assert masks.attach(model, make_spec()) is model
    assert len(model._forward_pre_hooks) == hooks == 1
    assert model.state_dict().keys() == state.keys()
    assert torch.equal(outputs.logits(model, tiny_batch(model)), before)


def test_masks_for_another_spec_are_an_error(masked, make_spec):
    model = masked()
    with pytest.raises(ValueError, match="already has masks, attached with another sparsity: .*trainer_ext.merge"):
        masks.attach(model, make_spec(sparsity=0.6))


@pytest.mark.parametrize("block_size", [3, 5, 16, 32])
def test_blocks_that_overlap_several_heads_are_an_error(tiny_model, make_spec, block_size):
    model = tiny_model()
    with pytest.raises(ValueError, match=f"prune_block_size={block_size} does not divide the head size 8"):
        masks.attach(model, make_spec(block_size=block_size))
    masks.attach(model, make_spec(block_size=block_size, attention="head"))  # heads have no blocks


def test_an_impossible_spec_is_an_error_and_does_not_change_the_model(tiny_model, make_spec):
    model = tiny_model()
    names = list(model.state_dict())
    with pytest.raises(ValueError, match="nothing is left to prune"):
        masks.attach(model, make_spec(attention="none", ffn="none"))
    with pytest.raises(ValueError, match="prune_sparsity=0.6 cannot be reached: .* at most 0.375"):
        masks.attach(model, make_spec(ffn="none", sparsity=0.6))
    with pytest.raises(ValueError, match="at most 0.867"):  # a head of 4 and a neuron of 64 stay in each layer
        masks.attach(model, make_spec(sparsity=0.87))
    model.bert.encoder.layer[1].output.dense.weight.requires_grad_(False)
    with pytest.raises(ValueError, match=r"layer.1.output.dense.weight \(and 0 more\) has requires_grad=False"):
        masks.attach(model, make_spec())
    assert list(model.state_dict()) == names
    assert not hasattr(model.config, "pruning")
    masks.attach(model, make_spec(method="magnitude"))  # needs no gradients


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "Movement"}, "method='Movement'; known: movement, soft_movement, magnitude"),
        ({"attention": "heads"}, "attention='heads'; known: block, head, none"),
        ({"ffn": "neurons"}, "ffn='neurons'; known: neuron, none"),
    ],
)
def test_an_unknown_value_in_a_spec_is_an_error(tiny_model, make_spec, changes, message):
    with pytest.raises(ValueError, match=message):
        masks.attach(tiny_model(), make_spec(**changes))


def test_frozen_embeddings_are_allowed(tiny_model, make_spec):
    model = tiny_model()
    model.bert.embeddings.requires_grad_(False)
    masks.attach(model, make_spec())


# The ramp


@every_kind
@pytest.mark.parametrize("sparsity", [0.1, 0.2, 0.25])
def test_the_ramp_closes_the_given_fraction(masked, kind, sparsity):
    model = masked(config={"intermediate_size": 512} if kind.get("attention") == "none" else None, **kind)
    masks.set_sparsity(model, sparsity)
    assert masks.current_sparsity(model) == pytest.approx(closed_fraction(model), abs=1e-9)
    coarse = "head" in kind.values() or kind.get("block_size") == 8
    assert masks.current_sparsity(model) == pytest.approx(sparsity, abs=0.05 if coarse else 5e-3)
    assert not model.pruning.is_frozen


@every_family
def test_the_ramp_closes_the_lowest_scores_of_the_whole_model(masked, model_type):
    model = masked(model_type)
    with torch.no_grad():  # second layer worst, and within it the upper right quarter of every matrix
        scores = model.pruning.attention.scores.view(2, 4, 8, 8)
        scores.fill_(1.0)
        scores[1] = 0.0
        scores[1, :, :4, 4:] = -1.0
    masks.set_sparsity(model, 0.125)
    first, second = matrices(model)
    for name in ATTENTION:
        assert first[name].ne(0).all()
        assert second[name][:16, 16:].eq(0).all()
        assert second[name].eq(0).sum() == 16 * 16


@every_family
def test_ffn_rows_and_columns_close_together(masked, model_type):
    model = masked(model_type)
    with torch.no_grad():
        model.pruning.ffn.scores.view(2, 64)[0, [3, 9]] = -50.0
    masks.set_sparsity(model, 2 / 128)
    layer = matrices(model)[0]
    for name in {"ffn_in", "ffn_gate"} & layer.keys():
        assert layer[name].eq(0).all(1).nonzero().flatten().tolist() == [3, 9]
    assert layer["ffn_out"].eq(0).all(0).nonzero().flatten().tolist() == [3, 9]
    assert matrices(model)[1]["ffn_in"].ne(0).all()


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("attention", ["block", "head"])
def test_no_matrix_dies(masked, attention, equal):
    """With equal scores, and with one layer far below the others; during the ramp and at its end."""
    model = masked(attention=attention, sparsity=0.75)
    with torch.no_grad():
        for group in model.pruning.groups.values():
            if equal:
                group.scores.zero_()
            group.scores.view(2, -1)[0] -= 0 if equal else 1000
    for sparsity in (0.25, 0.5, 0.75):
        masks.set_sparsity(model, sparsity)
        assert all(weight.ne(0).any() for layer in matrices(model) for weight in layer.values())
    structure = masks.freeze_structure(model)
    assert all(structure.heads + structure.neurons)
    assert all(weight.ne(0).any() for layer in matrices(model) for weight in layer.values())
    for group in model.pruning.groups.values():  # without the offsets the first layer would be empty
        group.offsets.zero_()
    assert equal or matrices(model)[0]["ffn_in"].eq(0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("attention", ["block", "head"])
@every_family
def test_magnitude_keeps_the_largest(masked, model_type, attention, dtype):
    model = masked(model_type, method="magnitude", attention=attention, block_size=8).to(dtype)
    dense = [{name: weight.float() for name, weight in layer.items()} for layer in matrices(model)]
    masks.set_sparsity(model, 0.25)
    means, kept = [], []
    for layer, now in zip(dense, matrices(model), strict=True):
        blocks = {name: layer[name].abs().view(4, 8, 4, 8).mean((1, 3)) for name in ATTENTION}
        state = {name: now[name].ne(0).view(4, 8, 4, 8).any(3).any(1) for name in ATTENTION}
        if attention == "block":
            means += [blocks[name].flatten() for name in ATTENTION]
            kept += [state[name].flatten() for name in ATTENTION]
        else:
            by_head = [blocks[name].mean(0 if name == "attention_output" else 1) for name in ATTENTION]
            means.append(torch.stack(by_head).mean(0))
            kept.append(state["query"].all(1))
    means, kept = torch.cat(means), torch.cat(kept)
    assert kept.sum() == 0.75 * len(kept)
    assert means[kept].min() > means[~kept].max()
    neurons = torch.cat([layer["ffn_in"].abs().mean(1) + layer["ffn_out"].abs().mean(0) for layer in dense])
    if "ffn_gate" in dense[0]:
        neurons += torch.cat([layer["ffn_gate"].abs().mean(1) for layer in dense])
    kept = torch.cat([layer["ffn_in"].ne(0).any(1) for layer in matrices(model)])
    assert kept.sum() == 0.75 * 128
    assert neurons[kept].min() > neurons[~kept].max()


def test_magnitude_follows_the_weights_until_it_is_frozen(masked):
    model = masked(method="magnitude")
    masks.set_sparsity(model, 0.3)
    layer = layers_of(model)[0]
    with torch.no_grad():
        layer.ffn_in.original[7] = 100.0
    masks.set_sparsity(model, 0.3)
    assert layer.ffn_in.weight[7].ne(0).all()
    masks.freeze_structure(model)
    scores = model.pruning.ffn.scores.clone()
    with torch.no_grad():
        layer.ffn_in.original[7] = 0.0
    refresh_scores(model, layers_of(model))
    assert torch.equal(model.pruning.ffn.scores, scores)


# The end of the ramp


@pytest.mark.parametrize("sparsity", [0.25, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("method", ["movement", "magnitude"])
@pytest.mark.parametrize("attention", ["block", "head"])
def test_freezing_meets_the_target(masked, attention, method, sparsity):
    model = masked(config={"intermediate_size": 512}, attention=attention, method=method, sparsity=sparsity)
    masks.set_sparsity(model, 0.2)
    structure = masks.freeze_structure(model)
    assert masks.current_sparsity(model) == pytest.approx(sparsity, abs=5e-3)
    assert closed_fraction(model) == pytest.approx(masks.current_sparsity(model), abs=1e-9)
    assert model.pruning.is_frozen
    for layer, heads, neurons in zip(matrices(model), structure.heads, structure.neurons, strict=True):
        dead, holes = dead_heads(layer)
        assert not any(holes.values())  # whole heads, and the blocks of the others open again
        assert all(found == set(range(4)) - set(heads) for found in dead.values())
        assert layer["ffn_in"].ne(0).all(1).nonzero().flatten().tolist() == neurons
        assert layer["ffn_out"].ne(0).all(0).nonzero().flatten().tolist() == neurons
        assert layer["ffn_in"].eq(0).all(1).sum() == layer["ffn_out"].eq(0).all(0).sum() == 512 - len(neurons)


def test_freezing_reopens_the_blocks_of_heads_that_stay(masked):
    model = masked()
    masks.set_sparsity(model, 0.5)
    assert any(holes for layer in matrices(model) for holes in dead_heads(layer)[1].values())
    masks.freeze_structure(model)
    assert not any(holes for layer in matrices(model) for holes in dead_heads(layer)[1].values())


@pytest.mark.parametrize("sparsity", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("attention", ["block", "head"])
def test_freezing_heads_alone_meets_the_target(make_spec, attention, sparsity):
    sizes = {"hidden_size": 64, "num_attention_heads": 16, "num_hidden_layers": 8, "intermediate_size": 8}
    model = BertForSequenceClassification(BertConfig(**sizes, vocab_size=16))
    masks.attach(model, make_spec(attention=attention, ffn="none", sparsity=sparsity))
    scramble(model)
    structure = masks.freeze_structure(model)
    assert masks.current_sparsity(model) == pytest.approx(sparsity, abs=5e-3)
    assert closed_fraction(model) == pytest.approx(masks.current_sparsity(model), abs=1e-4)  # LayerNorm has no zeros
    assert structure.neurons == [list(range(8))] * 8


def test_freezing_neurons_alone_meets_the_target(masked):
    model = masked(config={"intermediate_size": 512}, attention="none", sparsity=0.6)
    structure = masks.freeze_structure(model)
    assert masks.current_sparsity(model) == pytest.approx(0.6, abs=5e-3)
    assert structure.heads == [[0, 1, 2, 3]] * 2


def test_the_heads_with_the_lowest_sum_of_blocks_are_removed(masked):
    model = masked(sparsity=0.25)
    with torch.no_grad():
        blocks = model.pruning.attention.scores.view(2, 4, 8, 8)  # layer, matrix, row, column of 4x4 blocks
        blocks.zero_()
        blocks[0, 1, 2:4] = -2.0  # first layer, second head: only its key rows
        blocks[1, 3, :, 6:8] = -1.0  # second layer, last head: only its output columns
        blocks[1, 3, 6:8, :] += 0.5  # the same rows of that matrix belong to every head
    structure = masks.freeze_structure(model)
    assert structure.heads == [[0, 2, 3], [0, 1, 2]]


def test_freezing_twice_changes_nothing(masked):
    model = masked()
    first, weights = masks.freeze_structure(model), matrices(model)
    assert masks.freeze_structure(model) == first
    for before, after in zip(weights, matrices(model), strict=True):
        assert all(torch.equal(before[name], after[name]) for name in LINEARS)
