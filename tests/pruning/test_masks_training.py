"""Masks in training: gradients, gradient checkpointing, precision and cost."""

import copy

import pytest
import torch

from tests.helpers.masking import ATTENTION, every_family
from tests.helpers.training import PRUNE, differing, make_trainer, without_timing
from trainer_ext.models.architectures import layers_of
from trainer_ext.pruning import masks
from trainer_ext.pruning.scores import METHODS, UnitScores

# Gradients


@pytest.mark.parametrize("attention", ["block", "head"])
@every_family
def test_gradients_reach_scores_until_frozen(masked, tiny_batch, model_type, attention):
    model = masked(model_type, attention=attention)
    masks.set_sparsity(model, 0.3)
    model(**tiny_batch(model)).logits.sum().backward()
    for group in model.pruning.groups.values():
        assert group.scores.grad.ne(0).float().mean() > 0.9
    linear = layers_of(model)[0].ffn_in.linear
    weight, closed = linear.parametrizations.weight.original, linear.weight.eq(0)
    assert weight.grad[closed].eq(0).all()
    assert weight.grad[~closed].ne(0).any()
    masks.freeze_structure(model)
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
            product = getattr(layer, name).original * getattr(merged, name).linear.weight.grad
            product = product.view(4, 8, 4, 8).sum((1, 3))
            assert torch.allclose(blocks[index, matrix], product, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("use_reentrant", [True, False])
@pytest.mark.parametrize("method", ["movement", "soft_movement"])
@pytest.mark.parametrize("model_type", ["bert", "distilbert", "electra"])
def test_gradient_checkpointing_gives_the_same_gradients(masked, tiny_batch, model_type, method, use_reentrant):
    plain = masked(model_type, method=method).train()
    masks.set_sparsity(plain, 0.3)
    saving = copy.deepcopy(plain)
    if hasattr(saving, "activation_checkpointing_enable"):  # its name since transformers 5.23
        saving.activation_checkpointing_enable({"use_reentrant": use_reentrant})
    else:
        saving.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
    saving.enable_input_require_grads()
    assert any(getattr(module, "gradient_checkpointing", False) for module in saving.modules())
    for model in (plain, saving):
        model(**tiny_batch(model)).logits.square().sum().backward()
    names = dict(saving.named_parameters())
    for name, parameter in plain.named_parameters():
        assert torch.equal(parameter.grad, names[name].grad), name
    assert names["pruning.ffn.scores"].grad.ne(0).any()
    assert names["pruning.attention.scores"].grad.ne(0).any()


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize("use_reentrant", [None, False, True])
@pytest.mark.parametrize("method", METHODS)
def test_a_run_with_gradient_checkpointing_gives_the_same_model_and_log(tmp_path, method, use_reentrant):
    """`None` is the default of `TrainingArguments`. The run covers the ramp and the frozen structure."""
    fields = {**PRUNE, "prune_method": method, "prune_score_lr": 0.1, "max_steps": 8}
    kwargs = None if use_reentrant is None else {"use_reentrant": use_reentrant}
    saving = {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": kwargs}
    plain = make_trainer(tmp_path, **fields)
    plain.train()
    saved = make_trainer(tmp_path, **fields, **saving)
    saved.train()
    assert differing(plain.model.state_dict(), saved.model.state_dict()) == []
    assert without_timing(plain.state.log_history) == without_timing(saved.state.log_history)
    assert plain.compression == saved.compression


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


def test_a_failed_forward_pass_drops_its_masks(masked):
    model = masked()
    with pytest.raises(ValueError, match="specify"):
        model()
    assert not model.pruning._masks
