"""Masks: attaching changes nothing, closing meets the target in whole heads and neurons, merging leaves no trace."""

import copy
from dataclasses import asdict

import pytest
import torch
from torch.nn.utils import parametrize
from transformers import AutoConfig, AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

from trainer_ext import budgets, equivalence, masks
from trainer_ext.families import LINEARS, layers_of
from trainer_ext.family_names import MODEL_TYPES
from trainer_ext.scores import UnitScores

ATTENTION = LINEARS[:4]
every_family = pytest.mark.parametrize("model_type", MODEL_TYPES)
every_kind = pytest.mark.parametrize(
    "kind",
    [
        {},
        {"attention": "head"},
        {"method": "magnitude"},
        {"method": "magnitude", "attention": "head"},
        {"attention": "none", "sparsity": 0.3},
        {"ffn": "none", "sparsity": 0.25},
        {"block_size": 8},
        {"block_size": 1},
    ],
    ids=lambda kind: "-".join(map(str, kind.values())) or "movement-block-neuron",
)


@pytest.fixture
def masked(tiny_model, make_spec):
    """`masked(model_type, **spec)`: a model with masks whose learned scores are random, not yet closed."""

    def make(model_type="bert", *, config=None, **changes):
        model = masks.attach(tiny_model(model_type, **(config or {})), make_spec(**changes))
        scramble(model)
        return model

    return make


def scramble(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for group in model.pruning.groups.values():
        if isinstance(group.scores, torch.nn.Parameter):
            with torch.no_grad():
                group.scores.copy_(torch.randn(group.scores.shape, generator=generator))


def matrices(model):
    """The six matrices of every layer as the forward pass sees them."""
    return [{name: getattr(layer, name).weight.detach() for name in LINEARS} for layer in layers_of(model)]


def closed_fraction(model):
    """Sparsity counted in the matrices, entry by entry."""
    entries = [weight for layer in matrices(model) for weight in layer.values()]
    return sum(weight.eq(0).sum().item() for weight in entries) / sum(weight.numel() for weight in entries)


def dead_heads(layer, head_size=8):
    """Per attention matrix the set of heads whose weights are all zero, and those that are partly zero."""
    dead, holes = {}, {}
    for name in ATTENTION:
        weight = layer[name].T if name == "attention_output" else layer[name]
        zeros = weight.reshape(-1, head_size * weight.shape[1]).eq(0)
        dead[name] = set(zeros.all(1).nonzero().flatten().tolist())
        holes[name] = set(zeros.any(1).nonzero().flatten().tolist()) - dead[name]
    return dead, holes


# Attaching


@every_kind
@every_family
def test_attaching_changes_no_bit(tiny_model, tiny_batch, make_spec, model_type, kind):
    model = tiny_model(model_type)
    batch, names = tiny_batch(model), set(model.state_dict())
    before = equivalence.logits(model, batch)
    spec = make_spec(**kind)
    assert masks.attach(model, spec) is model
    assert torch.equal(equivalence.logits(model, batch), before)
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
    before = equivalence.logits(model, tiny_batch(model))
    assert masks.attach(model, make_spec()) is model
    assert len(model._forward_pre_hooks) == hooks == 1
    assert model.state_dict().keys() == state.keys()
    assert torch.equal(equivalence.logits(model, tiny_batch(model)), before)


def test_another_spec_is_refused(masked, make_spec):
    model = masked()
    with pytest.raises(ValueError, match="already has masks for .*'sparsity': 0.5.* asked for .*'sparsity': 0.6"):
        masks.attach(model, make_spec(sparsity=0.6))


@pytest.mark.parametrize("block_size", [3, 5, 16, 32])
def test_blocks_that_straddle_heads_are_refused(tiny_model, make_spec, block_size):
    model = tiny_model()
    with pytest.raises(ValueError, match=f"prune_block_size={block_size} does not divide the head size 8"):
        masks.attach(model, make_spec(block_size=block_size))
    masks.attach(model, make_spec(block_size=block_size, attention="head"))  # heads have no blocks


def test_what_cannot_work_is_refused_and_leaves_the_model_alone(tiny_model, make_spec):
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
        ({"method": "Movement"}, "method='Movement'; known: movement, magnitude"),
        ({"attention": "heads"}, "attention='heads'; known: block, head, none"),
        ({"ffn": "neurons"}, "ffn='neurons'; known: neuron, none"),
    ],
)
def test_a_misspelt_spec_is_refused(tiny_model, make_spec, changes, message):
    with pytest.raises(ValueError, match=message):
        masks.attach(tiny_model(), make_spec(**changes))


def test_frozen_embeddings_are_fine(tiny_model, make_spec):
    model = tiny_model()
    model.bert.embeddings.requires_grad_(False)
    masks.attach(model, make_spec())


# The ramp


@every_kind
@pytest.mark.parametrize("sparsity", [0.1, 0.2, 0.25])
def test_the_ramp_closes_what_is_asked(masked, kind, sparsity):
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


def test_ffn_rows_and_columns_close_together(masked):
    model = masked()
    with torch.no_grad():
        model.pruning.ffn.scores.view(2, 64)[0, [3, 9]] = -50.0
    masks.set_sparsity(model, 2 / 128)
    layer = matrices(model)[0]
    assert layer["ffn_in"].eq(0).all(1).nonzero().flatten().tolist() == [3, 9]
    assert layer["ffn_out"].eq(0).all(0).nonzero().flatten().tolist() == [3, 9]
    assert matrices(model)[1]["ffn_in"].ne(0).all()


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("attention", ["block", "head"])
def test_no_matrix_dies(masked, attention, equal):
    """With all scores equal, and with one layer far the lowest; at every point of the ramp and at its end."""
    model = masked(attention=attention, sparsity=0.75)
    with torch.no_grad():
        for group in model.pruning.groups.values():
            if equal:
                group.scores.zero_()
            group.scores.view(2, -1)[0] -= 0 if equal else 1000
    for sparsity in (0.25, 0.5, 0.75):
        masks.set_sparsity(model, sparsity)
        assert all(weight.ne(0).any() for layer in matrices(model) for weight in layer.values())
    structure = masks.close(model)
    assert all(structure.heads + structure.neurons)
    assert all(weight.ne(0).any() for layer in matrices(model) for weight in layer.values())
    for group in model.pruning.groups.values():  # without the offsets the first layer would be empty
        group.offsets.zero_()
    assert equal or matrices(model)[0]["ffn_in"].eq(0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("attention", ["block", "head"])
def test_magnitude_keeps_the_largest(masked, attention, dtype):
    model = masked(method="magnitude", attention=attention, block_size=8).to(dtype)
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
    kept = torch.cat([layer["ffn_in"].ne(0).any(1) for layer in matrices(model)])
    assert kept.sum() == 0.75 * 128
    assert neurons[kept].min() > neurons[~kept].max()


def test_magnitude_follows_the_weights_until_it_is_frozen(masked):
    model = masked(method="magnitude")
    masks.set_sparsity(model, 0.3)
    layer = layers_of(model)[0]
    with torch.no_grad():
        layer.ffn_in.parametrizations.weight.original[7] = 100.0
    masks.set_sparsity(model, 0.3)
    assert layer.ffn_in.weight[7].ne(0).all()
    masks.close(model)
    scores = model.pruning.ffn.scores.clone()
    with torch.no_grad():
        layer.ffn_in.parametrizations.weight.original[7] = 0.0
    masks._refresh_magnitudes(model, layers_of(model))
    assert torch.equal(model.pruning.ffn.scores, scores)


# The end of the ramp


@pytest.mark.parametrize("sparsity", [0.25, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("method", ["movement", "magnitude"])
@pytest.mark.parametrize("attention", ["block", "head"])
def test_closing_meets_the_target(masked, attention, method, sparsity):
    model = masked(config={"intermediate_size": 512}, attention=attention, method=method, sparsity=sparsity)
    masks.set_sparsity(model, 0.2)
    structure = masks.close(model)
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


def test_the_ramp_leaves_holes_that_closing_fills(masked):
    model = masked()
    masks.set_sparsity(model, 0.5)
    assert any(holes for layer in matrices(model) for holes in dead_heads(layer)[1].values())
    masks.close(model)
    assert not any(holes for layer in matrices(model) for holes in dead_heads(layer)[1].values())


@pytest.mark.parametrize("sparsity", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("attention", ["block", "head"])
def test_closing_heads_alone_meets_the_target(make_spec, attention, sparsity):
    sizes = {"hidden_size": 64, "num_attention_heads": 16, "num_hidden_layers": 8, "intermediate_size": 8}
    model = BertForSequenceClassification(BertConfig(**sizes, vocab_size=16))
    masks.attach(model, make_spec(attention=attention, ffn="none", sparsity=sparsity))
    scramble(model)
    structure = masks.close(model)
    assert masks.current_sparsity(model) == pytest.approx(sparsity, abs=5e-3)
    assert closed_fraction(model) == pytest.approx(masks.current_sparsity(model), abs=1e-4)  # LayerNorm has no zeros
    assert structure.neurons == [list(range(8))] * 8


def test_closing_neurons_alone_meets_the_target(masked):
    model = masked(config={"intermediate_size": 512}, attention="none", sparsity=0.6)
    structure = masks.close(model)
    assert masks.current_sparsity(model) == pytest.approx(0.6, abs=5e-3)
    assert structure.heads == [[0, 1, 2, 3]] * 2


def test_the_heads_with_the_lowest_summed_blocks_go(masked):
    model = masked(sparsity=0.25)
    with torch.no_grad():
        blocks = model.pruning.attention.scores.view(2, 4, 8, 8)  # layer, matrix, row, column of 4x4 blocks
        blocks.zero_()
        blocks[0, 1, 2:4] = -2.0  # first layer, second head: only its key rows
        blocks[1, 3, :, 6:8] = -1.0  # second layer, last head: only its output columns
        blocks[1, 3, 6:8, :] += 0.5  # the same rows of that matrix belong to every head
    structure = masks.close(model)
    assert structure.heads == [[0, 2, 3], [0, 1, 2]]


def test_closing_after_closing_changes_nothing(masked):
    model = masked()
    first, weights = masks.close(model), matrices(model)
    assert masks.close(model) == first
    for before, after in zip(weights, matrices(model), strict=True):
        assert all(torch.equal(before[name], after[name]) for name in LINEARS)


# Gradients


@pytest.mark.parametrize("attention", ["block", "head"])
@every_family
def test_gradients_reach_scores_until_frozen(masked, tiny_batch, model_type, attention):
    model = masked(model_type, attention=attention)
    masks.set_sparsity(model, 0.3)
    model(**tiny_batch(model)).logits.sum().backward()
    for group in model.pruning.groups.values():
        assert group.scores.grad.ne(0).float().mean() > 0.9
    weight = layers_of(model)[0].ffn_in.parametrizations.weight.original
    closed = layers_of(model)[0].ffn_in.weight.eq(0)
    assert weight.grad[closed].eq(0).all()
    assert weight.grad[~closed].ne(0).any()
    masks.close(model)
    model.zero_grad()
    model(**tiny_batch(model)).logits.sum().backward()
    assert all(group.scores.grad is None for group in model.pruning.groups.values())
    assert weight.grad.ne(0).any()


def test_the_score_gradient_is_weight_times_gradient_summed_over_the_unit(masked, tiny_batch):
    model = masked(block_size=8)
    masks.set_sparsity(model, 0.3)
    plain = masks.merge(copy.deepcopy(model))
    model(**tiny_batch(model)).logits.sum().backward()
    plain(**tiny_batch(plain)).logits.sum().backward()
    blocks = model.pruning.attention.scores.grad.view(2, 4, 4, 4)
    for index, (layer, merged) in enumerate(zip(layers_of(model), layers_of(plain), strict=True)):
        for matrix, name in enumerate(ATTENTION):
            original = getattr(layer, name).parametrizations.weight.original
            product = (original * getattr(merged, name).weight.grad).view(4, 8, 4, 8).sum((1, 3))
            assert torch.allclose(blocks[index, matrix], product, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("use_reentrant", [True, False])
@pytest.mark.parametrize("model_type", ["bert", "distilbert", "electra"])
def test_gradient_checkpointing_gives_the_same_gradients(masked, tiny_batch, model_type, use_reentrant):
    plain = masked(model_type).train()
    masks.set_sparsity(plain, 0.3)
    saving = copy.deepcopy(plain)
    saving.activation_checkpointing_enable({"use_reentrant": use_reentrant})
    saving.enable_input_require_grads()
    assert saving.is_activation_checkpointing
    for model in (plain, saving):
        model(**tiny_batch(model)).logits.square().sum().backward()
    names = dict(saving.named_parameters())
    for name, parameter in plain.named_parameters():
        assert torch.equal(parameter.grad, names[name].grad), name
    assert names["pruning.ffn.scores"].grad.ne(0).any()
    assert names["pruning.attention.scores"].grad.ne(0).any()


# Precision and cost


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_casting_a_model_leaves_scores_and_masks_alone(masked, tiny_batch, dtype):
    model = masked()
    masks.set_sparsity(model, 0.3)
    expected = {name: group.mask() for name, group in model.pruning.groups.items()}
    model.to(dtype) if dtype == torch.bfloat16 else model.half()
    assert layers_of(model)[0].query.weight.dtype == dtype
    for name, group in model.pruning.groups.items():
        assert group.scores.dtype == torch.float32
        assert torch.equal(group.mask(), expected[name])
    assert model(**tiny_batch(model)).logits.isfinite().all()


@pytest.mark.parametrize("attention", ["block", "head"])
def test_autocast_flips_no_mask(masked, tiny_batch, monkeypatch, attention):
    model = masked(attention=attention)
    with torch.no_grad():  # scores that bf16 cannot tell apart
        for group in model.pruning.groups.values():
            group.scores.copy_(-2.2 + 1e-4 * torch.randn(group.scores.shape, generator=torch.Generator()))
    masks.set_sparsity(model, 0.3)
    seen, compute = [], UnitScores.mask
    monkeypatch.setattr(UnitScores, "mask", lambda self: seen.append(compute(self)) or seen[-1])
    expected = [group.mask().clone() for group in model.pruning.groups.values()]
    seen.clear()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(**tiny_batch(model)).logits
        outside = [group.mask() for group in model.pruning.groups.values()]
    assert logits.dtype == torch.bfloat16
    for found in (seen[:2], outside):
        assert all(torch.equal(a, b) and a.dtype == torch.float32 for a, b in zip(found, expected, strict=True))
    rounded = next(iter(model.pruning.groups.values())).scores.bfloat16()
    assert len(rounded.unique()) < 4  # the check can fail


@every_family
def test_masks_are_computed_once_per_group_and_forward(masked, tiny_batch, monkeypatch, model_type):
    model, calls, compute = masked(model_type), [], UnitScores.mask
    monkeypatch.setattr(UnitScores, "mask", lambda self: calls.append(self) or compute(self))
    model(**tiny_batch(model))
    assert len(calls) == 2
    assert set(calls) == set(model.pruning.groups.values())
    assert not model.pruning._masks
    model.base_model(**tiny_batch(model))  # below the hooks: right, but a mask per matrix
    assert len(calls) > 4


def test_nothing_outlives_a_forward_that_fails(masked):
    model = masked()
    with pytest.raises(ValueError, match="specify"):
        model()
    assert not model.pruning._masks


# Copies and checkpoints


def test_a_copy_has_its_own_masks(masked, tiny_batch):
    model = masked()
    masks.set_sparsity(model, 0.2)
    before = equivalence.logits(model, tiny_batch(model))
    other = copy.deepcopy(model)
    assert torch.equal(equivalence.logits(other, tiny_batch(model)), before)
    masks.close(other)
    with torch.no_grad():
        other.pruning.ffn.scores.zero_()
    assert masks.current_sparsity(model) == pytest.approx(0.2, abs=5e-3)
    assert torch.equal(equivalence.logits(model, tiny_batch(model)), before)
    assert not torch.equal(equivalence.logits(other, tiny_batch(model)), before)
    other(**tiny_batch(model)).logits.sum().backward()
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("frozen", [True, False])
def test_a_state_dict_brings_masks_back(masked, tiny_batch, frozen):
    model, other = masked(), masked()
    masks.set_sparsity(model, 0.2)
    if frozen:
        masks.close(model)
    other.load_state_dict(model.state_dict())
    for name, group in model.pruning.groups.items():
        for key in ("scores", "offsets", "kept", "frozen"):
            assert torch.equal(getattr(group, key), getattr(other.pruning.groups[name], key))
    assert masks.current_sparsity(other) == masks.current_sparsity(model)
    assert other.pruning.is_frozen is frozen
    assert equivalence.max_logit_difference(model, other, tiny_batch(model)) == 0


@pytest.mark.parametrize("method", ["movement", "magnitude"])
@pytest.mark.parametrize("frozen", [True, False])
@every_family
def test_a_masked_checkpoint_opens_with_load_masked_only(masked, tiny_batch, tmp_path, model_type, frozen, method):
    model = masked(model_type, method=method)
    masks.set_sparsity(model, 0.3)
    if frozen:
        masks.close(model)
    model.save_pretrained(tmp_path)
    opened = masks.load_masked(tmp_path)
    assert not opened.training
    assert opened.config.pruning == model.config.pruning
    assert equivalence.max_logit_difference(model, opened, tiny_batch(model)) == 0
    assert masks.current_sparsity(opened) == masks.current_sparsity(model)
    assert opened.pruning.is_frozen is frozen
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path)  # starts the masked weights at random
    assert equivalence.max_logit_difference(model, plain, tiny_batch(model)) > 0.1


def test_load_masked_keeps_the_number_format(masked, tiny_batch, tmp_path):
    model = masked().to(torch.bfloat16)
    masks.set_sparsity(model, 0.3)
    model.save_pretrained(tmp_path)
    opened = masks.load_masked(tmp_path)
    assert opened.dtype == torch.bfloat16
    assert opened.pruning.ffn.scores.dtype == torch.float32
    assert equivalence.max_logit_difference(model, opened, tiny_batch(model)) == 0


def test_load_masked_refuses_what_has_no_masks(tiny_model, tmp_path):
    tiny_model().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds no masks .* open it with from_pretrained"):
        masks.load_masked(tmp_path)


# Merging


@every_kind
@pytest.mark.parametrize("closed", [True, False])
def test_merging_changes_no_bit_and_leaves_no_trace(tiny_model, masked, tiny_batch, kind, closed):
    stock, model = tiny_model(), masked(**kind)
    masks.set_sparsity(model, 0.2)
    if closed:
        masks.close(model)
    before, weights = equivalence.logits(model, tiny_batch(model)), matrices(model)
    assert masks.merge(model) is model
    assert torch.equal(equivalence.logits(model, tiny_batch(model)), before)
    for then, now in zip(weights, matrices(model), strict=True):
        assert all(torch.equal(then[name], now[name]) for name in LINEARS)
    assert model.state_dict().keys() == stock.state_dict().keys()
    assert model.config.to_dict() == stock.config.to_dict()
    assert [type(module) for module in model.modules()] == [type(module) for module in stock.modules()]
    assert not any(parametrize.is_parametrized(module) for module in model.modules())
    hooks = (model._forward_pre_hooks, model._forward_hooks, model._forward_hooks_always_called)
    assert not any(hooks)
    assert not torch.equal(before, equivalence.logits(stock, tiny_batch(model)))  # something had been closed


@every_family
def test_merging_keeps_the_hooks_of_others_and_trains_on(masked, tiny_batch, model_type):
    model, seen = masked(model_type), []
    model.register_forward_hook(lambda *_: seen.append(1), always_call=True)
    masks.close(model)
    masks.merge(model)
    model(**tiny_batch(model)).logits.sum().backward()
    assert seen == [1]
    assert len(model._forward_hooks_always_called) == 1
    assert all(getattr(layer, name).weight.grad.ne(0).any() for layer in layers_of(model) for name in LINEARS)


def test_merging_a_copy_leaves_the_original_masked(masked, tiny_batch):
    model = masked()
    masks.close(model)
    before = equivalence.logits(model, tiny_batch(model))
    merged = masks.merge(copy.deepcopy(model))
    assert torch.equal(equivalence.logits(merged, tiny_batch(model)), before)
    assert torch.equal(equivalence.logits(model, tiny_batch(model)), before)
    assert torch.equal(equivalence.logits(masks.merge(model), tiny_batch(model)), before)


def test_a_merged_model_opens_with_the_stock_class(masked, tiny_batch, tmp_path):
    model = masked()
    masks.close(model)
    masks.merge(model).save_pretrained(tmp_path)
    assert not hasattr(AutoConfig.from_pretrained(tmp_path), "pruning")
    opened = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert equivalence.max_logit_difference(model, opened, tiny_batch(model)) == 0


def test_a_merged_model_takes_new_masks(masked, make_spec):
    model = masked()
    structure = masks.close(model)
    masks.attach(masks.merge(model), make_spec(method="magnitude", attention="head", sparsity=0.5))
    assert masks.close(model) == structure  # what is zero already goes first
    assert isinstance(structure, budgets.Structure)


@pytest.mark.parametrize("needs_masks", [masks.close, masks.merge, masks.current_sparsity])
def test_a_model_without_masks_is_refused_with_the_way_out(needs_masks, tiny_model):
    with pytest.raises(ValueError, match=r"has no masks.*attach"):
        needs_masks(tiny_model("bert"))
