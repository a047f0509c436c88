"""Masks copied, saved, loaded and merged: the same function, and nothing is left after merging."""

import copy

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.utils import parametrize
from transformers import AutoConfig, AutoModelForMaskedLM, AutoModelForSequenceClassification

from tests.helpers.masking import every_family, every_kind, matrices
from trainer_ext.models import outputs
from trainer_ext.models.architectures import layers_of
from trainer_ext.models.layers import LINEARS
from trainer_ext.pruning import masks, selection

# Copies and checkpoints


def test_a_copy_has_its_own_masks(masked, tiny_batch):
    model = masked()
    masks.set_sparsity(model, 0.2)
    before = outputs.logits(model, tiny_batch(model))
    other = copy.deepcopy(model)
    assert torch.equal(outputs.logits(other, tiny_batch(model)), before)
    masks.freeze_structure(other)
    with torch.no_grad():
        other.pruning.ffn.scores.zero_()
    assert masks.current_sparsity(model) == pytest.approx(0.2, abs=5e-3)
    assert torch.equal(outputs.logits(model, tiny_batch(model)), before)
    assert not torch.equal(outputs.logits(other, tiny_batch(model)), before)
    other(**tiny_batch(model)).logits.sum().backward()
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("frozen", [True, False])
def test_a_state_dict_restores_masks(masked, tiny_batch, frozen):
    model, other = masked(), masked()
    masks.set_sparsity(model, 0.2)
    if frozen:
        masks.freeze_structure(model)
    other.load_state_dict(model.state_dict())
    for name, group in model.pruning.groups.items():
        for key in ("scores", "offsets", "kept", "frozen"):
            assert torch.equal(getattr(group, key), getattr(other.pruning.groups[name], key))
    assert masks.current_sparsity(other) == masks.current_sparsity(model)
    assert other.pruning.is_frozen is frozen
    assert outputs.max_logit_difference(model, other, tiny_batch(model)) == 0


@pytest.mark.parametrize("method", ["movement", "magnitude"])
@pytest.mark.parametrize("frozen", [True, False])
@every_family
def test_a_checkpoint_with_masks_loads_with_load_masked_only(masked, tiny_batch, tmp_path, model_type, frozen, method):
    model = masked(model_type, method=method)
    masks.set_sparsity(model, 0.3)
    if frozen:
        masks.freeze_structure(model)
    model.save_pretrained(tmp_path)
    opened = masks.load_masked(tmp_path)
    assert not opened.training
    assert opened.config.pruning == model.config.pruning
    assert outputs.max_logit_difference(model, opened, tiny_batch(model)) == 0
    assert masks.current_sparsity(opened) == masks.current_sparsity(model)
    assert opened.pruning.is_frozen is frozen
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path)  # starts the masked weights at random
    assert outputs.max_logit_difference(model, plain, tiny_batch(model)) > 0.1


@every_family
def test_load_masked_keeps_the_dtype(tiny_model, make_spec, tiny_batch, tmp_path, model_type):
    tiny_model(model_type).save_pretrained(tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path, dtype=torch.bfloat16)
    masks.set_sparsity(masks.attach(model, make_spec()), 0.3)
    model.save_pretrained(tmp_path)
    opened = masks.load_masked(tmp_path)
    assert opened.dtype == torch.bfloat16
    assert opened.pruning.ffn.scores.dtype == torch.float32
    assert outputs.max_logit_difference(model, opened, tiny_batch(model)) == 0


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("model_type", ["bert", "modernbert", "deberta-v2"])
def test_load_masked_finds_tied_weights_which_are_stored_once(tiny_model, make_spec, tmp_path, model_type, tied):
    model = tiny_model(model_type, auto_class=AutoModelForMaskedLM, tie_word_embeddings=tied)
    if not tied:
        with torch.no_grad():
            model.get_output_embeddings().weight.normal_()
    masks.set_sparsity(masks.attach(model, make_spec()), 0.3)
    model.save_pretrained(tmp_path)
    opened, expected = masks.load_masked(tmp_path).state_dict(), model.state_dict()
    assert (len(load_file(tmp_path / "model.safetensors")) < len(expected)) is tied
    assert opened.keys() == expected.keys()
    assert all(torch.equal(opened[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("change", ["less", "more"])
def test_load_masked_is_strict_otherwise(masked, tmp_path, change):
    masked().save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    if change == "more":
        state["classifier.scale"] = torch.ones(3)
    else:
        del state["classifier.bias"]
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(RuntimeError, match="classifier"):
        masks.load_masked(tmp_path)


def test_load_masked_of_a_model_without_masks_is_an_error(tiny_model, tmp_path):
    tiny_model().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds no masks .* open it with from_pretrained"):
        masks.load_masked(tmp_path)


# Merging


@every_kind
@pytest.mark.parametrize("closed", [True, False])
def test_merging_changes_no_bit_and_removes_everything_it_added(tiny_model, masked, tiny_batch, kind, closed):
    stock, model = tiny_model(), masked(**kind)
    masks.set_sparsity(model, 0.2)
    if closed:
        masks.freeze_structure(model)
    before, weights = outputs.logits(model, tiny_batch(model)), matrices(model)
    assert masks.merge(model) is model
    assert torch.equal(outputs.logits(model, tiny_batch(model)), before)
    for then, now in zip(weights, matrices(model), strict=True):
        assert all(torch.equal(then[name], now[name]) for name in LINEARS)
    assert model.state_dict().keys() == stock.state_dict().keys()
    assert model.config.to_dict() == stock.config.to_dict()
    assert [type(module) for module in model.modules()] == [type(module) for module in stock.modules()]
    assert not any(parametrize.is_parametrized(module) for module in model.modules())
    hooks = (model._forward_pre_hooks, model._forward_hooks, model._forward_hooks_always_called)
    assert not any(hooks)
    assert not torch.equal(before, outputs.logits(stock, tiny_batch(model)))  # something had been closed


@every_family
def test_merging_keeps_other_hooks_and_the_model_can_be_trained(masked, tiny_batch, model_type):
    model, seen = masked(model_type), []
    model.register_forward_hook(lambda *_: seen.append(1), always_call=True)
    masks.freeze_structure(model)
    masks.merge(model)
    model(**tiny_batch(model)).logits.sum().backward()
    assert seen == [1]
    assert len(model._forward_hooks_always_called) == 1
    assert all(linear.weight.grad.ne(0).any() for layer in layers_of(model) for linear in layer.linears.values())


def test_merging_a_copy_leaves_the_original_masked(masked, tiny_batch):
    model = masked()
    masks.freeze_structure(model)
    before = outputs.logits(model, tiny_batch(model))
    merged = masks.merge(copy.deepcopy(model))
    assert torch.equal(outputs.logits(merged, tiny_batch(model)), before)
    assert torch.equal(outputs.logits(model, tiny_batch(model)), before)
    assert torch.equal(outputs.logits(masks.merge(model), tiny_batch(model)), before)


def test_a_merged_model_loads_with_the_stock_class(masked, tiny_batch, tmp_path):
    model = masked()
    masks.freeze_structure(model)
    masks.merge(model).save_pretrained(tmp_path)
    assert not hasattr(AutoConfig.from_pretrained(tmp_path), "pruning")
    opened = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert outputs.max_logit_difference(model, opened, tiny_batch(model)) == 0


def test_a_merged_model_accepts_new_masks(masked, make_spec):
    model = masked()
    structure = masks.freeze_structure(model)
    masks.attach(masks.merge(model), make_spec(method="magnitude", attention="head", sparsity=0.5))
    assert masks.freeze_structure(model) == structure  # what is zero already goes first
    assert isinstance(structure, selection.Structure)


@pytest.mark.parametrize("needs_masks", [masks.freeze_structure, masks.merge, masks.current_sparsity])
def test_a_model_without_masks_is_an_error_that_names_attach(needs_masks, tiny_model):
    with pytest.raises(ValueError, match=r"has no masks.*attach"):
        needs_masks(tiny_model("bert"))
